import { expect } from 'chai'
import { describe, it } from 'mocha'

import type { LinkFacts } from '../../../core/domain/nic.ts'
import type { VmiParts } from './samples.ts'
import {
  childrenOf,
  newDomain,
  newLinks,
  newVmi,
  PLAIN,
  POD_AND_TAP,
  POD_LINK,
  rewrite,
  TAP,
  withNic,
} from './samples.ts'

const GENERATED = `
    <interface type="ethernet">
      <source></source>
      <target dev="${POD_LINK}" managed="no"></target>
      <model type="virtio-non-transitional"></model>
      <mac address="02:00:00:00:00:01"></mac>
      <mtu size="9216"></mtu>
      <alias name="ua-ge0"></alias>
      <rom enabled="no"></rom>
    </interface>`

function withTap(facts: Partial<LinkFacts>) {
  return newLinks({ [POD_LINK]: {}, [TAP]: { mtuBytes: 1400, ...facts } })
}

function cores(count: number): VmiParts {
  return { domain: { cpu: { cores: count } } }
}

function secondary(name: string): object {
  return { name, multus: { networkName: 'cable' } }
}

describe('rewriteDomain() writes each field of a NIC', () => {
  const single = POD_AND_TAP
  const multi = withTap({ isMultiQueue: true })
  const podLinkOnly = newLinks({ [POD_LINK]: {} })
  const requested = { networkInterfaceMultiqueue: true }
  const s390x = "type='kvm'><os><type arch='s390x'>hvm</type></os"
  const rows: {
    name: string
    vmi: object
    links?: ReturnType<typeof newLinks>
    has?: string[]
    lacks?: string[]
    root?: string
  }[] = [
    { name: 'opens the tap and tells its MTU', vmi: newVmi(), has: PLAIN },
    {
      name: 'opens the pod link where there is no tap, and tells its MTU',
      vmi: newVmi(),
      links: podLinkOnly,
      has: [`<target dev="${POD_LINK}" managed="no"/>`, '<mtu size="9216"/>'],
    },
    {
      name: "takes the VMI's MAC, in lower case and with colons",
      vmi: withNic({ macAddress: '02-AB-00-00-00-FF' }),
      has: ['<mac address="02:ab:00:00:00:ff"/>'],
    },
    {
      name: 'names the transitional model',
      vmi: newVmi({ devices: { useVirtioTransitional: true } }),
      has: ['<model type="virtio-transitional"/>'],
    },
    {
      name: 'keeps virtio plain on s390x, which has no PCI ROMs either',
      vmi: newVmi({ devices: { useVirtioTransitional: true } }),
      root: s390x,
      has: ['<model type="virtio"/>'],
      lacks: ['<rom'],
    },
    {
      name: "asks the VMI's architecture when the document does not say",
      vmi: newVmi({ spec: { architecture: 's390x' } }),
      has: ['<model type="virtio"/>'],
    },
    {
      name: 'passes other models on',
      vmi: withNic({ model: 'e1000e' }),
      has: ['<model type="e1000e"/>'],
    },
    {
      name: 'gives a multi-queue tap a queue per vCPU',
      vmi: newVmi(cores(4)),
      links: multi,
      has: ['<driver name="vhost" queues="4"/>'],
    },
    {
      name: 'gives a multi-queue tap two queues for one vCPU',
      vmi: newVmi(cores(1)),
      links: multi,
      has: ['<driver name="vhost" queues="2"/>'],
    },
    {
      name: 'gives a multi-queue tap 256 queues at most',
      vmi: newVmi(cores(300)),
      links: multi,
      has: ['<driver name="vhost" queues="256"/>'],
    },
    {
      name: 'does not insist on vhost in an emulated VM',
      vmi: newVmi(cores(4)),
      links: multi,
      root: "type='qemu'",
      has: ['<driver name="qemu" queues="4"/>'],
    },
    {
      name: 'gives a single-queue tap no queues though the VMI asks for them',
      vmi: newVmi({ ...cores(4), devices: requested }),
      links: single,
      lacks: ['<driver'],
    },
    {
      name: 'gives a model that is not virtio no queues',
      vmi: withNic({ model: 'e1000' }, cores(4)),
      links: single,
      lacks: ['<driver'],
    },
    {
      name: 'gives what is no tap the queues the VMI asks for',
      vmi: newVmi({ ...cores(4), devices: requested }),
      links: podLinkOnly,
      has: ['<driver name="vhost" queues="4"/>'],
    },
    {
      name: 'boots from a NIC with its ROM',
      vmi: withNic({ bootOrder: 3 }),
      has: ['<boot order="3"/>'],
      lacks: ['<rom'],
    },
    {
      name: 'needs an IOMMU and no ROM where memory is encrypted',
      vmi: withNic({ bootOrder: 3 }, { domain: { launchSecurity: { snp: {} } } }),
      has: ['<driver name="vhost" iommu="on"/>', '<rom enabled="no"/>'],
    },
    {
      name: 'places a NIC on the PCI bus',
      vmi: withNic({ pciAddress: '0000:81:0a.7' }),
      has: ['<address type="pci" domain="0x0000" bus="0x81" slot="0x0a" function="0x7"/>'],
    },
    { name: 'gives an ACPI index', vmi: withNic({ acpiIndex: 101 }), has: ['<acpi index="101"/>'] },
    { name: 'pulls the plug', vmi: withNic({ state: 'down' }), has: ['<link state="down"/>'] },
    { name: 'leaves the plug in', vmi: withNic({ state: 'up' }), lacks: ['<link'] },
  ]
  for (const { name, vmi, links, has = [], lacks = [], root } of rows) {
    it(name, () => {
      const children = childrenOf(rewrite(newDomain('', root), vmi, links).xml, 'ua-ge0')
      expect(children).to.include.members(has)
      expect(children.filter((line) => lacks.some((text) => line.startsWith(text)))).to.eql([])
    })
    it(`${name}, also in an interface KubeVirt has generated`, () => {
      const xml = newDomain(GENERATED, root)
      const once = rewrite(xml, vmi, links).xml
      const children = childrenOf(once, 'ua-ge0').map((line) => line.replace(/><\/\w+>$/, '/>'))
      expect(children).to.include.members(has)
      expect(children.filter((line) => lacks.some((text) => line.startsWith(text)))).to.eql([])
      expect(rewrite(once, vmi, links).xml).to.equal(once)
    })
  }
})

describe('rewriteDomain() finds the pod link', () => {
  const ordinal = { name: 'ge1', binding: { name: 'l2wire' } }
  const primary = { name: 'ge0', pod: {} }
  const reported = { interfaces: [{ name: 'ge0', podInterfaceName: 'ovn-udn1' }] }
  const rows = [
    {
      name: 'by its hashed name',
      vmi: newVmi(),
      links: [POD_LINK, TAP, 'net1'],
      want: [POD_LINK, TAP],
    },
    {
      name: 'by its place where it has an ordinal name',
      vmi: newVmi(),
      links: ['net1'],
      want: ['net1', 'net1'],
    },
    {
      name: 'and the tap of an ordinal name',
      vmi: newVmi(),
      links: ['net1', 'tap1'],
      want: ['net1', 'tap1'],
    },
    {
      name: 'counting secondary networks only',
      vmi: newVmi({
        interfaces: [ordinal],
        networks: [
          primary,
          secondary('x'),
          { name: 'd', multus: { networkName: 'd', default: true } },
          secondary('ge1'),
        ],
      }),
      links: ['net1', 'net2', 'net3'],
      want: ['net2', 'net2'],
    },
    {
      name: 'of the pod network',
      vmi: newVmi({ networks: [primary] }),
      links: ['eth0'],
      want: ['eth0', 'eth0'],
    },
    {
      name: 'and the tap of the pod network',
      vmi: newVmi({ networks: [primary] }),
      links: ['eth0', 'tap0'],
      want: ['eth0', 'tap0'],
    },
    {
      name: "of Multus' default network",
      vmi: newVmi({ networks: [{ name: 'ge0', multus: { networkName: 'x', default: true } }] }),
      links: ['eth0', POD_LINK],
      want: ['eth0', 'eth0'],
    },
    {
      name: "by the VMI's status on the pod network",
      vmi: newVmi({ networks: [primary], status: reported }),
      links: ['eth0', 'ovn-udn1', 'tap0'],
      want: ['ovn-udn1', 'tap0'],
    },
    {
      name: "as eth0 when the status' link is not there",
      vmi: newVmi({ networks: [primary], status: reported }),
      links: ['eth0'],
      want: ['eth0', 'eth0'],
    },
  ]
  it('that the agent has joined the tap to, whatever the status says', () => {
    for (const status of [reported, {}])
      for (const joined of ['eth0', 'ovn-udn2']) {
        const vmi = newVmi({ networks: [primary], status })
        const links = newLinks({ eth0: {}, 'ovn-udn1': {}, 'ovn-udn2': {}, tap0: { joined } })
        const { nics } = rewrite(newDomain(''), vmi, links)
        expect(nics.map(({ podLink, target }) => [podLink, target])).to.eql([[joined, 'tap0']])
      }
  })
  for (const { name, vmi, links, want } of rows) {
    it(name, () => {
      const { nics } = rewrite(
        newDomain(''),
        vmi,
        newLinks(Object.fromEntries(links.map((link) => [link, {}]))),
      )
      expect(nics.flatMap(({ podLink, target }) => [podLink, target])).to.eql(want)
    })
  }
})
