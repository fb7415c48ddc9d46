// The CNI plugin where no agent answers: a DEL gets through with a note, everything else is told to come
// again.
import {
  chmod,
  chown,
  copyFile,
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  rename,
  rm,
  symlink,
  writeFile,
} from 'node:fs/promises'
import { createServer, type Server } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'

import { expect } from 'chai'
import { afterEach, beforeEach, describe, it } from 'mocha'

import { LINE_BYTES_MAX, type CniRequest } from '../../core/cni/protocol.ts'
import { decodeNote } from '../../core/attach/release-note.ts'
import { callPlugin, type CniAnswer, type CniCall } from '../../lab/cni.ts'
import { ROOT, type Manifest } from '../../lab/manifests.ts'
import { listFolder } from '../../store/json-file.ts'

const CONFIG = { cniVersion: '1.1.0', name: 'w', type: 'l2wire' }
const DEL: CniCall = { command: 'DEL', containerID: 'c1', ifname: 'eth1', netns: '/run/netns/x' }
const FILE = 'c1@eth1.json'
const YES = '{"protocol":1,"isError":false}'

describe('the CNI plugin without an agent', function () {
  this.timeout(90_000)
  let folder: string
  let socket: string
  let servers: Server[]

  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'l2w-shim-'))
    socket = join(folder, 'agent.sock')
    servers = []
  })
  afterEach(async () => {
    for (const server of servers) server.close()
    await rm(folder, { recursive: true })
  })

  const call = async (cniCall: CniCall, config: Manifest = CONFIG): Promise<CniAnswer> => {
    const executable = join(ROOT, 'dist/bin', String(config['type']))
    return callPlugin(executable, { ...cniCall, socket }, JSON.stringify(config))
  }
  const collect = async (config: Manifest, path: string): Promise<CniAnswer> =>
    call({ command: 'GC', path }, config)
  const listNotes = async (): Promise<readonly string[]> => listFolder(join(folder, 'released'))
  const readNote = async (file: string): Promise<CniRequest> =>
    decodeNote(await readFile(join(folder, 'released', file), 'utf8'), file)

  /** Takes connections, and gives each request these answers in turn; none: says nothing. */
  const listen = async (answer?: (line: string) => string): Promise<void> => {
    const server = createServer((client) => {
      let text = ''
      client.setEncoding('utf8').on('data', (chunk: string) => {
        text += chunk
        if (text.endsWith('\n') && answer !== undefined) client.end(`${answer(text)}\n`)
      })
      client.on('error', () => undefined)
    })
    servers.push(server)
    await new Promise<void>((resolve) => server.listen(socket, resolve))
  }

  it('DEL: yes, with a note; again, and under either name', async () => {
    const answer = await call(DEL)
    expect(answer).to.include({ exitCode: 0, stdout: '' })
    expect(answer.stderr).to.include(socket)
    const note = await readNote(FILE)
    expect(note.args).to.include({ command: 'DEL', containerID: 'c1', ifname: 'eth1' })
    expect(note.config).to.deep.equal(CONFIG)
    await call(DEL)
    const tap = { ...DEL, ifname: 'net1' }
    expect(await call(tap, { ...CONFIG, name: 'b', type: 'l2wire-bind' })).to.include({
      exitCode: 0,
    })
    expect(await listNotes()).to.deep.equal([FILE, 'c1@net1.json'])
    const { config } = await readNote('c1@net1.json')
    expect(config).to.include({ name: 'b', type: 'l2wire-bind' })
  })

  it('DEL: the note is what the agent would have heard, byte for byte', async () => {
    const more = { ...DEL, args: 'K8S_POD_NAME=ä', path: '/opt/cni/bin' }
    await call(more)
    let heard = ''
    await listen((line) => {
      heard = line
      return YES
    })
    await call(more)
    expect(await readFile(join(folder, 'released', FILE), 'utf8')).to.equal(heard)
  })

  it('DEL of a socket file that nobody listens on any more: the same', async () => {
    await writeFile(socket, '')
    expect(await call(DEL)).to.include({ exitCode: 0, stdout: '' })
    expect(await listNotes()).to.deep.equal([FILE])
  })

  it("DEL of a network that names a socket, as one of 0.3.0's may: the node's own is asked", async () => {
    await listen(() => YES)
    const elsewhere = join(folder, 'tenant', 'agent.sock')
    const answer = await call(DEL, { ...CONFIG, socket: elsewhere })
    expect(answer).to.include({ exitCode: 0, stdout: '', stderr: '' })
    expect(await readdir(folder)).to.deep.equal(['agent.sock'])
  })

  describe("root's file beside the plugins", () => {
    let plugins: string
    beforeEach(async () => {
      plugins = join(folder, 'plugins')
      await mkdir(plugins)
      await copyFile(join(ROOT, 'dist/bin/l2wire'), join(plugins, 'l2wire'))
    })
    const ask = async (): Promise<CniAnswer> =>
      callPlugin(join(plugins, 'l2wire'), DEL, JSON.stringify(CONFIG))

    it('says which socket is asked', async () => {
      await listen(() => YES)
      await writeFile(join(plugins, 'l2wire.socket'), `${socket}\n`)
      expect(await ask()).to.include({ exitCode: 0, stdout: '', stderr: '' })
    })

    for (const [what, spoil] of [
      ['belongs to another', async (file: string) => chown(file, 1000, 1000)],
      ['may be written by others', async (file: string) => chmod(file, 0o646)],
      ['names no path', async (file: string) => writeFile(file, 'agent.sock\n')],
      [
        'is a link',
        async (file: string) => {
          await rename(file, `${file}.real`)
          await symlink(`${file}.real`, file)
        },
      ],
    ] as const)
      it(`that ${what}: error 5, and nobody is asked`, async () => {
        let asked = 0
        await listen(() => {
          asked += 1
          return YES
        })
        const file = join(plugins, 'l2wire.socket')
        await writeFile(file, `${socket}\n`)
        await spoil(file)
        const { exitCode, output } = await ask()
        expect(exitCode).to.equal(1)
        expect(output).to.include({ code: 5 })
        expect(output?.['msg']).to.include(file)
        expect(asked).to.equal(0)
      })
  })

  it('DEL of a configuration that names no network: yes, and a note of what the name of the program says', async () => {
    expect(await call(DEL, { ...CONFIG, name: 5 })).to.include({ exitCode: 0 })
    expect(await listNotes()).to.deep.equal([FILE])
    expect((await readNote(FILE)).config).to.deep.equal({ cniVersion: '1.1.0', type: 'l2wire' })
  })

  it('DEL while the agent comes back within the patience: its answer, and no note', async () => {
    const asked = call(DEL)
    await sleep(300)
    await listen(() => YES)
    expect(await asked).to.include({ exitCode: 0, stdout: '', stderr: '' })
    expect(await listNotes()).to.deep.equal([])
  })

  it('DEL while the agent goes away in the middle and comes back: its second answer', async () => {
    let asked = 0
    await listen(() => {
      asked += 1
      return asked === 1 ? '' : YES
    })
    expect(await call(DEL)).to.include({ exitCode: 0, stderr: '' })
    expect(asked).to.equal(2)
    expect(await listNotes()).to.deep.equal([])
  })

  it('DEL that an agent takes and does not answer: a note, too', async () => {
    await listen()
    const answer = await call(DEL)
    expect(answer).to.include({ exitCode: 0, stdout: '' })
    expect(answer.stderr).to.include('did not answer within 10 s')
    expect(await listNotes()).to.deep.equal([FILE])
  })

  it('DEL that the agent refuses is refused', async () => {
    const output = { cniVersion: '1.1.0', code: 100, msg: 'no' }
    await listen(() => JSON.stringify({ protocol: 1, isError: true, output }))
    expect((await call(DEL)).output).to.deep.equal(output)
    expect(await listNotes()).to.deep.equal([])
  })

  it('DEL whose note cannot be written either: error 5, which names it', async () => {
    await writeFile(join(folder, 'released'), '')
    const { exitCode, output } = await call(DEL)
    expect(exitCode).to.equal(1)
    expect(output).to.include({ code: 5 })
    expect(output?.['msg']).to.include(join(folder, 'released', FILE))
    expect(await readdir(folder)).to.deep.equal(['released'])
  })

  it("DEL with an IPAM plugin: that one's DEL is run all the same", async () => {
    const bin = join(folder, 'bin')
    await mkdir(bin)
    await writeFile(join(bin, 'l2wipam'), `#!/bin/sh\necho $CNI_COMMAND >>${folder}/asked\n`)
    await chmod(join(bin, 'l2wipam'), 0o755)
    const config = { ...CONFIG, ipam: { type: 'l2wipam' } }
    expect(await call({ ...DEL, path: bin }, config)).to.include({ exitCode: 0, stdout: '' })
    expect(await readFile(join(folder, 'asked'), 'utf8')).to.equal('DEL\n')
    expect(await listNotes()).to.deep.equal([FILE])
  })

  it('ADD, CHECK and GC are told to come again, and STATUS that it is not available', async () => {
    for (const [command, code] of [
      ['ADD', 11],
      ['CHECK', 11],
      ['GC', 11],
      ['STATUS', 50],
    ] as const)
      expect((await call({ ...DEL, command })).output, command).to.include({ code })
    expect(await listNotes()).to.deep.equal([])
  })

  describe('GC', () => {
    it('goes to the agent whole, ten thousand attachments and all', async () => {
      const list = Array.from({ length: 10_000 }, (_, at) => ({
        containerID: at.toString(16).padStart(64, '0'),
        ifname: 'pod0123456789ab',
      }))
      let bytes = 0
      let last: unknown
      await listen((line) => {
        bytes = line.length
        const { config } = JSON.parse(line) as { config: Record<string, unknown[]> }
        last = config['cni.dev/valid-attachments']?.at(-1)
        return YES
      })
      const config = { ...CONFIG, 'cni.dev/valid-attachments': list }
      expect(await collect(config, '/nowhere')).to.include({ exitCode: 0, stdout: '' })
      expect(last).to.deep.equal(list.at(-1))
      expect(bytes).to.be.greaterThan(1_000_000).and.lessThan(LINE_BYTES_MAX)
    })

    for (const [agent, plugin, code] of [
      ['yes', 'exit 0', undefined],
      ['no', 'exit 0', 11],
      ['yes', `echo '{"code":7,"msg":"no"}'; exit 1`, 7],
      ['no', `echo '{"code":7,"msg":"no"}'; exit 1`, 11],
    ] as const)
      it(`agent ${agent}, IPAM plugin ${plugin}: both are asked, ${code ?? 'yes'}`, async () => {
        await writeFile(join(folder, 'l2wgc'), `#!/bin/sh\ncat >${folder}/gc\n${plugin}\n`)
        await chmod(join(folder, 'l2wgc'), 0o755)
        let asked = 0
        if (agent === 'yes')
          await listen(() => {
            asked += 1
            return YES
          })
        const valid = { 'cni.dev/valid-attachments': [] }
        const answer = await collect({ ...CONFIG, ...valid, ipam: { type: 'l2wgc' } }, folder)
        expect(answer.output?.['code']).to.equal(code)
        expect(asked).to.equal(agent === 'yes' ? 1 : 0)
        expect(JSON.parse(await readFile(join(folder, 'gc'), 'utf8'))).to.deep.include(valid)
      })
  })
})
