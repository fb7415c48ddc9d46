// The binding plugin on real pod links: ours, and one made by Debian's bridge plugin. That frames
// pass the tap needs someone behind it: test/vm has QEMU there.
import { readFile } from 'node:fs/promises'

import { expect } from 'chai'
import { describe, it } from 'mocha'

import { CNI_VERSIONS } from '../../../core/cni/version.ts'
import { toPodLinkName, toTapName } from '../../../core/name.ts'
import { callPlugin } from '../../../lab/cni.ts'
import { getNadConfig, readManifest, type Manifest } from '../../../lab/manifests.ts'
import { newLabNetns, type LabNetns } from '../../../lab/netns.ts'
import { newLabNode, type LabNode } from '../../../lab/node.ts'
import { run } from '../../../kernel/run.ts'
import { leavesNothing } from '../../nothing-left.ts'
import { readLinks, type Link } from '../fixture-links.ts'

const NETWORK = 'ge0'
const POD_LINK = toPodLinkName(NETWORK)
const TAP = toTapName(POD_LINK)
const WIRE = { cniVersion: '1.1.0', name: 'w', type: 'l2wire', mtu: 1400 }
const BRIDGE_PLUGIN = '/usr/lib/cni/bridge'
const BRIDGE = { cniVersion: '1.0.0', name: 'other', type: 'bridge', bridge: 'l2wtap0', mtu: 1450 }

describe('the binding plugin', function () {
  this.timeout(90_000)
  let node: LabNode
  let pod: LabNetns
  let bind: Manifest

  leavesNothing(async (made) => {
    node = made.use(await newLabNode())
    pod = made.use(await newLabNetns('launcher'))
    bind = {
      ...getNadConfig(await readManifest('deploy/base/binding-nad.yaml')),
      args: { cni: { logicNetworkName: NETWORK } },
    }
  })

  const sandbox = (ifname: string): { containerID: string; netns: string; ifname: string } => ({
    containerID: 'c1',
    netns: pod.path,
    ifname,
  })
  const readTarget = async (dev: string): Promise<unknown> => {
    const filters = JSON.parse(
      await pod.run(['tc', '-j', 'filter', 'show', 'dev', dev, 'ingress']),
    ) as {
      options?: { actions?: { to_dev?: string }[] }
    }[]
    return filters.flatMap(({ options }) => options?.actions?.map((action) => action.to_dev) ?? [])
  }

  it('attaches a tap for QEMU to the end of a wire', async () => {
    await node.mustCall(WIRE, { command: 'ADD', ...sandbox(POD_LINK) })
    expect((await readLinks(pod)).get(POD_LINK)).to.include({ mtu: 1400 })
    await node.mustCall(bind, { command: 'ADD', ...sandbox('net1') })
    const links = await readLinks(pod)
    const tap = links.get(TAP)
    expect(tap?.linkinfo?.info_kind).to.equal('tun')
    expect(tap?.linkinfo?.info_data).to.include({
      type: 'tap',
      multi_queue: false,
      persist: true,
    })
    expect(tap).to.include({ mtu: 1400, inet6_addr_gen_mode: 'none', qdisc: 'noqueue' })
    expect(tap?.flags).to.include.members(['NOARP', 'UP']).and.not.include('MULTICAST')
    const podLink = links.get(POD_LINK)
    expect(podLink, 'carries what the wire carries, whatever the VM is told').to.include({
      mtu: 9216,
      inet6_addr_gen_mode: 'none',
    })
    expect(podLink?.flags).to.include.members(['NOARP', 'UP']).and.not.include('MULTICAST')
    expect(await readTarget(TAP)).to.deep.equal([POD_LINK])
    expect(await readTarget(POD_LINK)).to.deep.equal([TAP])
    const prevResult = { cniVersion: '1.1.0' }
    for (const [config, ifname] of [
      [bind, 'net1'],
      [WIRE, POD_LINK],
    ] as const)
      await node.mustCall({ ...config, prevResult }, { command: 'CHECK', ...sandbox(ifname) })
  })

  it('leaves the pod link as it is where KubeVirt alone tells the guest its MTU', async () => {
    await using other = await newLabNetns('launcher')
    const at = (ifname: string) => ({ containerID: 'c2', netns: other.path, ifname })
    const nad = await readManifest('deploy/base/binding-nad-no-sidecar.yaml')
    const plain = { ...getNadConfig(nad), args: { cni: { logicNetworkName: NETWORK } } }
    await node.mustCall({ ...WIRE, name: 'w2' }, { command: 'ADD', ...at(POD_LINK) })
    await node.mustCall(plain, { command: 'ADD', ...at('net1') })
    const links = JSON.parse(await other.run(['ip', '-j', 'link', 'show'])) as Link[]
    for (const name of [POD_LINK, TAP])
      expect(links.find(({ ifname }) => ifname === name)?.mtu, name).to.equal(1400)
    await node.mustCall(plain, { command: 'DEL', ...at('net1') })
    await node.mustCall({ ...WIRE, name: 'w2' }, { command: 'DEL', ...at(POD_LINK) })
  })

  it('can be read without capabilities, as the sidecar does', async () => {
    const script = `cat /sys/class/net/${TAP}/tun_flags /sys/class/net/${TAP}/mtu /sys/class/net/${TAP}/owner /sys/class/net/${TAP}/group`
    const unprivileged = [
      'setpriv',
      '--reuid',
      '107',
      '--regid',
      '107',
      '--clear-groups',
      '--inh-caps=-all',
    ]
    const text = await run(['ip', 'netns', 'exec', pod.name, ...unprivileged, 'sh', '-c', script])
    const [flags = '', mtu, owner, group] = text.split('\n')
    // IFF_MULTI_QUEUE of linux/if_tun.h.
    expect(Number(flags) & 0x0100).to.equal(0)
    expect({ mtu, owner, group }).to.deep.equal({ mtu: '1400', owner: '107', group: '107' })
  })

  it('refuses a second tap for one network, and a CHECK says what is missing', async () => {
    const again = await node.call(bind, { command: 'ADD', ...sandbox('net2') })
    expect(again.output).to.include({ code: 102 })
    expect(again.output?.['msg']).to.include(TAP)
    expect(await readTarget(POD_LINK)).to.deep.equal([TAP])
    await pod.run(['tc', 'filter', 'del', 'dev', POD_LINK, 'ingress'])
    const unjoined = await node.call(
      { ...bind, prevResult: {} },
      { command: 'CHECK', ...sandbox('net1') },
    )
    expect(unjoined.output).to.include({ code: 105 })
    expect(unjoined.output?.['msg']).to.include(`"${POD_LINK}" leads to ""`)
  })

  it('takes it away again, twice', async () => {
    for (const config of [bind, WIRE, bind, WIRE])
      await node.mustCall(config, {
        command: 'DEL',
        ...sandbox(config === bind ? 'net1' : POD_LINK),
      })
    expect([...(await readLinks(pod)).keys()]).to.deep.equal(['lo'])
  })

  for (const cniVersion of CNI_VERSIONS)
    it(`answers CNI ${cniVersion} without interfaces`, async () => {
      await node.mustCall(WIRE, { command: 'ADD', ...sandbox(POD_LINK) })
      const answer = await node.mustCall(
        { ...bind, cniVersion },
        { command: 'ADD', ...sandbox('net1') },
      )
      expect(answer).to.deep.equal({ cniVersion })
      await node.mustCall(bind, { command: 'DEL', ...sandbox('net1') })
      await node.mustCall(WIRE, { command: 'DEL', ...sandbox(POD_LINK) })
    })

  it("attaches to a pod link of Debian's bridge plugin and leaves its MTU, MAC and CHECK alone", async () => {
    const ipam = { type: 'host-local', subnet: '198.51.100.0/24', dataDir: `${node.folder}/ipam` }
    const other = { ...BRIDGE, ipam }
    const config = JSON.stringify(other)
    try {
      const added = await callPlugin(
        BRIDGE_PLUGIN,
        { command: 'ADD', ...sandbox(POD_LINK) },
        config,
      )
      expect(added.exitCode, added.stdout).to.equal(0)
      const earlier = (await readLinks(pod)).get(POD_LINK)
      await node.mustCall(bind, { command: 'ADD', ...sandbox('net1') })
      const links = await readLinks(pod)
      expect(links.get(POD_LINK)).to.include({ mtu: 1450, address: earlier?.address })
      expect(links.get(TAP)).to.include({ mtu: 1450 })
      const check = JSON.stringify({ ...other, prevResult: added.output })
      expect(
        (await callPlugin(BRIDGE_PLUGIN, { command: 'CHECK', ...sandbox(POD_LINK) }, check))
          .exitCode,
      ).to.equal(0)
      await node.mustCall(bind, { command: 'DEL', ...sandbox('net1') })
      expect(await readTarget(POD_LINK)).to.deep.equal([])
      expect((await readLinks(pod)).has(TAP)).to.equal(false)
      await callPlugin(BRIDGE_PLUGIN, { command: 'DEL', ...sandbox(POD_LINK) }, config)
    } finally {
      await run(['ip', 'link', 'del', 'dev', 'l2wtap0'])
    }
  })

  it('finds the primary network by eth0', async () => {
    await node.mustCall(WIRE, { command: 'ADD', ...sandbox('eth0') })
    await node.mustCall(bind, { command: 'ADD', ...sandbox('net1') })
    expect(await readTarget('eth0')).to.deep.equal(['tap0'])
    await node.mustCall(bind, { command: 'DEL', ...sandbox('net1') })
    await node.mustCall(WIRE, { command: 'DEL', ...sandbox('eth0') })
  })

  it('refuses a second ADD of one interface, and the first tap stays whole', async () => {
    await node.mustCall(WIRE, { command: 'ADD', ...sandbox(POD_LINK) })
    await node.mustCall(bind, { command: 'ADD', ...sandbox('net1') })
    const other = { ...bind, args: { cni: { logicNetworkName: 'other' } } }
    await node.mustCall(
      { ...WIRE, name: 'w2' },
      { command: 'ADD', ...sandbox(toPodLinkName('other')) },
    )
    const answer = await node.call(other, { command: 'ADD', ...sandbox('net1') })
    expect(answer.output).to.include({ code: 102 })
    await node.mustCall({ ...bind, prevResult: {} }, { command: 'CHECK', ...sandbox('net1') })
    await node.mustCall(bind, { command: 'DEL', ...sandbox('net1') })
    await node.mustCall(
      { ...WIRE, name: 'w2' },
      { command: 'DEL', ...sandbox(toPodLinkName('other')) },
    )
    await node.mustCall(WIRE, { command: 'DEL', ...sandbox(POD_LINK) })
    expect([...(await readLinks(pod)).keys()]).to.deep.equal(['lo'])
  })

  it('a failed attempt leaves no tap and no redirect', async () => {
    await node.mustCall(WIRE, { command: 'ADD', ...sandbox(POD_LINK) })
    // The tap's MTU is the pod link's, and a tap takes no 65535: the kernel refuses a later step.
    await pod.run([
      'ip',
      'link',
      'add',
      'name',
      toPodLinkName('huge'),
      'mtu',
      '65535',
      'type',
      'veth',
      'peer',
      'name',
      'peer0',
    ])
    const huge = { ...bind, args: { cni: { logicNetworkName: 'huge' } } }
    const answer = await node.call(huge, { command: 'ADD', ...sandbox('net1') })
    expect(answer.output).to.include({ code: 100 })
    expect(answer.output?.['details']).to.include('mtu')
    expect((await readLinks(pod)).has(toTapName(toPodLinkName('huge')))).to.equal(false)
    expect(await readTarget(toPodLinkName('huge'))).to.deep.equal([])
    await pod.run(['ip', 'link', 'del', 'dev', 'peer0'])
    await node.mustCall(WIRE, { command: 'DEL', ...sandbox(POD_LINK) })
  })

  it('a launcher that vanished is forgotten', async () => {
    const gone = await newLabNetns('gone')
    const call = { containerID: 'c9', netns: gone.path }
    await node.mustCall(WIRE, { command: 'ADD', ...call, ifname: POD_LINK })
    await node.mustCall(bind, { command: 'ADD', ...call, ifname: 'net1' })
    await gone[Symbol.asyncDispose]()
    await node.mustCall(bind, { command: 'DEL', ...call, ifname: 'net1' })
    await node.mustCall(WIRE, { command: 'DEL', ...call, ifname: POD_LINK })
    const left = await readFile(`${node.stateDir}/attachments/c9@net1.json`, 'utf8').catch(
      () => 'nothing',
    )
    expect(left).to.equal('nothing')
  })
})
