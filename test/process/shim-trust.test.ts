// Whom the CNI plugin speaks to, how much it listens to, and where it writes: it is root, and a path may
// lead through folders of others.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import {
  chmod,
  chown,
  lchown,
  mkdir,
  readFile,
  rename,
  rm,
  symlink,
  writeFile,
} from 'node:fs/promises'
import { createServer, type Server, type Socket } from 'node:net'
import { join } from 'node:path'

import { expect } from 'chai'
import { afterEach, beforeEach, describe, it } from 'mocha'

import { LINE_BYTES_MAX } from '../../core/cni/protocol.ts'
import { callPlugin, type CniAnswer, type CniCall } from '../../lab/cni.ts'
import { ROOT } from '../../lab/manifests.ts'
import { newTemporaryFolder } from '../../lab/temporary-folder.ts'
import { listFolder } from '../../store/json-file.ts'

const CONFIG = { cniVersion: '1.1.0', name: 'w', type: 'l2wire' }
const ADD: CniCall = {
  command: 'ADD',
  containerID: 'c'.repeat(64),
  ifname: 'eth1',
  netns: '/run/netns/x',
}
const DEL: CniCall = { ...ADD, command: 'DEL' }
const YES = '{"protocol":1,"isError":false}\n'
const OTHER = 1000

describe('the CNI plugin and those who are not root', function () {
  this.timeout(90_000)
  let made: AsyncDisposableStack
  let folder: string
  let socket: string

  beforeEach(async () => {
    made = new AsyncDisposableStack()
    const top = made.use(await newTemporaryFolder('trust')).path
    await chmod(top, 0o755)
    folder = join(top, 'run')
    await mkdir(folder, { mode: 0o755 })
    socket = join(folder, 'agent.sock')
  })
  afterEach(async () => made.disposeAsync())

  const call = async (cniCall: CniCall, path = socket): Promise<CniAnswer> =>
    callPlugin(join(ROOT, 'dist/bin/l2wire'), { ...cniCall, socket: path }, JSON.stringify(CONFIG))

  /** Serves each connection, until the test's end. */
  const listen = async (serve: (client: Socket) => void): Promise<void> => {
    const clients = new Set<Socket>()
    const server: Server = createServer((client) => {
      clients.add(client)
      client.on('error', () => undefined)
      serve(client)
    })
    made.defer(async () => {
      for (const client of clients) client.destroy()
      server.close()
      await once(server, 'close')
    })
    server.listen(socket)
    await once(server, 'listening')
  }

  const spoils: Readonly<Record<string, () => Promise<unknown>>> = {
    "is another user's": async () => chown(socket, OTHER, OTHER),
    'may be written to by others': async () => chmod(socket, 0o722),
    "is in another user's folder": async () => chown(folder, OTHER, OTHER),
    'is in a folder that others may write to': async () => chmod(folder, 0o757),
    "is in a folder below another user's": async () => chown(join(folder, '..'), OTHER, OTHER),
    'is reached by a link of another user': async () => {
      await rename(folder, `${folder}.real`)
      await symlink(`${folder}.real`, folder)
      await lchown(folder, OTHER, OTHER)
    },
    'is reached by a link that leads through a folder of another user': async () => {
      const between = join(folder, '..', 'between')
      await mkdir(between)
      await rename(folder, join(between, 'run'))
      await symlink('between/run', folder)
      await chown(between, OTHER, OTHER)
    },
  }
  for (const [what, spoil] of Object.entries(spoils))
    it(`says nothing to a socket that ${what}`, async () => {
      let asked = 0
      await listen((client) => {
        asked += 1
        client.end(YES)
      })
      await spoil()
      const { exitCode, output } = await call(ADD)
      expect(exitCode).to.equal(1)
      expect(output).to.include({ code: 11 })
      expect(String(output?.['details'])).to.match(/belongs to user 1000|others than root/)
      expect(asked).to.equal(0)
    })

  it('says nothing to another user who listens on a socket of root', async () => {
    const script = `use Socket; socket(S, AF_UNIX, SOCK_STREAM, 0); bind(S, sockaddr_un($ARGV[0])) or die;
      $> = ${OTHER}; listen(S, 1) or die; syswrite(STDOUT, "."); accept(C, S); sysread(C, $said, 1); print $said`
    const child = spawn('perl', ['-e', script, socket], { stdio: ['ignore', 'pipe', 'inherit'] })
    let heard = ''
    child.stdout.setEncoding('utf8').on('data', (text: string) => (heard += text))
    const ended = once(child, 'close')
    made.defer(() => {
      child.kill('SIGKILL')
    })
    await once(child.stdout, 'data')
    const { output } = await call(ADD)
    expect(output).to.include({ code: 11 })
    expect(output?.['msg']).to.include('user 1000 listens')
    await ended
    expect(heard).to.equal('.')
  })

  it('takes a socket that a link of root leads to', async () => {
    await listen((client) => client.end(YES))
    const link = join(folder, '..', 'link')
    await symlink('run', link)
    expect(await call(DEL, join(link, 'agent.sock'))).to.include({ exitCode: 0, stderr: '' })
  })

  it('takes no more of an answer than one may have', async () => {
    let taken = 0
    await listen((client) => {
      const chunk = Buffer.alloc(1024 * 1024, 'x')
      const go = (): void => {
        while (!client.destroyed && client.write(chunk));
      }
      client.on('drain', go).on('close', () => (taken = client.bytesWritten))
      go()
    })
    const { output } = await call(ADD)
    expect(output).to.include({ code: 11 })
    expect(output?.['msg']).to.include(String(LINE_BYTES_MAX))
    // What a reader at rest lets pass: the buffers of the two sides.
    expect(taken).to.be.lessThan(4 * LINE_BYTES_MAX)
  })

  it('gives an answer its time once, however it drops', async () => {
    await listen((client) => {
      const dropping = setInterval(() => client.write(' '), 50)
      client.on('close', () => clearInterval(dropping))
    })
    const answer = await call(DEL)
    expect(answer).to.include({ exitCode: 0, stdout: '' })
    expect(answer.stderr).to.include('did not answer within 10 s')
  })

  it('passes on what an IPAM plugin says, in characters that show', async () => {
    const bin = join(folder, 'bin')
    await mkdir(bin)
    const script = String.raw`#!/bin/sh
printf 'a\033[2Jb\nc\n' >&2
printf '%s' '{"code":7,"msg":"x\u001b[2J\ny"}'
exit 1
`
    await writeFile(join(bin, 'l2wipam'), script)
    await chmod(join(bin, 'l2wipam'), 0o755)
    await listen((client) => client.end(YES))
    const config = JSON.stringify({ ...CONFIG, ipam: { type: 'l2wipam' } })
    const plugin = join(ROOT, 'dist/bin/l2wire')
    const answer = await callPlugin(plugin, { ...DEL, socket, path: bin }, config)
    expect(answer.stderr).to.equal('a\\x1b[2Jb\nc\n')
    expect(answer.output?.['msg']).to.include(String.raw`x\x1b[2J\ny`)
  })

  it('runs an IPAM plugin once', async () => {
    const bin = join(folder, 'bin')
    await mkdir(bin)
    await writeFile(
      join(bin, 'l2wipam'),
      `#!/bin/sh\necho $CNI_COMMAND >>${folder}/asked\necho {}\n`,
    )
    await chmod(join(bin, 'l2wipam'), 0o755)
    await listen((client) => {
      client.on('data', () => client.write('{"protocol":1,"question":"ipam"}\n'))
    })
    const config = JSON.stringify({ ...CONFIG, ipam: { type: 'l2wipam' } })
    const plugin = join(ROOT, 'dist/bin/l2wire')
    const { output } = await callPlugin(plugin, { ...ADD, socket, path: bin }, config)
    expect(output).to.include({ code: 11 })
    expect(await readFile(join(folder, 'asked'), 'utf8')).to.equal('ADD\nDEL\n')
  })

  const expectNoNote = async (): Promise<void> => {
    const { exitCode, output } = await call(DEL)
    expect(exitCode).to.equal(1)
    expect(output).to.include({ code: 5 })
  }

  describe('leaves no release note', () => {
    for (const [what, spoil] of [
      ["another user's", async (released: string) => chown(released, OTHER, OTHER)],
      ['one that others may write to', async (released: string) => chmod(released, 0o777)],
      ['one that others may write to, sticky', async (released: string) => chmod(released, 0o1777)],
    ] as const)
      it(`in a folder that is ${what}`, async () => {
        const released = join(folder, 'released')
        await mkdir(released)
        await spoil(released)
        await expectNoNote()
        expect(await listFolder(released)).to.deep.equal([])
      })

    it('behind a link of another user', async () => {
      const target = join(folder, '..', 'target')
      await mkdir(target)
      await symlink(target, join(folder, 'released'))
      await lchown(join(folder, 'released'), OTHER, OTHER)
      await expectNoNote()
      expect(await listFolder(target)).to.deep.equal([])
    })

    it('in folders to be made below one of another user', async () => {
      await chown(folder, OTHER, OTHER)
      const { output } = await call(DEL, join(folder, 'new/place/agent.sock'))
      expect(output).to.include({ code: 5 })
      expect(await listFolder(folder)).to.deep.equal([])
    })
  })

  it('makes what is missing of the folder of notes, for root alone', async () => {
    await rm(folder, { recursive: true })
    expect(await call(DEL)).to.include({ exitCode: 0 })
    expect(await listFolder(join(folder, 'released'))).to.deep.equal([
      `${DEL.containerID}@eth1.json`,
    ])
  })
})
