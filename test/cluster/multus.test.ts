// The real Multus calls our plugins: pods and cables are objects of a real API server, sandboxes are
// namespaces of this machine, eth0 is Debian's bridge plugin.
import { expect } from 'chai'
import { afterEach, before, describe, it } from 'mocha'

import { toPodLinkName, toTapName } from '../../core/name.ts'
import type { LabApiServer } from '../../lab/api-server.ts'
import { newCountedFrames } from '../../lab/counted-frames.ts'
import { readVm } from '../../lab/demo-scene.ts'
import { toVmi } from '../../lab/domain-vmi.ts'
import { newGuestStation } from '../../lab/guest-station.ts'
import { newLauncher } from '../../lab/launcher.ts'
import { getNadConfig, readManifest, type Manifest } from '../../lab/manifests.ts'
import { newLabPod, readNetworkStatus, type LabPod } from '../../lab/multus.ts'
import type { LabNetns } from '../../lab/netns.ts'
import { newNetnsStation } from '../../kernel/tester/netns-station.ts'
import { run } from '../../kernel/run.ts'
import type { Station } from '../../kernel/tester/station.ts'
import { getApi } from './fixture-api.ts'
import { expectTransparent } from '../expect-transparent.ts'
import { startListening } from '../listening.ts'
import { leavesNothing } from '../nothing-left.ts'
import {
  newMultusNodes,
  newNad,
  newPluggedPod,
  type MultusNode,
  type MultusNodes,
} from './fixture-multus.ts'
import { expectLogged } from '../expect-logged.ts'
import { expectSoon } from '../expect-soon.ts'

/** Room for the tester's longest frame at a container's end. */
const MTU = 9216
const FRAMES = 50

const toStation = (pod: LabPod, ifname = 'eth1'): Station =>
  newNetnsStation(run, { label: pod.name, netns: pod.netns.path, ifname })

interface Link {
  readonly ifname: string
  readonly address: string
}

async function readLinks(netns: LabNetns): Promise<readonly Link[]> {
  return JSON.parse(await netns.run(['ip', '-j', 'link', 'show'])) as Link[]
}

async function listLinks({ netns }: LabPod): Promise<readonly string[]> {
  return (await readLinks(netns)).map(({ ifname }) => ifname).sort()
}

async function readMac({ netns }: LabPod, name: string): Promise<string> {
  return (await readLinks(netns)).find(({ ifname }) => ifname === name)?.address ?? ''
}

describe('Multus', function () {
  this.timeout(90_000)
  let api: LabApiServer
  let nodes: MultusNodes
  let node: MultusNode
  let far: MultusNode
  let namespace: string

  before(async () => {
    api = await getApi()
  })
  leavesNothing(async (made) => {
    nodes = made.use(await newMultusNodes(api, 2))
    const [first, second] = nodes.list
    if (first === undefined || second === undefined) throw new Error('Two nodes were asked for')
    node = first
    far = second
  })
  afterEach('leaves nothing', async () => {
    // The far node takes its tunnel down when it hears of it.
    await expectSoon('no wires', async () => (await nodes.listWires()).length === 0)
    for (const { netns, node } of nodes.list) {
      const names = (await readLinks(netns)).map(({ ifname }) => ifname)
      expect(names.filter((name) => /^l[wx]/.test(name))).to.deep.equal([])
      expect(await node.listDocuments()).to.deep.equal([])
    }
  })

  /** A cable of a test's own namespace, which a pod on either node can be plugged into. */
  const newCable = async (config: Manifest = {}): Promise<void> => {
    const defaults = { name: 'r1-h1', type: 'l2wire', mtu: MTU, capabilities: { mac: true } }
    await api.apply(newNad(namespace, { ...defaults, ...config }))
  }
  const plug = async (
    at: MultusNode,
    name: string,
    more: Manifest = {},
    within = namespace,
  ): Promise<LabPod> => {
    const networks = [{ name: 'r1-h1', interface: 'eth1', ...more }]
    return newPluggedPod(api, at.multus, { namespace: within, name, networks })
  }

  it('plugs two pods into a cable, and tells what they got', async () => {
    namespace = await api.newNamespace('pods')
    await newCable()
    const mac = '02:00:5e:00:53:01'
    await using a = await plug(node, 'a', { mac })
    await using b = await plug(node, 'b')
    expect(await readMac(a, 'eth1')).to.equal(mac)
    const [primary, cable, ...others] = await readNetworkStatus(api, a)
    expect(primary).to.include({ name: 'default', interface: 'eth0', default: true })
    expect(cable).to.deep.equal({
      name: `${namespace}/r1-h1`,
      interface: 'eth1',
      mac,
      mtu: MTU,
      dns: {},
    })
    expect(others).to.deep.equal([])
    expect((await readNetworkStatus(api, b))[1]).to.include({ mac: await readMac(b, 'eth1') })
    for (const pod of [a, b]) await node.multus.mustCall('CHECK', pod)
    await expectTransparent(toStation(a), toStation(b))
  })

  it('plugs pods on two nodes into a cable', async () => {
    namespace = await api.newNamespace('nodes')
    await newCable()
    await using a = await plug(node, 'a')
    await using b = await plug(far, 'b')
    await expectTransparent(toStation(a), toStation(b))
  })

  it('gives pods the addresses that their annotation asks for', async () => {
    namespace = await api.newNamespace('ips')
    await newCable({ capabilities: { ips: true, mac: true } })
    await using a = await plug(node, 'a', { ips: ['10.0.0.1/24', 'fd00::1/64'] })
    await using b = await plug(node, 'b', { ips: ['10.0.0.2/24', 'fd00::2/64'] })
    const [, cable] = await readNetworkStatus(api, a)
    expect(cable).to.deep.include({ interface: 'eth1', ips: ['10.0.0.1', 'fd00::1'] })
    for (const pod of [a, b]) await node.multus.mustCall('CHECK', pod)
    for (const address of ['10.0.0.2', 'fd00::2'])
      await a.netns.run(['busybox', 'ping', '-c', '1', '-W', '3', address])
  })

  it('gives each namespace its own cable of the same name', async () => {
    await using pods = new AsyncDisposableStack()
    const cables: (readonly [LabPod, LabPod])[] = []
    for (const label of ['one', 'two']) {
      namespace = await api.newNamespace(label)
      await newCable()
      const [a, b] = [pods.use(await plug(node, 'a')), pods.use(await plug(node, 'b'))]
      cables.push([a, b])
    }
    const [[a1, b1], [a2, b2]] = cables as [[LabPod, LabPod], [LabPod, LabPod]]
    const captures = [a2, b2].map(async (pod) => toStation(pod).startCapture())
    const others = await Promise.all(captures)
    await using near = await startListening(b1.netns.path, 'eth1')
    const frames = newCountedFrames(FRAMES)
    await toStation(a1).send(frames)
    expect(await near.stopAfter(FRAMES)).to.deep.equal(frames)
    for (const capture of others) expect(await capture.stop()).to.deep.equal([])
  })

  it('unplugs in any order, twice, and when the pod or its sandbox is gone', async () => {
    namespace = await api.newNamespace('del')
    await newCable()
    const networks = [{ name: 'r1-h1', interface: 'eth1' }]
    for (const order of ['first', 'last']) {
      await using a = await newLabPod(api, { namespace, name: `a-${order}`, networks })
      await using b = await newLabPod(api, { namespace, name: `b-${order}`, networks })
      for (const pod of [a, b]) await node.multus.mustCall('ADD', pod)
      const pods = order === 'first' ? [a, b] : [b, a]
      for (const pod of [...pods, ...pods]) {
        await node.multus.mustCall('DEL', pod)
        expect(await listLinks(pod)).to.deep.equal(['lo'])
      }
    }
    const pod = await newLabPod(api, { namespace, name: 'gone', networks })
    await node.multus.mustCall('ADD', pod)
    await api.kubectl(['delete', 'pod', 'gone', '-n', namespace, '--force', '--grace-period=0'])
    await pod[Symbol.asyncDispose]()
    await node.multus.mustCall('DEL', pod)
  })

  it('passes on who holds an end', async () => {
    namespace = await api.newNamespace('end')
    await newCable()
    const end = { 'cni-args': { end: 'r1' } }
    await using old = await plug(node, 'launcher-1', end)
    await using b = await plug(node, 'b')
    await using young = await plug(node, 'launcher-2', end)
    await using capture = await startListening(b.netns.path, 'eth1')
    const frames = newCountedFrames(FRAMES)
    await toStation(young).send(frames)
    expect(
      await capture.stopAfter(FRAMES),
      'the newest sandbox of the end has the cable',
    ).to.deep.equal(frames)
    expect(await old.netns.run(['ip', 'link', 'show', 'dev', 'eth1'])).to.not.include('LOWER_UP')
  })

  const refused = [
    { name: 'an mtu that is no number', config: { mtu: 'big' }, want: /"mtu".*big/ },
    { name: 'a wire that is a list', config: { wire: ['a'] }, want: /"wire"/ },
    { name: 'a VNI out of range', config: { vni: 2 ** 24 }, want: /"vni".*16777216/ },
    {
      name: 'an end that is a VM',
      config: { args: { cni: { end: 'vm/r1' } } },
      want: /"args.cni.end".*vm\/r1.*pod\/a/,
    },
    { name: 'a version nobody knows', config: { cniVersion: '9.9.9' }, want: /9\.9\.9/ },
  ]
  for (const { name, config, want } of refused)
    it(`says what is wrong with ${name}`, async () => {
      namespace = await api.newNamespace('bad')
      await newCable(config)
      await using pod = await newLabPod(api, {
        namespace,
        name: 'a',
        networks: [{ name: 'r1-h1', interface: 'eth1' }],
      })
      const answer = await node.multus.call('ADD', pod)
      expect(answer.exitCode).to.equal(1)
      expect(answer.output?.['msg']).to.match(want)
      expect(answer.output?.['msg']).to.include(`${namespace}/a`)
      expect(await listLinks(pod), 'nothing half-made').to.deep.equal(['lo'])
    })

  it('ignores keys nobody knows, with a line in the log', async () => {
    namespace = await api.newNamespace('unknown')
    await newCable({ colour: 'blue' })
    await using pod = await plug(node, 'a')
    expect(await listLinks(pod)).to.include('eth1')
    await expectLogged(node.node, 'colour')
  })

  it('plugs a VM in by the annotation KubeVirt 1.9 writes', async () => {
    namespace = await api.newNamespace('vm')
    await newCable()
    const bind = getNadConfig(await readManifest('deploy/base/binding-nad.yaml'))
    const bindNamespace = await api.newNamespace('bind')
    await api.apply(newNad(bindNamespace, bind))
    const podLink = toPodLinkName('ge0')
    // pkg/network/multus/annotation.go, v1.9.0.
    const networks = [
      { name: 'r1-h1', namespace, interface: podLink },
      {
        name: String(bind['name']),
        namespace: bindNamespace,
        'cni-args': { logicNetworkName: 'ge0' },
      },
    ]
    const name = 'virt-launcher-r1-x7f2k'
    await using launcherPod = await newPluggedPod(api, node.multus, {
      namespace,
      name,
      networks,
      isLauncher: true,
    })
    await using h1 = await plug(node, 'h1')
    const tap = toTapName(podLink)
    expect(await listLinks(launcherPod)).to.deep.equal(['eth0', 'lo', podLink, tap].sort())
    const filters = ['tc', 'filter', 'show', 'dev', tap, 'ingress']
    expect(await launcherPod.netns.run(filters)).to.include(`to device ${podLink}`)
    const interfaces = (await readNetworkStatus(api, launcherPod)).map((one) => one['interface'])
    expect(interfaces, 'an ordinal name would change how KubeVirt names all of them').to.deep.equal(
      ['eth0', podLink],
    )
    await using launcher = await newLauncher({
      netnsName: launcherPod.netns.name,
      vmi: toVmi(await readVm('r1', { ge0: 'r1-h1' })),
    })
    await using guest = await launcher.connectGuest()
    const mac = await readMac(launcherPod, podLink)
    await expectTransparent(await newGuestStation(guest, 'r1', mac), toStation(h1))
  })
})
