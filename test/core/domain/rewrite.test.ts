import { expect } from 'chai'
import { describe, it } from 'mocha'

import type { LinkFacts } from '../../../core/domain/nic.ts'
import { toPodLinkName, toTapName } from '../../../core/name.ts'
import type { VmiParts } from './samples.ts'
import {
  aliasesOf,
  childrenOf,
  newDomain,
  newLinks,
  newVmi,
  OURS,
  POD_AND_TAP,
  POD_LINK,
  rewrite,
  TAP,
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

const PLAIN = [
  `<target dev="${TAP}" managed="no"/>`,
  '<model type="virtio-non-transitional"/>',
  '<mac address="02:00:00:00:00:01"/>',
  '<mtu size="1400"/>',
  '<alias name="ua-ge0"/>',
  '<rom enabled="no"/>',
]

function withNic(fields: object, parts: VmiParts = {}): object {
  return newVmi({ ...parts, interfaces: [{ ...OURS, ...fields }] })
}

function withTap(facts: Partial<LinkFacts>) {
  return newLinks({ [POD_LINK]: {}, [TAP]: { mtuBytes: 1400, ...facts } })
}

function cores(count: number): VmiParts {
  return { domain: { cpu: { cores: count } } }
}

function secondary(name: string): object {
  return { name, multus: { networkName: 'cable' } }
}

function ours(name: string) {
  return { name, binding: { name: 'l2wire' } }
}

function other(name: string) {
  return { name, masquerade: {} }
}

function neighbour(alias: string): string {
  return `\n    <interface type='user'><alias name='${alias}'/></interface>`
}

function withChildren(children: string, type = 'ethernet'): string {
  const alias = "<alias name='ua-ge0'/>"
  return newDomain(`\n    <interface type='${type}'>${alias}${children}</interface>`)
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

describe('rewriteDomain() keeps the order of the VMI', () => {
  const absent = { ...ours('gone'), state: 'absent' }
  const rows = [
    { name: 'with nothing there', vmi: [ours('a'), ours('b')], xml: '', want: ['ua-a', 'ua-b'] },
    {
      name: 'behind its predecessor',
      vmi: [other('m'), ours('a')],
      xml: neighbour('ua-m'),
      want: ['ua-m', 'ua-a'],
    },
    {
      name: 'before its successor',
      vmi: [ours('a'), ours('b'), other('m')],
      xml: neighbour('ua-m'),
      want: ['ua-a', 'ua-b', 'ua-m'],
    },
    {
      name: 'between neighbours',
      vmi: [other('m'), ours('a'), ours('b'), other('n')],
      xml: neighbour('ua-m') + neighbour('ua-n'),
      want: ['ua-m', 'ua-a', 'ua-b', 'ua-n'],
    },
    {
      name: 'between neighbours without white space',
      vmi: [other('m'), ours('a'), other('n'), ours('b')],
      xml: (neighbour('ua-m') + neighbour('ua-n')).replaceAll('\n    ', ''),
      want: ['ua-m', 'ua-a', 'ua-n', 'ua-b'],
    },
    {
      name: 'behind one neighbour first where both touch, in another order',
      vmi: [ours('a'), other('m'), other('n'), ours('b')],
      xml: (neighbour('ua-n') + neighbour('ua-m')).replaceAll('\n    ', ''),
      want: ['ua-n', 'ua-b', 'ua-a', 'ua-m'],
    },
    {
      name: 'over an interface the document does not have (SR-IOV)',
      vmi: [other('m'), { name: 's', sriov: {} }, ours('a'), other('n')],
      xml: neighbour('ua-m') + neighbour('ua-n'),
      want: ['ua-m', 'ua-a', 'ua-n'],
    },
    {
      name: 'before placeholders',
      vmi: [ours('a')],
      xml: neighbour('placeholder-0'),
      want: ['ua-a', 'placeholder-0'],
    },
    { name: 'leaving out what is absent', vmi: [absent, ours('a')], xml: '', want: ['ua-a'] },
    {
      name: 'leaving alone what is absent',
      vmi: [absent, ours('a')],
      xml: neighbour('ua-gone'),
      want: ['ua-gone', 'ua-a'],
    },
  ]
  for (const { name, vmi, xml, want } of rows) {
    it(name, () => {
      const links = newLinks(Object.fromEntries(['a', 'b'].map((nic) => [toPodLinkName(nic), {}])))
      const networks = vmi.map((each) => ({ name: each.name, multus: { networkName: 'cable' } }))
      const once = rewrite(newDomain(xml), newVmi({ interfaces: vmi, networks }), links)
      expect(aliasesOf(once.xml)).to.eql(want)
      expect(rewrite(once.xml, newVmi({ interfaces: vmi, networks }), links).xml).to.equal(once.xml)
    })
  }
})

describe('rewriteDomain() amends what is there', () => {
  const rows = [
    {
      name: 'drops queues, and a driver that was for them only',
      xml: `<driver name='vhost' queues='4'/>`,
      lacks: '<driver',
    },
    {
      name: "drops queues and keeps a driver's other attributes",
      xml: `<driver name='vhost' queues='4' iommu='on'/>`,
      has: `<driver name='vhost' iommu='on'/>`,
    },
    {
      name: "keeps a driver's children",
      xml: `<driver queues='4'><host csum='off'/></driver>`,
      has: `<driver><host csum='off'/></driver>`,
    },
    {
      name: 'keeps a driver that never was for queues',
      xml: `<driver name='qemu'/>`,
      has: `<driver name='qemu'/>`,
    },
    { name: 'puts the plug in', xml: `<link state='down'/>`, lacks: '<link' },
    { name: 'keeps a link that is up', xml: `<link state='up'/>`, has: `<link state='up'/>` },
    {
      name: 'keeps an address the VMI does not ask for',
      xml: `<address type='pci' slot='0x03'/>`,
      has: `<address type='pci' slot='0x03'/>`,
    },
    {
      name: 'gives up the address of another bus',
      xml: `<address type='ccw' cssid='0xfe'/>`,
      vmi: withNic({ pciAddress: '0000:01:00.0' }),
      has: '<address type="pci" domain="0x0000" bus="0x01" slot="0x00" function="0x0"/>',
      lacks: 'cssid',
    },
    {
      name: 'keeps a bandwidth',
      xml: `<bandwidth><inbound average='1'/></bandwidth>`,
      has: `<bandwidth><inbound average='1'/></bandwidth>`,
    },
    {
      name: 'changes the type and forgets its source',
      xml: `<source bridge='k6t-x'/>`,
      type: 'bridge',
      has: `<interface type='ethernet'>`,
      lacks: '<source',
    },
    { name: 'keeps quotes as they are', xml: `<mtu size='1'/>`, has: `<mtu size='1400'/>` },
    {
      name: 'is not misled by attributes in other quotes',
      xml: `<target dev="x'y" managed='yes'/>`,
      has: `<target dev="${TAP}" managed='no'/>`,
    },
    {
      name: 'boots with a ROM that was switched off',
      xml: `<rom enabled='no'/>`,
      vmi: withNic({ bootOrder: 1 }),
      lacks: '<rom',
    },
    {
      name: 'boots with a ROM somebody has chosen',
      xml: `<rom file='/ipxe'/>`,
      vmi: withNic({ bootOrder: 1 }),
      has: `<rom file='/ipxe'/>`,
    },
  ]
  for (const { name, xml, type, vmi = newVmi(), has = '', lacks } of rows) {
    it(name, () => {
      const once = rewrite(withChildren(xml, type), vmi).xml
      expect(once).to.include(has)
      if (lacks !== undefined) expect(once).not.to.include(lacks)
      expect(rewrite(once, vmi).xml).to.equal(once)
    })
  }

  it('opens an interface that was written empty', () => {
    const xml = newDomain(`\n    <interface\n/>\n    <interface type="user"/>`)
    expect(aliasesOf(rewrite(xml, newVmi()).xml)).to.eql(['ua-ge0'])
  })

  it('opens <devices/> that was written empty', () => {
    const { xml } = rewrite('<domain>\n  <devices/>\n</domain>', newVmi({}))
    expect(xml).to.match(/^<domain>\n {2}<devices>\n {4}<interface type="ethernet">\n {6}<target /)
    expect(xml).to.match(/ {4}<\/interface>\n {2}<\/devices>\n<\/domain>$/)
  })

  it('writes on one line where the document does', () => {
    const { xml } = rewrite('<domain><devices></devices></domain>', newVmi())
    expect(xml).to.equal(
      `<domain><devices><interface type="ethernet">${PLAIN.join('')}</interface></devices></domain>`,
    )
  })

  it('ends lines as the document does', () => {
    const { xml } = rewrite(newDomain('\n    <disk/>').replaceAll('\n', '\r\n'), newVmi())
    expect(xml.replaceAll('\r\n', '')).not.to.include('\n')
    expect(xml.match(/\r\n/g)).to.have.length(5 + PLAIN.length + 2)
  })

  it('escapes a name that XML would misread', () => {
    const name = `a"<&'`
    const vmi = newVmi({ interfaces: [{ name, binding: { name: 'l2wire' } }] })
    const links = newLinks({ [toPodLinkName(name)]: {}, [toTapName(toPodLinkName(name))]: {} })
    const once = rewrite(newDomain(''), vmi, links).xml
    expect(once).to.include(`<alias name="ua-a&quot;&lt;&amp;'"/>`)
    expect(rewrite(once, vmi, links).xml).to.equal(once)
  })
})
