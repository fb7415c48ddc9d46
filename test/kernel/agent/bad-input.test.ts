// What must not work, told in the spec's words and leaving nothing half-made.
import { connect } from 'node:net'

import { expect } from 'chai'
import { afterEach, describe, it } from 'mocha'

import type { CniAnswer, CniCall } from '../../../lab/cni.ts'
import type { Manifest } from '../../../lab/manifests.ts'
import { newLabNetns, type LabNetns } from '../../../lab/netns.ts'
import { newLabNode, type LabNode } from '../../../lab/node.ts'
import { listTraces } from '../../../lab/traces.ts'
import { expectNoLinks, leavesNothing } from '../../nothing-left.ts'
import { expectError } from '../fixture-refusal.ts'

const CONFIG = { cniVersion: '1.1.0', name: 'w', type: 'l2wire' }
const BIND = {
  cniVersion: '1.1.0',
  name: 'bind',
  type: 'l2wire-bind',
  args: { cni: { logicNetworkName: 'ge0' } },
}

function toPodCall(name: string): Partial<CniCall> {
  return { containerID: name, args: `K8S_POD_NAMESPACE=lab;K8S_POD_NAME=${name}` }
}

describe('bad input', function () {
  this.timeout(90_000)
  let node: LabNode
  let a: LabNetns
  let links: readonly string[]

  leavesNothing(async (made) => {
    node = made.use(await newLabNode())
    a = made.use(await newLabNetns('a'))
    links = await listLinks()
  })
  afterEach('leaves no half-made device behind', async () => {
    await expectNoLinks()
    expect(await listLinks()).to.deep.equal(links)
  })

  async function listLinks(): Promise<readonly string[]> {
    return (await a.run(['ip', '-br', 'link', 'show'])).split('\n')
  }
  const call = async (config: Manifest, more: Partial<CniCall>): Promise<CniAnswer> =>
    node.call(config, { command: 'ADD', containerID: 'c1', netns: a.path, ifname: 'eth1', ...more })

  const refusals: readonly {
    name: string
    config?: Manifest
    call?: Partial<CniCall>
    code: number
    words: readonly string[]
  }[] = [
    {
      name: 'a name with a slash',
      config: { ...CONFIG, name: 'a/b' },
      code: 7,
      words: ['name', 'a/b'],
    },
    {
      name: 'a name with a newline',
      config: { ...CONFIG, name: 'a\nb' },
      code: 7,
      words: ['name'],
    },
    { name: 'a name with NUL', config: { ...CONFIG, name: 'a\0b' }, code: 7, words: ['name'] },
    {
      name: 'an mtu of the wrong type',
      config: { ...CONFIG, mtu: 'big' },
      code: 7,
      words: ['mtu', 'big'],
    },
    {
      name: 'a way to attach that is none',
      config: { ...BIND, attach: 'bridge' },
      code: 7,
      words: ['attach', 'bridge', 'tap, macvtap'],
    },
    {
      name: 'an ipam of the wrong type',
      config: { ...CONFIG, ipam: 'static' },
      code: 7,
      words: ['ipam', 'static'],
    },
    {
      name: 'an IPAM plugin that is not there',
      config: { ...CONFIG, ipam: { type: 'l2w-none' } },
      code: 110,
      words: ['l2w-none', 'CNI_PATH', '/usr/lib/cni'],
    },
    {
      name: 'an unsupported cniVersion',
      config: { ...CONFIG, cniVersion: '9.9.9' },
      code: 1,
      words: ['9.9.9', '1.1.0'],
    },
    {
      name: 'a netns that does not exist',
      call: { netns: '/run/netns/l2w-none' },
      code: 3,
      words: ['/run/netns/l2w-none'],
    },
    {
      name: 'a netns that is a file',
      call: { netns: '/etc/hostname' },
      code: 4,
      words: ['CNI_NETNS', '/etc/hostname'],
    },
    {
      name: 'a netns of another kind',
      call: { netns: '/proc/self/ns/uts' },
      code: 4,
      words: ['CNI_NETNS', 'network namespace'],
    },
    {
      name: 'a namespace that is a path',
      call: { args: 'K8S_POD_NAMESPACE=../../x' },
      code: 4,
      words: ['K8S_POD_NAMESPACE'],
    },
    { name: 'an ifname that is taken', call: { ifname: 'lo' }, code: 102, words: ['"lo"'] },
    {
      name: 'a VMI network whose pod link is missing',
      config: BIND,
      call: { ifname: 'net1' },
      code: 104,
      words: ['ge0', 'eth0'],
    },
    {
      name: 'a bind in a netns of another kind',
      config: BIND,
      call: { netns: '/proc/self/ns/uts' },
      code: 4,
      words: ['CNI_NETNS'],
    },
    {
      name: 'a bind without a network name',
      config: { ...BIND, args: {} },
      code: 7,
      words: ['logicNetworkName'],
    },
    {
      name: 'a CHECK of the unknown',
      config: { ...CONFIG, prevResult: {} },
      call: { command: 'CHECK' },
      code: 105,
      words: ['c1', 'never added'],
    },
    {
      name: 'a CHECK without prevResult',
      call: { command: 'CHECK' },
      code: 7,
      words: ['prevResult'],
    },
  ]
  for (const { name, config, call: more, code, words } of refusals)
    it(`refuses ${name} with error ${code}`, async () => {
      expectError(await call(config ?? CONFIG, more ?? {}), code, words)
    })

  it('refuses to plug a pod of the host network', async () => {
    for (const netns of [`/proc/${process.pid}/ns/net`, '/proc/self/ns/net'])
      expectError(await call(CONFIG, { netns }), 4, ['CNI_NETNS', "node's own"])
  })

  it('a third end is refused by names, and the two that are plugged stay joined', async () => {
    await using b = await newLabNetns('b')
    await using c = await newLabNetns('c')
    await node.mustCall(CONFIG, {
      command: 'ADD',
      netns: a.path,
      ifname: 'eth1',
      ...toPodCall('h1'),
    })
    await node.mustCall(CONFIG, {
      command: 'ADD',
      netns: b.path,
      ifname: 'eth1',
      ...toPodCall('h2'),
    })
    const joined = await listTraces()
    expectError(await call(CONFIG, { netns: c.path, ...toPodCall('h3') }), 101, [
      'pod/h1',
      'pod/h2',
      'pod/h3',
      'lab/w',
    ])
    expect(await listTraces()).to.deep.equal(joined)
    expect(await b.run(['ip', '-br', 'link', 'show', 'dev', 'eth1'])).to.include('LOWER_UP')
    for (const [netns, name] of [
      [a, 'h1'],
      [b, 'h2'],
      [c, 'h3'],
    ] as const)
      await node.mustCall(CONFIG, {
        command: 'DEL',
        netns: netns.path,
        ifname: 'eth1',
        ...toPodCall(name),
      })
  })

  it('a second ADD of the same interface is refused and harms nothing', async () => {
    await node.mustCall(CONFIG, {
      command: 'ADD',
      containerID: 'c1',
      netns: a.path,
      ifname: 'eth1',
    })
    expectError(await call(CONFIG, {}), 102, ['eth1', 'c1'])
    expect(await a.run(['ip', '-br', 'link', 'show', 'dev', 'eth1'])).to.include('eth1')
    await node.mustCall(CONFIG, {
      command: 'DEL',
      containerID: 'c1',
      netns: a.path,
      ifname: 'eth1',
    })
  })

  it('DEL of the unknown, DEL twice, DEL without a netns: all done', async () => {
    for (const config of [CONFIG, BIND]) {
      await node.mustCall(config, {
        command: 'DEL',
        containerID: 'cX',
        netns: a.path,
        ifname: 'eth1',
      })
      await node.mustCall(config, { command: 'DEL', containerID: 'cX', ifname: 'eth1' })
    }
    await node.mustCall(CONFIG, {
      command: 'ADD',
      containerID: 'c1',
      netns: a.path,
      ifname: 'eth1',
    })
    await node.mustCall(CONFIG, {
      command: 'DEL',
      containerID: 'c1',
      netns: '/run/netns/l2w-gone',
      ifname: 'eth1',
    })
  })

  it('a netns that vanished takes the end with it, and DEL gives the wire back', async () => {
    const b = await newLabNetns('b')
    await node.mustCall(CONFIG, {
      command: 'ADD',
      containerID: 'c2',
      netns: b.path,
      ifname: 'eth1',
    })
    await b[Symbol.asyncDispose]()
    await node.mustCall(CONFIG, {
      command: 'DEL',
      containerID: 'c2',
      netns: b.path,
      ifname: 'eth1',
    })
    expect(await node.listDocuments()).to.deep.equal([])
  })

  it('an agent that is not running: error 11, for STATUS 50; the rest works without it', async () => {
    await node.stopAgent('SIGTERM')
    expectError(await call(CONFIG, {}), 11, ['agent', node.socket])
    expectError(await call(BIND, {}), 11, ['agent'])
    expectError(await call(CONFIG, { command: 'STATUS' }), 50, ['agent'])
    expect((await call(CONFIG, { command: 'VERSION' })).exitCode).to.equal(0)
    expectError(await call({ ...CONFIG, cniVersion: '7' }, {}), 1, ['7'])
    await node.startAgent()
  })

  it('lines that are no request get an answer, and the agent lives on', async () => {
    for (const line of ['\n', 'x\n', '{"protocol":9}\n', '{"protocol":1,"args":{},"config":{}}\n'])
      expect(await exchange(node.socket, line)).to.include({ protocol: 1, isError: true })
    expect((await call(CONFIG, { command: 'STATUS' })).exitCode).to.equal(0)
  })
})

async function exchange(socketPath: string, line: string): Promise<unknown> {
  return new Promise((resolve, reject) => {
    const socket = connect(socketPath, () => socket.write(line))
    let text = ''
    socket.setEncoding('utf8').on('data', (chunk: string) => (text += chunk))
    socket.on('end', () => resolve(JSON.parse(text)))
    socket.on('error', reject)
  })
}
