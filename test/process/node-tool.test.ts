// What the DaemonSet runs beside the agent: the plugins come whole, and the probes tell an agent that is
// dead from one whose store is away. How all that goes: uninstall.test.ts.
import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { link, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

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
