// What must not work, told in the spec's words and leaving nothing half-made.
import { connect } from 'node:net'
import { join } from 'node:path'

import { expect } from 'chai'
import { after, afterEach, before, describe, it } from 'mocha'

import { callPlugin, execPlugin, type CniAnswer, type CniCall } from '../../lab/cni.ts'
import { ROOT, type Manifest } from '../../lab/manifests.ts'
import { newLabNetns, type LabNetns } from '../../lab/netns.ts'
import { newLabNode, type LabNode } from '../../lab/node.ts'
import { listTraces } from '../../lab/traces.ts'

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

/** A refusal as the spec has it: code, one sentence, no stack trace, exit code not 0. */
function expectError(answer: CniAnswer, code: number, words: readonly string[]): void {
  expect(answer.exitCode, answer.stdout).to.equal(1)
  expect(answer.stderr).to.equal('')
  expect(answer.output, answer.stdout).to.include({ code })
  const message = String(answer.output?.['msg'])
  expect(message).to.not.match(/\n|\bat .*\.(ts|mjs|js):/)
  for (const word of words) expect(message).to.include(word)
  expect(JSON.stringify(answer.output)).to.not.match(/\bat \S+ \(|\.ts:\d|\.mjs:\d/)
}

describe('bad input', function () {
  this.timeout(90_000)
  let node: LabNode
  let a: LabNetns
  let links: readonly string[]
  let traces: readonly string[]

  before(async () => {
    traces = await listTraces()
    node = await newLabNode()
    a = await newLabNetns('a')
    links = await listLinks()
  })
  after(async () => {
    await a[Symbol.asyncDispose]()
    await node[Symbol.asyncDispose]()
    expect(await listTraces()).to.deep.equal(traces)
  })
  afterEach('leaves no half-made device behind', async () => {
    expect((await listTraces()).filter((line) => line.startsWith('link'))).to.deep.equal([])
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

describe('bad input to the plugin itself', () => {
  const plugin = join(ROOT, 'dist/bin/l2wire')
  const add = { command: 'ADD', containerID: 'c1', netns: '/run/netns/x', ifname: 'eth1' }
  const refusals: readonly {
    name: string
    call: CniCall
    stdin: string | Uint8Array
    code: number
    words: readonly string[]
  }[] = [
    { name: 'empty standard input', call: add, stdin: '', code: 6, words: ['empty'] },
    { name: 'half of a JSON', call: add, stdin: '{"cniVersion":', code: 6, words: ['JSON'] },
    {
      name: 'bytes that are no text',
      call: add,
      stdin: Uint8Array.from([0, 255, 254, 10]),
      code: 6,
      words: ['JSON'],
    },
    { name: 'a list', call: add, stdin: '[]', code: 6, words: ['[]'] },
    {
      name: 'a configuration of 3 MB',
      call: add,
      stdin: `"${'x'.repeat(3e6)}"`,
      code: 6,
      words: ['3000002 bytes'],
    },
    {
      name: 'no variables',
      call: { command: 'ADD' },
      stdin: '{}',
      code: 4,
      words: ['CNI_CONTAINERID', 'CNI_NETNS', 'CNI_IFNAME'],
    },
    {
      name: 'an ifname of 16 bytes',
      call: { ...add, ifname: 'abcdefghijklmnop' },
      stdin: '{}',
      code: 4,
      words: ['CNI_IFNAME', '15'],
    },
    {
      name: 'an ifname with a quote',
      call: { ...add, ifname: 'a"b' },
      stdin: '{}',
      code: 4,
      words: ['CNI_IFNAME'],
    },
    {
      name: 'a containerID with a newline',
      call: { ...add, containerID: 'a\nb' },
      stdin: '{}',
      code: 4,
      words: ['CNI_CONTAINERID'],
    },
    {
      name: 'no cniVersion',
      call: add,
      stdin: '{"name":"w","type":"l2wire"}',
      code: 1,
      words: ['cniVersion', 'missing'],
    },
    {
      name: 'a CHECK of 0.3.1',
      call: { ...add, command: 'CHECK' },
      stdin: '{"cniVersion":"0.3.1"}',
      code: 1,
      words: ['CHECK', '0.4.0'],
    },
    {
      name: 'a STATUS of 1.0.0',
      call: { command: 'STATUS' },
      stdin: '{"cniVersion":"1.0.0"}',
      code: 1,
      words: ['STATUS', '1.1.0'],
    },
    {
      name: 'a socket that is a number',
      call: add,
      stdin: '{"cniVersion":"1.0.0","socket":5}',
      code: 7,
      words: ['socket', '5'],
    },
    {
      name: 'a socket nobody listens on',
      call: add,
      stdin: '{"cniVersion":"1.0.0","socket":"/nowhere.sock"}',
      code: 11,
      words: ['/nowhere.sock'],
    },
  ]
  for (const { name, call: cniCall, stdin, code, words } of refusals)
    it(`${name}: error ${code}`, async () => {
      expectError(await callPlugin(plugin, cniCall, stdin), code, words)
    })

  it('an answer carries the version it was asked in', async () => {
    const answer = await callPlugin(plugin, add, '{"cniVersion":"0.4.0","socket":"/nowhere.sock"}')
    expect(answer.output).to.include({ cniVersion: '0.4.0' })
  })

  for (const name of ['l2wire', 'l2wire-bind'])
    it(`${name} says what it is when no verb asks for more`, async () => {
      const answer = await execPlugin([join(ROOT, 'dist/bin', name)], {}, '')
      expect(answer).to.include({ exitCode: 0, stdout: '' })
      const [about, versions] = answer.stderr.split('\n')
      expect(about).to.match(new RegExp(`^CNI ${name} plugin v\\d+\\.\\d+\\.\\d+$`))
      expect(versions).to.equal('CNI protocol versions supported: 0.3.1, 0.4.0, 1.0.0, 1.1.0')
    })

  it('VERSION needs nothing, under either name', async () => {
    for (const name of ['l2wire', 'l2wire-bind']) {
      const answer = await callPlugin(join(ROOT, 'dist/bin', name), { command: 'VERSION' }, '')
      expect(answer.output?.['supportedVersions']).to.deep.equal([
        '0.3.1',
        '0.4.0',
        '1.0.0',
        '1.1.0',
      ])
    }
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
