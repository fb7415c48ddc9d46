// Verbs that cross each other, agents that die, things that vanish or are tampered with: a working
// wire stays as it is, DEL always gets through, and nothing is left.
import { chmod, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises'
import { connect, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'

import { expect } from 'chai'
import { after, afterEach, before, describe, it } from 'mocha'

import { toHostDeviceName } from '../../core/name.ts'
import { run } from '../../kernel/run.ts'
import { callPlugin, type CniAnswer, type CniCall } from '../../lab/cni.ts'
import { ROOT, type Manifest } from '../../lab/manifests.ts'
import { newLabNetns, type LabNetns } from '../../lab/netns.ts'
import { newLabNode, type LabNode } from '../../lab/node.ts'
import { listTraces } from '../../lab/traces.ts'

const CONFIG = { cniVersion: '1.1.0', name: 'w', type: 'l2wire' }
const BIND = { cniVersion: '1.1.0', name: 'bind', type: 'l2wire-bind' }

function toCall(command: string, netns: LabNetns, id: string, ifname = 'eth1'): CniCall {
  return {
    command,
    containerID: id,
    netns: netns.path,
    ifname,
    args: `K8S_POD_NAMESPACE=lab;K8S_POD_NAME=${id}`,
  }
}

describe('trouble', function () {
  this.timeout(90_000)
  let node: LabNode
  let a: LabNetns
  let b: LabNetns
  let slow: string
  let traces: readonly string[]

  before(async () => {
    traces = await listTraces()
    slow = await mkdtemp(join(tmpdir(), 'l2w-slow-'))
    // Slow while the file "on" is there; a failure that is injected, not a kernel that is played.
    await writeFile(
      join(slow, 'nsenter'),
      `#!/bin/sh\n[ -e ${slow}/on ] && sleep 1\nexec /usr/bin/nsenter "$@"\n`,
    )
    await chmod(join(slow, 'nsenter'), 0o755)
    node = await newLabNode({ pathFirst: slow })
    a = await newLabNetns('a')
    b = await newLabNetns('b')
  })
  after(async () => {
    await b[Symbol.asyncDispose]()
    await a[Symbol.asyncDispose]()
    await node[Symbol.asyncDispose]()
    await rm(slow, { recursive: true })
    expect(await listTraces()).to.deep.equal(traces)
  })
  afterEach('leaves nothing', async () => {
    await rm(join(slow, 'on'), { force: true })
    expect((await listTraces()).filter((line) => line.startsWith('link'))).to.deep.equal([])
    expect(await node.listDocuments()).to.deep.equal([])
    for (const netns of [a, b]) expect(await listNames(netns)).to.deep.equal(['lo'])
  })

  const add = async (netns: LabNetns, id: string, ifname = 'eth1'): Promise<Manifest> =>
    node.mustCall(CONFIG, toCall('ADD', netns, id, ifname))
  const del = async (netns: LabNetns, id: string, ifname = 'eth1'): Promise<Manifest> =>
    node.mustCall(CONFIG, toCall('DEL', netns, id, ifname))
  const check = async (netns: LabNetns, id: string): Promise<CniAnswer> =>
    node.call({ ...CONFIG, prevResult: {} }, toCall('CHECK', netns, id))
  /** Stops the agent from hearing the kernel's events, or lets it hear them again. */
  const signalHearing = async (signal: 'STOP' | 'CONT'): Promise<void> => {
    const agent = (await run(['pgrep', '-f', `socket ${node.socket}`])).trim()
    await run(['pkill', `-${signal}`, '--parent', agent, '-f', 'monitor'])
  }

  describe('DEL gets through', () => {
    const edits: readonly { name: string; config: object; call?: Partial<CniCall> }[] = [
      { name: 'with an ipam that ADD would refuse', config: { ipam: { type: 5 } } },
      { name: 'with an IPAM plugin that is not there', config: { ipam: { type: 'l2w-none' } } },
      { name: 'with an mtu of the wrong type', config: { mtu: 'big' } },
      { name: 'with CNI_ARGS that are nonsense', config: {}, call: { args: 'nonsense' } },
      { name: 'with a CNI_NETNS that is nonsense', config: {}, call: { netns: 'x"y' } },
    ]
    for (const { name, config, call } of edits)
      it(name, async () => {
        await add(a, 'c1')
        await node.mustCall({ ...CONFIG, ...config }, { ...toCall('DEL', a, 'c1'), ...call })
      })

    for (const text of ['{"version":', '{"version":2}', '[]'])
      it(`when the attachment's document is ${text}`, async () => {
        await add(a, 'c1')
        const folder = join(node.stateDir, 'attachments')
        for (const file of await readdir(folder)) await writeFile(join(folder, file), text)
        await del(a, 'c1')
        // The claim is the one thing nobody can name any more; its end's next sandbox takes it over.
        await add(a, 'c1')
        await del(a, 'c1')
      })

    it("when the wire's document cannot be read, which stays for somebody to look at", async () => {
      await add(a, 'c1')
      const path = join(node.folder, 'store', 'lab.w.json')
      await writeFile(path, '{"version":')
      await del(a, 'c1')
      expect(node.readLog()).to.include('cannot read a wire')
      await rm(path)
    })

    it("but not to another network's interface", async () => {
      await add(a, 'c1')
      await node.mustCall({ ...CONFIG, name: 'other' }, toCall('DEL', a, 'c1'))
      await node.mustCall({ ...BIND, name: 'w' }, toCall('DEL', a, 'c1'))
      expect(await listNames(a)).to.include('eth1')
      await del(a, 'c1')
    })
  })

  describe('verbs that cross', () => {
    it('a DEL waits for the ADD it follows', async () => {
      await writeFile(join(slow, 'on'), '')
      const adding = add(a, 'c1')
      await sleep(300)
      await Promise.all([adding, del(a, 'c1')])
    })

    it('of two ADDs of one interface on two wires one wins, and is whole', async () => {
      const other = { ...CONFIG, name: 'w2' }
      const answers = await Promise.all(
        [CONFIG, other].map(async (config) => node.call(config, toCall('ADD', a, 'c1'))),
      )
      expect(answers.map(({ exitCode }) => exitCode)).to.have.members([0, 1])
      expect(await listNames(a)).to.deep.equal(['eth1', 'lo'])
      for (const config of [CONFIG, other]) await node.mustCall(config, toCall('DEL', a, 'c1'))
    })

    it('ADDs and DELs of both ends at once, over and over', async () => {
      for (let round = 0; round < 10; round += 1) {
        await Promise.all([add(a, 'c1'), add(b, 'c2')])
        await expectJoined(true)
        await Promise.all([del(a, 'c1'), add(a, 'c3', 'eth2').catch(String), del(b, 'c2')])
        await del(a, 'c3', 'eth2')
      }
    })

    it('an end is plugged in while the far end is being torn down', async () => {
      for (let round = 0; round < 12; round += 1) {
        const far = await newLabNetns('far')
        await add(far, 'c9')
        const going = sleep(round * 3).then(async () => far[Symbol.asyncDispose]())
        await add(a, 'c1')
        await going
        await del(a, 'c1')
        await del(far, 'c9')
      }
    })
  })

  describe('a working wire', () => {
    before(async () => {
      await add(a, 'c1')
      await add(b, 'c2')
    })
    // The outer afterEach asks for nothing left, so each test unplugs and plugs in again.
    afterEach(async () => {
      await del(a, 'c1')
      await del(b, 'c2')
    })

    it('survives a newer sandbox of one end that fails', async () => {
      await using newer = await newLabNetns('newer')
      await newer.run(['ip', 'link', 'add', 'name', 'eth1', 'type', 'veth', 'peer', 'name', 'p'])
      const call = { ...toCall('ADD', newer, 'c1'), containerID: 'c7' }
      expect((await node.call(CONFIG, call)).output).to.include({ code: 102 })
      await expectJoined(true)
    })
  })

  describe('CHECK', () => {
    const tampering: readonly {
      name: string
      argv: readonly string[]
      inPod?: true
      word: string
    }[] = [
      {
        name: 'a redirect is gone',
        argv: ['tc', 'filter', 'del', 'dev', toHostDeviceName('c1', 'eth1'), 'ingress'],
        word: 'leads to ""',
      },
      {
        name: 'the way back is gone',
        argv: ['tc', 'qdisc', 'del', 'dev', toHostDeviceName('c2', 'eth1'), 'clsact'],
        word: 'leads to ""',
      },
      {
        name: 'a host end is down',
        argv: ['ip', 'link', 'set', 'dev', toHostDeviceName('c1', 'eth1'), 'down'],
        word: 'is down',
      },
      {
        name: 'its host end is gone',
        argv: ['ip', 'link', 'del', 'dev', toHostDeviceName('c1', 'eth1')],
        word: 'not in the pod',
      },
      {
        name: 'the MAC is another',
        argv: ['ip', 'link', 'set', 'dev', 'eth1', 'address', '02:00:00:00:00:77'],
        inPod: true,
        word: 'MAC',
      },
      {
        name: 'the MTU is another',
        argv: ['ip', 'link', 'set', 'dev', 'eth1', 'mtu', '900'],
        inPod: true,
        word: 'MTU',
      },
    ]
    // An agent that hears of it mends it, perhaps before CHECK looks.
    before(async () => signalHearing('STOP'))
    after(async () => signalHearing('CONT'))

    for (const { name, argv, inPod, word } of tampering)
      it(`notices that ${name}`, async () => {
        await add(a, 'c1')
        await add(b, 'c2')
        expect((await check(a, 'c1')).exitCode).to.equal(0)
        await (inPod ? a.run(argv) : run(argv))
        const answer = await check(a, 'c1')
        expect(answer.output).to.include({ code: 105 })
        expect(answer.output?.['msg']).to.include(word)
        await del(a, 'c1')
        await del(b, 'c2')
      })
  })

  it("somebody else's filter on a host end is no obstacle, and stays", async () => {
    await add(a, 'c1')
    const dev = toHostDeviceName('c1', 'eth1')
    await run(['tc', 'qdisc', 'replace', 'dev', dev, 'clsact'])
    await run([
      'tc',
      'filter',
      'add',
      'dev',
      dev,
      'ingress',
      'pref',
      '77',
      'protocol',
      'all',
      'u32',
      'match',
      'u32',
      '0',
      '0',
      'action',
      'mirred',
      'egress',
      'redirect',
      'dev',
      'lo',
    ])
    await add(b, 'c2')
    await del(b, 'c2')
    const filters = await run(['tc', 'filter', 'show', 'dev', dev, 'ingress'])
    expect(filters).to.include('pref 77').and.not.include('pref 1 ')
    await del(a, 'c1')
  })

  it('a third end gets in where a holder is gone without DEL', async () => {
    const gone = await newLabNetns('gone')
    await add(gone, 'c9')
    await add(a, 'c1')
    await gone[Symbol.asyncDispose]()
    await add(b, 'c2')
    await expectJoined(true)
    for (const [netns, id] of [
      [a, 'c1'],
      [b, 'c2'],
      [a, 'c9'],
    ] as const)
      await del(netns, id)
  })

  describe('an agent', () => {
    it('killed in the middle of an ADD: error 11, and the next start takes the rest back', async () => {
      await writeFile(join(slow, 'on'), '')
      const asked = node.call(CONFIG, toCall('ADD', a, 'c1'))
      await sleep(500)
      expect(await node.listDocuments(), 'the intent is on disk').to.deep.equal(['c1@eth1.json'])
      await node.stopAgent('SIGKILL')
      const answer = await asked
      expect(answer.output).to.include({ code: 11 })
      expect(answer.output?.['msg']).to.include('went away before it answered')
      await rm(join(slow, 'on'))
      await node.startAgent()
      await sleep(800)
    })

    it('killed in the middle of a tap: no tap is born behind its successor', async () => {
      await add(a, 'c1', 'eth0')
      const bind = { ...BIND, args: { cni: { logicNetworkName: 'default' } } }
      await writeFile(join(slow, 'on'), '')
      const asked = node.call(bind, toCall('ADD', a, 'c1', 'net1'))
      await sleep(1500)
      await node.stopAgent('SIGKILL')
      expect((await asked).output).to.include({ code: 11 })
      await rm(join(slow, 'on'))
      await node.startAgent()
      await sleep(1200)
      expect(await listNames(a)).to.deep.equal(['eth0', 'lo'])
      await node.mustCall(bind, toCall('DEL', a, 'c1', 'net1'))
      await del(a, 'c1', 'eth0')
    })

    it('ends on SIGTERM whoever stays connected, and lives through whoever hangs up', async () => {
      const sockets = await Promise.all([
        openSocket(node.socket, 'x'),
        openSocket(node.socket, ''),
        openSocket(node.socket, `{"a":"${'y'.repeat(1000)}`),
      ])
      sockets[0].end()
      sockets[2].destroy()
      expect((await node.call(CONFIG, { command: 'STATUS' })).exitCode).to.equal(0)
      const started = performance.now()
      await node.stopAgent('SIGTERM')
      expect(performance.now() - started).to.be.lessThan(8000)
      for (const socket of sockets) socket.destroy()
      await node.startAgent()
    })

    it('answers a result it cannot print, and lives on', async () => {
      const deep = `${'{"a":'.repeat(9000)}1${'}'.repeat(9000)}`
      const config = `{"cniVersion":"1.1.0","name":"w","type":"l2wire","socket":"${node.socket}","prevResult":${deep}}`
      const answer = await callPlugin(join(ROOT, 'dist/bin/l2wire'), toCall('ADD', a, 'c1'), config)
      expect(answer.exitCode).to.equal(1)
      expect((await node.call(CONFIG, { command: 'STATUS' })).exitCode).to.equal(0)
      await del(a, 'c1')
    })

    it('does not take a socket from a living one, nor a file', async () => {
      const file = join(node.folder, 'file')
      await writeFile(file, '')
      for (const [socket, word] of [
        [node.socket, 'another agent'],
        [file, 'it is a file'],
      ] as const) {
        const state = await mkdtemp(join(tmpdir(), 'l2w-state-'))
        const argv = [
          '--store',
          node.storeUrl,
          '--node-name',
          'n2',
          '--socket',
          socket,
          '--state-dir',
          state,
        ]
        const said = await run([join(ROOT, 'dist/bin/l2wire-agent'), ...argv]).catch(String)
        expect(said).to.include(word)
        await rm(state, { recursive: true })
      }
      expect((await node.call(CONFIG, { command: 'STATUS' })).exitCode).to.equal(0)
    })

    it('ends when its lock on the state directory is lost', async () => {
      const holders = await run(['pgrep', '-f', `flock --timeout [0-9]+ ${node.stateDir}/lock`])
      await run(['kill', ...holders.trim().split('\n')])
      await sleep(300)
      expect((await node.call(CONFIG, { command: 'STATUS' })).output).to.include({ code: 50 })
      expect(node.readLog()).to.include('lock on the state directory is lost')
      await node.startAgent()
    })

    it('starts with one attachment it cannot look at, and sweeps what killed writers left', async () => {
      await add(a, 'c1')
      await node.stopAgent('SIGTERM')
      const folder = join(node.stateDir, 'attachments')
      const loop = join(node.folder, 'loop')
      await run(['ln', '-s', loop, loop])
      const [document = ''] = await readdir(folder)
      const text = JSON.parse(await run(['cat', join(folder, document)])) as Manifest
      const bad = {
        ...text,
        containerID: 'c5',
        hostDevice: 'lwnone',
        netns: { path: loop, inode: 1, bootId: 'x' },
      }
      await writeFile(join(folder, 'c5@eth1.json'), JSON.stringify(bad))
      await writeFile(join(folder, 'c6@eth1.json.999999999-1.tmp'), '{')
      await node.startAgent()
      expect(node.readLog()).to.include('ELOOP')
      expect(await readdir(folder)).to.deep.equal(['c1@eth1.json', 'c5@eth1.json'])
      await del(a, 'c5')
      await del(a, 'c1')
    })

    it('says that its store is not available', async () => {
      const path = join(node.folder, 'store')
      await run(['mv', path, `${path}.away`])
      await writeFile(path, '')
      expect((await node.call(CONFIG, { command: 'STATUS' })).output).to.include({ code: 50 })
      expect((await node.call(CONFIG, toCall('ADD', a, 'c1'))).output).to.include({ code: 5 })
      await rm(path)
      await run(['mv', `${path}.away`, path])
      await del(a, 'c1')
    })
  })

  async function expectJoined(isJoined: boolean): Promise<void> {
    for (const netns of [a, b]) {
      const state = await netns.run(['ip', '-br', 'link', 'show', 'dev', 'eth1'])
      expect(state.includes('LOWER_UP')).to.equal(isJoined)
    }
    for (const [netns, id] of [
      [a, 'c1'],
      [b, 'c2'],
    ] as const)
      expect((await check(netns, id)).exitCode).to.equal(0)
  }
})

async function listNames(netns: LabNetns): Promise<readonly string[]> {
  const links = JSON.parse(await netns.run(['ip', '-j', 'link', 'show'])) as { ifname: string }[]
  return links.map(({ ifname }) => ifname).sort()
}

async function openSocket(path: string, text: string): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect(path, () => {
      if (text !== '') socket.write(text)
      resolve(socket)
    })
    socket.on('error', reject)
  })
}
