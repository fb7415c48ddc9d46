// ADD as a whole process, as a runtime sees it: l2wire beside Debian's Go "bridge" plugin, both
// started the same way. And what the shim weighs: time, memory, file, against the other ways to ship it.
import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { copyFileSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { build } from 'esbuild'

import { SOCKET_VARIABLE } from '../core/cni/socket.ts'
import { execPlugin } from '../lab/cni.ts'
import { ROOT } from '../lab/manifests.ts'
import { newLabNetns } from '../lab/netns.ts'
import { newLabNode } from '../lab/node.ts'
import { run } from '../kernel/run.ts'
import { getMedian, getQuantile, toFigureRow, toRatioRow, type Row } from './row.ts'

const ROUNDS = 60
const BRIDGE_PLUGIN = '/usr/lib/cni/bridge'
const AT_ONCE = 50

/** Milliseconds from starting the plugin to its end. Throws when it says no. */
async function time(
  plugin: string,
  verb: string,
  id: string,
  netns: string,
  config: string,
  socket = '',
): Promise<number> {
  const env = {
    CNI_COMMAND: verb,
    CNI_CONTAINERID: id,
    CNI_NETNS: netns,
    CNI_IFNAME: 'eth1',
    CNI_PATH: '/usr/lib/cni',
    ...(socket === '' ? {} : { [SOCKET_VARIABLE]: socket }),
  }
  const started = performance.now()
  const answer = await execPlugin([plugin], env, config)
  const ms = performance.now() - started
  if (answer.exitCode !== 0) throw new Error(`${plugin} ${verb}: ${answer.stdout}${answer.stderr}`)
  return ms
}

export async function benchAdd(): Promise<readonly Row[]> {
  await using node = await newLabNode()
  await using a = await newLabNetns('a')
  await using b = await newLabNetns('b')
  const wireConfig = JSON.stringify({ cniVersion: '1.0.0', name: 'bench', type: 'l2wire' })
  const bridgeConfig = JSON.stringify({
    cniVersion: '1.0.0',
    name: 'bench',
    type: 'bridge',
    bridge: 'l2wbench0',
  })
  const l2wire = join(ROOT, 'dist/bin/l2wire')
  const first: number[] = []
  const second: number[] = []
  const bridge: number[] = []
  try {
    for (let round = 0; round < ROUNDS; round += 1) {
      first.push(await time(l2wire, 'ADD', 'c1', a.path, wireConfig, node.socket))
      bridge.push(await time(BRIDGE_PLUGIN, 'ADD', 'c3', b.path, bridgeConfig))
      await time(BRIDGE_PLUGIN, 'DEL', 'c3', b.path, bridgeConfig)
      second.push(await time(l2wire, 'ADD', 'c2', b.path, wireConfig, node.socket))
      await time(l2wire, 'DEL', 'c1', a.path, wireConfig, node.socket)
      await time(l2wire, 'DEL', 'c2', b.path, wireConfig, node.socket)
    }
  } finally {
    await run(['ip', 'link', 'del', 'dev', 'l2wbench0'])
  }
  const all = [...first, ...second]
  return [
    toRatioRow("ADD, l2wire to Debian's bridge plugin", getMedian(all) / getMedian(bridge), {
      atMost: 8,
    }),
    toFigureRow('ADD, first end', toMs(getMedian(first))),
    toFigureRow('ADD, second end, joined', toMs(getMedian(second))),
    toFigureRow('ADD, p99', toMs(getQuantile(all, 0.99))),
    toFigureRow('ADD, bridge plugin', toMs(getMedian(bridge))),
    ...(await benchShims()),
  ]
}

/** VERSION by the shipped shim and by the same code shipped otherwise: start-up is what they differ in. */
async function benchShims(): Promise<readonly Row[]> {
  const folder = mkdtempSync(join(tmpdir(), 'l2w-shim-'))
  try {
    const shims = [
      { name: 'Bun single file (shipped)', path: join(ROOT, 'dist/bin/l2wire') },
      { name: 'Node single executable', path: await buildNodeExecutable(folder) },
    ]
    const times = shims.map((): number[] => [])
    for (let round = 0; round < ROUNDS; round += 1)
      for (const [at, shim] of shims.entries()) {
        const started = performance.now()
        await execPlugin([shim.path], { CNI_COMMAND: 'VERSION' }, '')
        times[at]?.push(performance.now() - started)
      }
    const rows: Row[] = []
    for (const [at, { name, path }] of shims.entries()) {
      const file = `${(statSync(path).size / 1e6).toFixed(0)} MB`
      const memory = `${((await measureMemory(path)) / 1e6).toFixed(0)} MB`
      const figures = `${toMs(getMedian(times[at] ?? []))} to VERSION, file ${file}, private memory of ${AT_ONCE} at once ${memory}`
      rows.push(toFigureRow(name, figures))
    }
    return rows
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

async function buildNodeExecutable(folder: string): Promise<string> {
  const script = join(folder, 'shim.cjs')
  await build({
    entryPoints: [join(ROOT, 'cni-shim/main.ts')],
    outfile: script,
    bundle: true,
    minify: true,
    platform: 'node',
    target: 'node24',
    format: 'cjs',
    logLevel: 'error',
    // A single executable runs CommonJS, which knows no await at its top.
    plugins: [wrapTopLevelAwait],
  })
  const node = join(ROOT, 'node_modules/.bin/node')
  const path = join(folder, 'l2wire')
  const config = {
    main: script,
    output: join(folder, 'blob'),
    disableExperimentalSEAWarning: true,
    useCodeCache: true,
  }
  writeFileSync(join(folder, 'sea.json'), JSON.stringify(config))
  execFileSync(node, ['--experimental-sea-config', join(folder, 'sea.json')], { stdio: 'ignore' })
  copyFileSync(node, path)
  const postject = join(ROOT, 'node_modules/.bin/postject')
  const fuse = 'NODE_SEA_FUSE_fce680ab2cc467b6e072b8b5df1996b2'
  execFileSync(postject, [path, 'NODE_SEA_BLOB', join(folder, 'blob'), '--sentinel-fuse', fuse], {
    stdio: 'ignore',
  })
  return path
}

const wrapTopLevelAwait = {
  name: 'wrap-top-level-await',
  setup(builder: import('esbuild').PluginBuild): void {
    builder.onLoad({ filter: /cni-shim\/main\.ts$/ }, async ({ path }) => {
      const { readFile } = await import('node:fs/promises')
      const text = await readFile(path, 'utf8')
      return {
        contents: text.replace(
          'process.exit(await main())',
          'void main().then((code) => process.exit(code))',
        ),
        loader: 'ts',
      }
    })
  },
}

/** Private memory of many shims that wait for their input, in bytes for all. */
async function measureMemory(path: string): Promise<number> {
  const env = { CNI_COMMAND: 'ADD', CNI_CONTAINERID: 'c', CNI_NETNS: '/x', CNI_IFNAME: 'eth1' }
  const children = Array.from({ length: AT_ONCE }, () =>
    spawn(path, [], { env, stdio: ['pipe', 'ignore', 'ignore'] }),
  )
  try {
    await new Promise((resolve) => setTimeout(resolve, 3000))
    const sizes = await Promise.all(
      children.map(async ({ pid }) => run(['cat', `/proc/${pid}/smaps_rollup`])),
    )
    return sizes.reduce((sum, text) => {
      const kib = [...text.matchAll(/^Private_(?:Clean|Dirty):\s+(\d+) kB/gm)].map((match) =>
        Number(match[1]),
      )
      return sum + kib.reduce((x, y) => x + y, 0) * 1024
    }, 0)
  } finally {
    for (const child of children) {
      const ended = child.exitCode === null ? once(child, 'exit') : undefined
      child.stdin.on('error', () => undefined)
      child.stdin.end()
      await ended
    }
  }
}

function toMs(ms: number): string {
  return `${ms.toFixed(1)} ms`
}
