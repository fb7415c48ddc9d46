// What the DaemonSet runs beside the agent: the plugins come whole, and the probes tell an agent that is
// dead from one whose store is away. How all that goes: uninstall.test.ts.
import { spawn, type ChildProcess } from 'node:child_process'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { link, mkdtemp, readdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { constants, zstdCompressSync } from 'node:zlib'

import { expect } from 'chai'
import { afterEach, beforeEach, describe, it } from 'mocha'

import { ROOT } from '../../lab/manifests.ts'
import { newLabNode } from '../../lab/node.ts'

const BIN = join(ROOT, 'dist/bin')

async function runTool(...argv: readonly string[]) {
  const child = spawn(join(BIN, 'l2wire-node'), argv, { stdio: ['ignore', 'pipe', 'pipe'] })
  let stdout = ''
  let stderr = ''
  child.stdout.setEncoding('utf8').on('data', (text: string) => (stdout += text))
  child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text))
  const [exitCode] = (await once(child, 'close')) as [number | null]
  return { exitCode, stdout, stderr }
}

/** As build/pack.ts leaves it, and faster. */
async function packInto(folder: string, spoilt: object = {}): Promise<void> {
  const plugin = await readFile(join(BIN, 'l2wire'))
  const params = { [constants.ZSTD_c_compressionLevel]: 1 }
  await writeFile(join(folder, 'l2wire.zst'), zstdCompressSync(plugin, { params }))
  const sha256 = createHash('sha256').update(plugin).digest('hex')
  const note = { size: plugin.length, sha256, ...spoilt }
  await writeFile(join(folder, 'l2wire.json'), JSON.stringify(note))
}

let folder = ''

const install = async (): ReturnType<typeof runTool> => runTool('install', '--plugins', folder)

describe('l2wire-node', function () {
  this.timeout(90_000)

  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'l2w-plugins-'))
  })
  afterEach(async () => {
    await rm(folder, { recursive: true, force: true })
  })

  describe('install', () => {
    it('puts one executable under two names, and nothing else', async () => {
      const { exitCode, stdout, stderr } = await install()
      expect(exitCode, stderr).to.equal(0)
      expect(stdout).to.include('installed l2wire and l2wire-bind')
      expect((await readdir(folder)).sort()).to.deep.equal(['l2wire', 'l2wire-bind'])
      const [one, other] = [
        await stat(join(folder, 'l2wire')),
        await stat(join(folder, 'l2wire-bind')),
      ]
      expect(one.ino).to.equal(other.ino)
      expect(one.mode & 0o777).to.equal(0o755)
    })

    it('writes down where the agent listens, beside the plugins, unless that is the default', async () => {
      const file = join(folder, 'l2wire.socket')
      const installAt = async (socket: string): ReturnType<typeof runTool> =>
        runTool('install', '--plugins', folder, '--socket', socket)
      expect(await installAt('/run/other/agent.sock')).to.include({ exitCode: 0, stderr: '' })
      expect(await readFile(file, 'utf8')).to.equal('/run/other/agent.sock\n')
      expect((await stat(file)).mode & 0o777).to.equal(0o644)
      expect(await installAt('/run/l2wire/agent.sock')).to.include({ exitCode: 0, stderr: '' })
      expect((await readdir(folder)).sort()).to.deep.equal(['l2wire', 'l2wire-bind'])
      const refused = await installAt('agent.sock')
      expect(refused.exitCode).to.equal(1)
      expect(refused.stderr).to.include('--socket').and.include('agent.sock')
    })

    it('leaves what is up to date alone', async () => {
      await install()
      const before = await stat(join(folder, 'l2wire'))
      const { stdout } = await install()
      expect(stdout).to.include('up to date')
      expect((await stat(join(folder, 'l2wire'))).ino).to.equal(before.ino)
    })

    it('replaces a plugin while it runs, which goes on with its old file', async () => {
      await install()
      // An older version: the same program with a byte behind it.
      const path = join(folder, 'l2wire')
      await writeFile(path, Buffer.concat([await readFile(path), Buffer.of(0)]))
      const running = startPlugin(path)
      try {
        await running.started
        const { exitCode, stderr } = await install()
        expect(exitCode, stderr).to.equal(0)
        expect(await readFile(path)).to.deep.equal(await readFile(join(BIN, 'l2wire')))
        expect(running.child.exitCode).to.equal(null)
        running.child.stdin?.end('not JSON')
        expect(await running.output).to.include('"code": 6')
      } finally {
        running.child.kill('SIGKILL')
      }
    })

    it('clears up after an installer that was killed', async () => {
      await writeFile(join(folder, '.l2wire-install-1'), 'half')
      await writeFile(join(folder, 'bridge'), 'not ours')
      await install()
      expect((await readdir(folder)).sort()).to.deep.equal(['bridge', 'l2wire', 'l2wire-bind'])
    })

    it('makes two names of one file again', async () => {
      await install()
      await rm(join(folder, 'l2wire-bind'))
      await writeFile(join(folder, 'other'), 'x')
      await link(join(folder, 'other'), join(folder, 'l2wire-bind'))
      const { stdout } = await install()
      expect(stdout).to.include('installed l2wire-bind')
      expect(await readFile(join(folder, 'other'), 'utf8')).to.equal('x')
    })

    describe('of a packed plugin', () => {
      let from = ''
      beforeEach(async () => {
        from = await mkdtemp(join(tmpdir(), 'l2w-packed-'))
        await packInto(from)
      })
      afterEach(async () => {
        await rm(from, { recursive: true })
      })
      const installFrom = async (): ReturnType<typeof runTool> =>
        runTool('install', '--from', from, '--plugins', folder)

      it('unpacks it, once', async () => {
        expect(await installFrom()).to.include({ exitCode: 0, stderr: '' })
        const installed = join(folder, 'l2wire')
        expect(await readFile(installed)).to.deep.equal(await readFile(join(BIN, 'l2wire')))
        const { ino, mode } = await stat(installed)
        expect(mode & 0o777).to.equal(0o755)
        expect((await installFrom()).stdout).to.include('up to date')
        expect((await stat(installed)).ino).to.equal(ino)
        // The same as comes unpacked.
        expect((await install()).stdout).to.include('up to date')
      })

      it('replaces another one of the same size', async () => {
        await installFrom()
        const bytes = await readFile(join(BIN, 'l2wire'))
        bytes[bytes.length - 1] = (bytes.at(-1) ?? 0) ^ 1
        await writeFile(join(folder, 'other'), bytes)
        await rename(join(folder, 'other'), join(folder, 'l2wire'))
        expect((await installFrom()).stdout).to.include('installed l2wire')
        expect(await readFile(join(folder, 'l2wire'))).to.deep.equal(
          await readFile(join(BIN, 'l2wire')),
        )
      })

      const spoil = [
        { name: 'a hash that is not its', note: { sha256: '0'.repeat(64) }, want: /SHA-256 0000/ },
        { name: 'a size that is less', note: { size: 10 }, want: /10 bytes/ },
        { name: 'a size that is more', note: { size: 1e9 }, want: /1000000000 bytes/ },
        { name: 'a note of nothing', note: { size: undefined }, want: /: size": it is missing/ },
      ]
      for (const { name, note, want } of spoil)
        it(`refuses ${name}, and leaves the folder as it is`, async () => {
          await packInto(from, note)
          const { exitCode, stderr } = await installFrom()
          expect(exitCode).to.equal(1)
          expect(stderr).to.match(want)
          expect(await readdir(folder)).to.deep.equal([])
        })

      it('refuses one that is cut', async () => {
        const path = join(from, 'l2wire.zst')
        await writeFile(path, (await readFile(path)).subarray(0, 1000))
        expect((await installFrom()).exitCode).to.equal(1)
        expect(await readdir(folder)).to.deep.equal([])
      })
    })

    it('installs nothing that does not run here', async () => {
      const from = await mkdtemp(join(tmpdir(), 'l2w-from-'))
      try {
        await writeFile(join(from, 'l2wire'), '\x7fELF, but of another machine')
        const { exitCode, stderr } = await runTool('install', '--from', from, '--plugins', folder)
        expect(exitCode).to.equal(1)
        expect(stderr).to.include('does not run here')
        expect(await readdir(folder)).to.deep.equal([])
      } finally {
        await rm(from, { recursive: true })
      }
    })

    it('tells the network daemons whose folders it is given, and no others', async () => {
      const configuration = await mkdtemp(join(tmpdir(), 'l2w-etc-'))
      try {
        const networkd = ['--networkd', configuration]
        const absent = ['--network-manager', join(configuration, 'none')]
        const argv = ['install', '--plugins', folder, ...networkd, ...absent]
        const first = await runTool(...argv)
        expect(first.exitCode, first.stderr).to.equal(0)
        expect(first.stdout).to.include(`${join(configuration, 'none')}: no such folder`)
        const files = ['05-l2wire.link', '05-l2wire.network']
        expect((await readdir(configuration)).sort()).to.deep.equal(files)
        for (const file of files) {
          const path = join(configuration, file)
          expect((await stat(path)).mode & 0o777).to.equal(0o644)
          const source = join(ROOT, 'deploy/node/systemd-networkd', file)
          expect(await readFile(path, 'utf8')).to.equal(await readFile(source, 'utf8'))
        }
        await writeFile(join(configuration, '05-l2wire.link'), 'an older one')
        expect((await runTool(...argv)).stdout).to.include('installed 05-l2wire.link\n')
        expect((await runTool(...argv)).stdout).to.include(`${configuration}: up to date`)
      } finally {
        await rm(configuration, { recursive: true })
      }
    })

    it('names a folder that is not there', async () => {
      const { exitCode, stderr } = await runTool('install', '--plugins', join(folder, 'none'))
      expect(exitCode).to.equal(1)
      expect(stderr).to.include(join(folder, 'none'))
    })
  })

  describe('alive and ready', () => {
    it('tell a working agent, one whose store is away, and one that is dead', async () => {
      await using node = await newLabNode()
      const probe = async (command: string) => runTool(command, '--socket', node.socket)
      for (const command of ['alive', 'ready'])
        expect((await probe(command)).exitCode, command).to.equal(0)
      // What the store's folder was is a file now.
      const store = node.storeUrl.slice('file://'.length)
      await rm(store, { recursive: true, force: true })
      await writeFile(store, '')
      expect((await probe('alive')).exitCode).to.equal(0)
      const unready = await probe('ready')
      expect(unready.exitCode).to.equal(1)
      expect(unready.stderr).to.include('the store is not available')
      await node.stopAgent('SIGKILL')
      for (const command of ['alive', 'ready']) {
        const dead = await probe(command)
        expect(dead.exitCode, command).to.equal(1)
        expect(dead.stderr).to.include(node.socket)
      }
    })

    it('give an agent up that takes the question and never answers', async () => {
      const socket = join(folder, 'hung.sock')
      const server = createServer(() => undefined).listen(socket)
      try {
        await once(server, 'listening')
        const { exitCode, stderr } = await runTool('alive', '--socket', socket)
        expect(exitCode).to.equal(1)
        expect(stderr).to.include('no answer within 4 s')
      } finally {
        server.close()
      }
    })
  })

  it('says what it knows', async () => {
    expect((await runTool('--help')).stdout)
      .to.include('install')
      .and.include('ready')
    const { exitCode, stderr } = await runTool('juggle')
    expect(exitCode).to.equal(1)
    expect(stderr).to.include('juggle').and.include('uninstall')
  })
})

/** A plugin in the middle of a call: it waits for its configuration. */
function startPlugin(path: string) {
  const child: ChildProcess = spawn(path, [], {
    env: {
      CNI_COMMAND: 'STATUS',
      CNI_PATH: '/x',
    },
    stdio: ['pipe', 'pipe', 'inherit'],
  })
  let text = ''
  child.stdout?.setEncoding('utf8').on('data', (chunk: string) => (text += chunk))
  const started = once(child, 'spawn')
  const output = once(child, 'close').then(() => text)
  return { child, started, output }
}
