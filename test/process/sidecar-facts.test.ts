// The sidecar in a pod's place: in a network namespace with real links, as user 107, without
// capabilities. "ip netns exec" mounts a /sys of that namespace, as a container runtime does.
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { expect } from 'chai'
import { after, before, describe, it } from 'mocha'

import { toPodLinkName, toTapName } from '../../core/name.ts'
import { newLabNetns } from '../../lab/netns.ts'
import type { LabNetns } from '../../lab/netns.ts'
import { HOOK_VERSIONS } from '../../proto/load.ts'
import { readPodLinks } from '../../sidecar/facts.ts'
import { aliasesOf, childrenOf, newDomain, newVmi } from '../core/domain/samples.ts'
import { expectSoon } from '../expect-soon.ts'
import { newSidecar } from './sidecar-process.ts'

const AS_QEMU =
  'setpriv --reuid 107 --regid 107 --clear-groups --inh-caps=-all --bounding-set=-all --no-new-privs'

interface PodLink {
  readonly nic: string
  readonly mac: string
  readonly tap?: readonly string[]
}

/** Pod links as the wire makes them (MTU 9216), each with a tap of the advertised MTU. */
async function addPodLink(netns: LabNetns, { nic, mac, tap }: PodLink): Promise<void> {
  const podLink = toPodLinkName(nic)
  const veth = ['type', 'veth', 'peer', 'name', `l2wp${nic}`]
  await netns.run(['ip', 'link', 'add', 'name', podLink, 'mtu', '9216', 'address', mac, ...veth])
  if (tap === undefined) return
  const name = toTapName(podLink)
  const owner = ['user', '107', 'group', '107', 'vnet_hdr']
  await netns.run(['ip', 'tuntap', 'add', 'dev', name, 'mode', 'tap', ...owner, ...tap])
  await netns.run(['ip', 'link', 'set', 'dev', name, 'mtu', '1400'])
}

function toTap(nic: string): string {
  return toTapName(toPodLinkName(nic))
}

describe('l2wire-sidecar in a pod', () => {
  let netns: LabNetns

  before(async () => {
    netns = await newLabNetns('sidecar')
    await addPodLink(netns, { nic: 'one', mac: '02:00:00:00:01:01', tap: [] })
    await addPodLink(netns, { nic: 'many', mac: '02:00:00:00:01:02', tap: ['multi_queue'] })
    await addPodLink(netns, { nic: 'bare', mac: '02:00:00:00:01:03' })
  })

  after(async () => {
    await netns[Symbol.asyncDispose]()
  })

  it('takes the MAC of the primary link that the agent has joined the tap to', async () => {
    await using pod = await newLabNetns('sidecar')
    for (const [name, mac] of [
      ['eth0', '02:00:00:00:02:01'],
      ['ovn-udn1', '02:00:00:00:02:02'],
    ] as const) {
      const veth = ['type', 'veth', 'peer', 'name', `l2wp${name}`]
      await pod.run(['ip', 'link', 'add', 'name', name, 'address', mac, ...veth])
    }
    await pod.run('ip tuntap add dev tap0 mode tap user 107 group 107'.split(' '))
    const prefix = ['ip', 'netns', 'exec', pod.name, ...AS_QEMU.split(' ')]
    await using sidecar = newSidecar({ prefix })
    const client = await sidecar.connect()
    const interfaces = [{ name: 'default', binding: { name: 'l2wire' } }]
    const vmi = newVmi({ interfaces, networks: [{ name: 'default', pod: {} }] })
    for (const [alias, mac] of [
      ['l2wire tap of ovn-udn1', '02:00:00:00:02:02'],
      ['l2wire network-data of ovn-udn1', '02:00:00:00:02:02'],
      ['l2wire tap of eth0', '02:00:00:00:02:01'],
      ['l2wire network-data', '02:00:00:00:02:01'],
    ] as const) {
      await pod.run(['ip', 'link', 'set', 'dev', 'tap0', 'alias', alias])
      const xml = (await client.onDefineDomain('v1alpha3', newDomain(''), vmi)).toString()
      expect(childrenOf(xml, 'ua-default'), alias).to.include(`<mac address="${mac}"/>`)
    }
  })

  it('reads the links as user 107 and plugs every NIC into its own', async () => {
    const prefix = ['ip', 'netns', 'exec', netns.name, ...AS_QEMU.split(' ')]
    await using sidecar = newSidecar({ prefix })
    const client = await sidecar.connect()
    const interfaces = ['one', 'many', 'bare'].map((name) => ({
      name,
      binding: { name: 'l2wire' },
    }))
    const vmi = newVmi({ interfaces, domain: { cpu: { cores: 3 } } })
    for (const version of HOOK_VERSIONS) {
      const once = (await client.onDefineDomain(version, newDomain(''), vmi)).toString()
      expect(aliasesOf(once)).to.eql(['ua-one', 'ua-many', 'ua-bare'])
      expect(childrenOf(once, 'ua-one')).to.include.members([
        `<target dev="${toTap('one')}" managed="no"/>`,
        '<mac address="02:00:00:00:01:01"/>',
        '<mtu size="1400"/>',
      ])
      expect(childrenOf(once, 'ua-one').join('')).not.to.include('queues')
      expect(childrenOf(once, 'ua-many')).to.include.members([
        `<target dev="${toTap('many')}" managed="no"/>`,
        '<driver name="vhost" queues="3"/>',
      ])
      expect(childrenOf(once, 'ua-bare')).to.include.members([
        `<target dev="${toPodLinkName('bare')}" managed="no"/>`,
        '<mac address="02:00:00:00:01:03"/>',
        '<mtu size="9216"/>',
      ])
      const twice = await client.onDefineDomain(version, once, vmi)
      expect(twice.toString()).to.equal(once)
    }
    await expectSoon(
      'each NIC plugged in is logged',
      () => sidecar.log().match(/"msg":"plugged in"/g)?.length === 18,
    )
  })
})

describe('two bindings of ours in one VM', () => {
  let netns: LabNetns
  const vmi = newVmi({
    interfaces: [
      { name: 'mac1', binding: { name: 'l2wire-macvtap' } },
      { name: 'mgmt', masquerade: {} },
      { name: 'tap1', binding: { name: 'l2wire' } },
      { name: 'mac2', binding: { name: 'l2wire-macvtap' } },
    ],
  })

  before(async () => {
    netns = await newLabNetns('sidecars')
    await addPodLink(netns, { nic: 'tap1', mac: '02:00:00:00:02:01', tap: [] })
    await addPodLink(netns, { nic: 'mac1', mac: '02:00:00:00:02:02' })
    await addPodLink(netns, { nic: 'mac2', mac: '02:00:00:00:02:03' })
  })

  after(async () => {
    await netns[Symbol.asyncDispose]()
  })

  it("come out the same in whatever order the sidecars and the Plugin's hook are asked", async () => {
    const prefix = ['ip', 'netns', 'exec', netns.name, ...AS_QEMU.split(' ')]
    const env = { NETWORK_BINDING_PLUGIN_NAME: 'l2wire-macvtap' }
    await using tap = newSidecar({ prefix })
    await using macvtap = newSidecar({ prefix, env })
    await using plugin = newSidecar({ prefix, serves: 'plugin' })
    const ofTap = await tap.connect()
    const ofMacvtap = await macvtap.connect()
    const ofPlugin = await plugin.connect()
    const hooks: Readonly<Record<string, (xml: string) => Promise<Buffer>>> = {
      tap: async (xml) => ofTap.onDefineDomain('v1alpha3', xml, vmi),
      macvtap: async (xml) => ofMacvtap.onDefineDomain('v1alpha3', xml, vmi),
      plugin: async (xml) => ofPlugin.mutateDomain(xml, vmi),
      'plugin of KubeVirt 1.10': async (xml) => ofPlugin.guestDefinition(xml, vmi),
    }
    const mgmt = '<interface type="bridge">\n      <alias name="ua-mgmt"/>\n    </interface>'
    const domain = newDomain(`\n    ${mgmt}`)
    const orders = [
      ['tap', 'macvtap'],
      ['macvtap', 'tap'],
      ['plugin'],
      ['plugin of KubeVirt 1.10'],
      ['tap', 'plugin', 'macvtap'],
      ['macvtap', 'plugin', 'tap', 'plugin'],
      ['tap', 'macvtap', 'plugin', 'tap', 'macvtap', 'plugin'],
    ]
    const results = new Map<string, string>()
    for (const order of orders) {
      let xml = domain
      for (const name of order) xml = (await hooks[name]?.(xml))?.toString() ?? ''
      results.set(order.join(' '), xml)
    }
    const [first = ''] = results.values()
    expect(aliasesOf(first)).to.eql(['ua-mac1', 'ua-mgmt', 'ua-tap1', 'ua-mac2'])
    for (const [order, xml] of results) expect(xml, order).to.equal(first)
  })
})

describe('readPodLinks()', () => {
  it('reads links, taps of both kinds, and nothing that is no link', () => {
    const sysfs = mkdtempSync(join(tmpdir(), 'l2w-sysfs-'))
    try {
      const links = {
        eth0: { mtu: '1450\n', address: '0a:58:0a:f4:00:07\n' },
        tap0: { mtu: '1500\n', address: 'fe:00:00:00:00:00\n', tun_flags: '0x1802\n' },
        tap1: { mtu: '1500\n', address: 'fe:00:00:00:00:01\n', tun_flags: '0x1902\n' },
        leaving: { mtu: '1500\n' },
      }
      for (const [name, facts] of Object.entries(links)) {
        mkdirSync(join(sysfs, name))
        for (const [fact, text] of Object.entries(facts))
          writeFileSync(join(sysfs, name, fact), text)
      }
      writeFileSync(join(sysfs, 'bonding_masters'), '')
      const names = [...Object.keys(links), 'bonding_masters', 'missing']
      expect([...readPodLinks(sysfs, names)]).to.eql([
        ['eth0', { mtuBytes: 1450, address: '0a:58:0a:f4:00:07', isMultiQueue: undefined }],
        ['tap0', { mtuBytes: 1500, address: 'fe:00:00:00:00:00', isMultiQueue: false }],
        ['tap1', { mtuBytes: 1500, address: 'fe:00:00:00:00:01', isMultiQueue: true }],
      ])
    } finally {
      rmSync(sysfs, { recursive: true })
    }
  })
})
