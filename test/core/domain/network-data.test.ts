// Pods as the common CNI plugins make them, and what their VMs' guests are told of them by cloud-init.
import { expect } from 'chai'
import { describe, it } from 'mocha'

import type { PodNetwork } from '../../../core/domain/network-data-proc.ts'
import { renderOpenStack, renderVersion2 } from '../../../core/domain/network-data-text.ts'
import { decodeGuestNics, wantsNetworkData } from '../../../core/domain/network-data-vmi.ts'
import { toGuestNetwork } from '../../../core/domain/network-data.ts'
import type { PodLinks } from '../../../core/domain/nic.ts'
import { LinkMissingError } from '../../../core/errors.ts'
import { toPodLinkName } from '../../../core/name.ts'
import { NO_DNS, type PodDns } from '../../../core/resolv-conf.ts'
import { newLinks, newVmi, POD_LINK, TAP } from './samples.ts'

const MAC = '0a:58:0a:58:00:05'
const ON_POD = {
  interfaces: [{ name: 'default', binding: { name: 'l2wire' } }],
  networks: [{ name: 'default', pod: {} }],
}
const LINKS = newLinks({
  eth0: { mtuBytes: 1450, address: MAC },
  tap0: { mtuBytes: 1450, address: 'fe:00:00:00:00:01', isMultiQueue: false },
})
const DNS = { nameservers: ['10.96.0.10'], searches: ['lab.svc.cluster.local', 'cluster.local'] }

type Route = readonly [dst: string, gw?: string | undefined, metric?: number]

function newPod(
  addresses: readonly string[],
  routes: readonly Route[],
  link = 'eth0',
  dns: PodDns = DNS,
): PodNetwork {
  return {
    addresses: addresses.map((address) => ({ link, address })),
    routes: routes.map(([dst, gw, metric = 0]) => ({ link, dst, gw, metric })),
    dns,
  }
}

interface Ethernet {
  readonly match: { readonly macaddress: string }
  readonly [key: string]: unknown
}

function toEthernets(
  vmi: object,
  pod: PodNetwork,
  links: PodLinks = LINKS,
): Readonly<Record<string, Ethernet>> {
  const { nics } = toGuestNetwork(decodeGuestNics(vmi, ['l2wire']), links, pod)
  const document = JSON.parse(renderVersion2(nics)) as {
    version: number
    ethernets: Record<string, Ethernet>
  }
  expect(document.version).to.equal(2)
  return document.ethernets
}

const PODS: readonly { name: string; pod: PodNetwork; want: object }[] = [
  {
    name: 'a bridge with a gateway',
    pod: newPod(['10.88.0.5/24'], [['0.0.0.0/0', '10.88.0.1'], ['10.88.0.0/24']]),
    want: { addresses: ['10.88.0.5/24'], routes: [{ to: '0.0.0.0/0', via: '10.88.0.1' }] },
  },
  {
    name: 'both families and several addresses',
    pod: newPod(
      ['10.88.0.5/24', '10.89.0.5/16', 'fd00::5/64'],
      [
        ['0.0.0.0/0', '10.88.0.1'],
        ['10.88.0.0/24'],
        ['10.89.0.0/16'],
        ['172.16.0.0/12', '10.89.0.1', 50],
        ['fd00::/64', undefined, 256],
        ['::/0', 'fd00::1', 1024],
      ],
    ),
    want: {
      addresses: ['10.88.0.5/24', '10.89.0.5/16', 'fd00::5/64'],
      routes: [
        { to: '0.0.0.0/0', via: '10.88.0.1' },
        { to: '172.16.0.0/12', via: '10.89.0.1', metric: 50 },
        { to: '::/0', via: 'fd00::1' },
      ],
    },
  },
  {
    name: 'Calico: a /32, and a gateway that is on the link all the same',
    pod: newPod(['10.1.2.3/32'], [['169.254.1.1/32'], ['0.0.0.0/0', '169.254.1.1']]),
    want: {
      addresses: ['10.1.2.3/32'],
      routes: [{ to: '0.0.0.0/0', via: '169.254.1.1', 'on-link': true }],
    },
  },
  {
    name: 'ptp: no neighbours though the address has a prefix',
    pod: newPod(
      ['10.1.0.7/24'],
      [['0.0.0.0/0', '10.1.0.1'], ['10.1.0.0/24', '10.1.0.1'], ['10.1.0.1/32']],
    ),
    want: {
      addresses: ['10.1.0.7/32'],
      routes: [
        { to: '0.0.0.0/0', via: '10.1.0.1', 'on-link': true },
        { to: '10.1.0.0/24', via: '10.1.0.1', 'on-link': true },
      ],
    },
  },
  {
    name: 'IPv6 alone, behind a link-local gateway',
    pod: newPod(['fd00::5/128'], [['::/0', 'fe80::ecee:eeff:feee:eeee', 1024]]),
    want: {
      addresses: ['fd00::5/128'],
      routes: [{ to: '::/0', via: 'fe80::ecee:eeff:feee:eeee' }],
    },
  },
  {
    name: 'an address and no route',
    pod: newPod(['10.88.0.5/24'], [['10.88.0.0/24']]),
    want: { addresses: ['10.88.0.5/24'] },
  },
  {
    name: 'an IPv6 route left over without an address',
    pod: newPod(['10.88.0.5/24'], [['10.88.0.0/24'], ['::/0', 'fe80::1']]),
    want: { addresses: ['10.88.0.5/24'] },
  },
]

describe('toGuestNetwork()', () => {
  for (const { name, pod, want } of PODS)
    it(`tells of ${name}`, () => {
      expect(toEthernets(newVmi(ON_POD), pod)).to.eql({
        default: {
          match: { macaddress: MAC },
          mtu: 1450,
          ...want,
          nameservers: { addresses: DNS.nameservers, search: DNS.searches },
        },
      })
    })

  it("takes the VMI's MAC before the pod link's", () => {
    const [iface] = ON_POD.interfaces
    const vmi = newVmi({ ...ON_POD, interfaces: [{ ...iface, macAddress: '02-00-00-00-00-AA' }] })
    const { default: nic } = toEthernets(vmi, newPod(['10.88.0.5/24'], []))
    expect(nic?.match.macaddress).to.equal('02:00:00:00:00:aa')
  })

  it('says nothing of resolvers where the pod has none', () => {
    const ethernets = toEthernets(newVmi(ON_POD), newPod(['10.0.0.2/24'], [], 'eth0', NO_DNS))
    expect(ethernets['default']).not.to.have.property('nameservers')
  })

  it('leaves out a NIC on a link without addresses, whatever other links have', () => {
    const pod = newPod(['10.0.0.2/24'], [['0.0.0.0/0', '10.0.0.1']], 'dhcp-server')
    expect(toEthernets(newVmi(ON_POD), pod)).to.eql({})
  })

  it('refuses a NIC whose pod link is missing', () => {
    expect(() => toEthernets(newVmi(ON_POD), newPod([], []), newLinks())).to.throw(
      LinkMissingError,
      'no link "eth0"',
    )
  })

  it("tells others' NICs to use DHCP, and of those it cannot match", () => {
    const vmi = newVmi({
      interfaces: [
        { name: 'mgmt', masquerade: {}, macAddress: '02:00:00:00:00:01' },
        { name: 'ge0', binding: { name: 'l2wire' } },
        { name: 'br', bridge: {}, macAddress: '02:00:00:00:00:02' },
        { name: 'nomac', bridge: {} },
        { name: 'leaving', bridge: {}, macAddress: '02:00:00:00:00:03', state: 'absent' },
        { name: 'vf', sriov: {}, macAddress: '02:00:00:00:00:04' },
        { name: 'cable', binding: { name: 'l2wire' } },
      ],
      networks: [
        { name: 'mgmt', pod: {} },
        ...['ge0', 'br', 'nomac', 'leaving', 'vf', 'cable'].map((name) => ({
          name,
          multus: { networkName: name },
        })),
      ],
    })
    const links = newLinks({
      [POD_LINK]: { address: MAC },
      [TAP]: { mtuBytes: 9000 },
      [toPodLinkName('cable')]: {},
    })
    const pod = newPod(['192.0.2.1/24'], [['0.0.0.0/0', '192.0.2.254'], ['192.0.2.0/24']], POD_LINK)
    expect(toEthernets(vmi, pod, links)).to.eql({
      mgmt: { match: { macaddress: '02:00:00:00:00:01' }, dhcp4: true },
      // The resolvers are those of the pod network, and its DHCP server tells of them.
      ge0: {
        match: { macaddress: MAC },
        mtu: 9000,
        addresses: ['192.0.2.1/24'],
        routes: [{ to: '0.0.0.0/0', via: '192.0.2.254' }],
      },
      br: { match: { macaddress: '02:00:00:00:00:02' }, dhcp4: true, optional: true },
    })
    const { unmatched, unrouted } = toGuestNetwork(decodeGuestNics(vmi, ['l2wire']), links, pod)
    expect({ unmatched, unrouted }).to.eql({ unmatched: ['nomac'], unrouted: [] })
  })

  it('names a NIC whose default route has no next hop, which is not told', () => {
    const pod = newPod(['192.0.2.1/24'], [['192.0.2.0/24'], ['0.0.0.0/0']])
    const vmi = decodeGuestNics(newVmi(ON_POD), ['l2wire'])
    const { nics, unrouted } = toGuestNetwork(vmi, LINKS, pod)
    expect(nics.map(({ routes }) => routes)).to.eql([[]])
    expect(unrouted).to.eql(['default'])
    const bare = toGuestNetwork(vmi, LINKS, { ...pod, addresses: [] })
    expect(bare.unrouted).to.eql([])
  })

  it('tells the NIC with the default route of the resolvers in a VM without pod network', () => {
    const vmi = newVmi()
    const links = newLinks({ [POD_LINK]: {} })
    const pod = newPod(['192.0.2.1/24'], [['0.0.0.0/0', '192.0.2.254'], ['192.0.2.0/24']], POD_LINK)
    const wanted = { addresses: DNS.nameservers, search: DNS.searches }
    expect(toEthernets(vmi, pod, links)['ge0']).to.deep.include({ nameservers: wanted })
  })
})

describe('renderOpenStack()', () => {
  it("says the same in OpenStack's words", () => {
    const pod = newPod(
      ['10.88.0.5/24', '10.88.0.6/24', 'fd00::5/64'],
      [
        ['0.0.0.0/0', '10.88.0.1'],
        ['10.88.0.0/24'],
        ['172.16.0.0/12', '10.88.0.9', 50],
        ['fd00::/64'],
        ['::/0', 'fd00::1'],
      ],
    )
    const { nics } = toGuestNetwork(decodeGuestNics(newVmi(ON_POD), ['l2wire']), LINKS, pod)
    const text = renderOpenStack(nics)
    expect(text).to.match(/^\{\n {2}"links": \[\n/)
    expect(JSON.parse(text)).to.eql({
      links: [{ id: 'default', type: 'phy', ethernet_mac_address: MAC, mtu: 1450 }],
      networks: [
        {
          id: 'default-0',
          link: 'default',
          type: 'ipv4',
          ip_address: '10.88.0.5',
          netmask: '255.255.255.0',
          routes: [
            { network: '0.0.0.0', netmask: '0.0.0.0', gateway: '10.88.0.1' },
            { network: '172.16.0.0', netmask: '255.240.0.0', gateway: '10.88.0.9' },
          ],
          dns_search: DNS.searches,
        },
        {
          id: 'default-1',
          link: 'default',
          type: 'ipv4',
          ip_address: '10.88.0.6',
          netmask: '255.255.255.0',
          routes: [],
        },
        {
          id: 'default-2',
          link: 'default',
          type: 'ipv6',
          ip_address: 'fd00::5',
          netmask: 'ffff:ffff:ffff:ffff::',
          routes: [{ network: '::', netmask: '::', gateway: 'fd00::1' }],
        },
      ],
      services: [{ type: 'dns', address: '10.96.0.10' }],
    })
  })

  it("has a network of DHCP for others' NICs", () => {
    const vmi = newVmi({
      interfaces: [{ name: 'mgmt', masquerade: {}, macAddress: '02:00:00:00:00:01' }],
      networks: [{ name: 'mgmt', pod: {} }],
    })
    const { nics } = toGuestNetwork(decodeGuestNics(vmi, ['l2wire']), LINKS, newPod([], []))
    expect(JSON.parse(renderOpenStack(nics))).to.eql({
      links: [{ id: 'mgmt', type: 'phy', ethernet_mac_address: '02:00:00:00:00:01' }],
      networks: [{ id: 'mgmt-0', link: 'mgmt', type: 'ipv4_dhcp' }],
      services: [],
    })
  })
})

describe('wantsNetworkData()', () => {
  const annotated = { annotations: { 'l2wire.dev/network-data': 'true' } }
  const noCloud = { name: 'init', cloudInitNoCloud: { userData: '#cloud-config' } }
  const rows: readonly { name: string; metadata?: object; volumes?: object[]; want: boolean }[] = [
    { name: 'a VM that asks for it', metadata: annotated, volumes: [noCloud], want: true },
    {
      name: 'a VM that asks for it, with a ConfigDrive behind other volumes',
      metadata: annotated,
      volumes: [{ name: 'root' }, { name: 'init', cloudInitConfigDrive: { userData: 'x' } }],
      want: true,
    },
    { name: 'a VM that does not ask', metadata: {}, volumes: [noCloud], want: false },
    {
      name: 'a VM that says no',
      metadata: { annotations: { 'l2wire.dev/network-data': 'false' } },
      volumes: [noCloud],
      want: false,
    },
    { name: 'no cloud-init volume', metadata: annotated, volumes: [{ name: 'root' }], want: false },
    { name: 'no volumes', metadata: annotated, want: false },
    ...[
      { networkData: 'version: 2' },
      { networkDataBase64: 'dmVyc2lvbjogMg==' },
      { networkDataSecretRef: { name: 'net' } },
    ].map((own) => ({
      name: `network data of its own: ${Object.keys(own)[0] ?? ''}`,
      metadata: annotated,
      volumes: [{ name: 'init', cloudInitNoCloud: own }, noCloud],
      want: false,
    })),
  ]
  for (const { name, metadata, volumes, want } of rows)
    it(`${want ? 'holds for' : 'does not hold for'} ${name}`, () => {
      expect(wantsNetworkData({ metadata, spec: { volumes } })).to.equal(want)
    })

  it('does not hold where nobody may read the VMI', () => {
    expect(wantsNetworkData(undefined)).to.equal(false)
  })
})
