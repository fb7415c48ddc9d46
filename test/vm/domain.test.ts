import { expect } from 'chai'
import { describe, it } from 'mocha'

import { DecodeError } from '../../core/errors.ts'
import { toPodLinkName, toTapName } from '../../core/name.ts'
import { toDomainXml, type DomainOptions } from '../../lab/domain.ts'
import { element, renderElement } from '../../lab/domain-element.ts'
import { addPorts, countExtraPorts, countPlaceholders } from '../../lab/domain-ports.ts'
import { toSchemaXml } from '../../lab/domain-schema.ts'
import { toVmi, type Vmi, type VmiInterface } from '../../lab/domain-vmi.ts'

const POD_LINK = toPodLinkName('ge0')
const TAP = toTapName(POD_LINK)
const LINK = { mac: '02:00:00:00:00:99', mtu: 9216 }

function newVmi(...interfaces: readonly VmiInterface[]): Vmi {
  const networks = [
    { name: 'mgmt', pod: {} },
    { name: 'ge0', multus: { networkName: 'r1-r2' } },
  ]
  const spec = { domain: { devices: { interfaces } }, networks }
  return toVmi({ kind: 'VirtualMachine', metadata: { name: 'r1' }, spec: { template: { spec } } })
}

function listInterfaces(vmi: Vmi, options: Partial<DomainOptions>): readonly string[] {
  const xml = toDomainXml(vmi, { accelerator: 'qemu', podLinks: new Map(), ...options })
  return xml.match(/<interface [^]*?<\/interface>/g) ?? []
}

describe('renderElement()', () => {
  it("writes what Go's MarshalIndent writes", () => {
    const device = element('disk', { type: 'file', snapshot: undefined }, [
      element('source', { file: `a"b'<&>` }),
      element('serial', {}, 'x\ty'),
    ])
    expect(renderElement(device, 1)).to.equal(
      [
        '\t<disk type="file">',
        '\t\t<source file="a&#34;b&#39;&lt;&amp;&gt;"></source>',
        '\t\t<serial>x&#x9;y</serial>',
        '\t</disk>',
      ].join('\n'),
    )
  })
})

describe('toDomainXml()', () => {
  it("keeps the order of virt-launcher's schema", () => {
    const xml = toDomainXml(newVmi(), { accelerator: 'kvm', podLinks: new Map() })
    const names = [...xml.matchAll(/^\t<(\w+)/gm)].map((match) => match[1])
    expect(names.join(' ')).to.equal(
      'name memory os sysinfo devices clock metadata features cpu vcpu iothreads',
    )
    expect(xml).to.match(/^<domain type="kvm" xmlns:qemu="/)
  })

  it('writes the interface of the pod network as virt-launcher does', () => {
    const vmi = newVmi({ name: 'mgmt', masquerade: {} })
    const [xml] = listInterfaces(vmi, { podLinks: new Map([['eth0', { ...LINK, mtu: 1450 }]]) })
    expect(xml?.replaceAll(/\n\t*/g, '')).to.equal(
      '<interface type="ethernet"><source></source><target dev="tap0" managed="no"></target>' +
        '<model type="virtio-non-transitional"></model><mac address="02:00:00:00:00:99"></mac>' +
        '<mtu size="1450"></mtu><alias name="ua-mgmt"></alias><rom enabled="no"></rom></interface>',
    )
  })

  it('gives every virtio NIC a queue per CPU where the VM asks for several', () => {
    const vmi = newVmi(
      { name: 'mgmt', masquerade: {} },
      { name: 'ge0', bridge: {}, model: 'e1000' },
    )
    const devices = { ...vmi.spec.domain.devices, networkInterfaceMultiqueue: true }
    const spec = { ...vmi.spec, domain: { devices, cpu: { cores: 2, sockets: 2 } } }
    const [virtio, e1000] = listInterfaces({ ...vmi, spec }, { accelerator: 'kvm' })
    expect(virtio).to.include('<driver name="vhost" queues="4"></driver>')
    expect(e1000).to.not.include('<driver')
  })

  it("takes Multus' default network for the pod's", () => {
    const vmi = newVmi({ name: 'mgmt', bridge: {} })
    const networks = [{ name: 'mgmt', multus: { networkName: 'underlay', default: true } }]
    const spec = { ...vmi.spec, networks }
    const [xml] = listInterfaces({ ...vmi, spec }, { podLinks: new Map([['eth0', LINK]]) })
    expect(xml).to.match(/dev="tap0"[^]*<mtu size="9216">/)
  })

  const l2wire = { name: 'ge0', binding: { name: 'l2wire' } }
  const taps = new Map([
    [POD_LINK, LINK],
    [TAP, LINK],
  ])
  const rows: readonly {
    name: string
    nic: VmiInterface
    options?: Partial<DomainOptions>
    want: readonly RegExp[]
  }[] = [
    { name: 'leaves a binding without attachment to its sidecar', nic: l2wire, want: [] },
    {
      name: 'leaves one with managedTap, as v1.9.0 does',
      nic: l2wire,
      options: { domainAttachments: { l2wire: 'managedTap' } },
      want: [],
    },
    {
      name: 'opens the tap of a binding with attachment tap',
      nic: l2wire,
      options: { domainAttachments: { l2wire: 'tap' }, podLinks: taps },
      want: [new RegExp(`dev="${TAP}"[^]*${LINK.mac}[^]*size="9216"`)],
    },
    {
      name: 'opens the pod link itself where there is no tap',
      nic: l2wire,
      options: { domainAttachments: { l2wire: 'tap' }, podLinks: new Map([[POD_LINK, LINK]]) },
      want: [new RegExp(`dev="${POD_LINK}"`)],
    },
    {
      name: 'leaves out an absent one',
      nic: { name: 'ge0', bridge: {}, state: 'absent' },
      want: [],
    },
    {
      name: 'tells a link that is down',
      nic: { name: 'ge0', bridge: {}, state: 'down' },
      want: [/<link state="down">/],
    },
    {
      name: 'keeps model and MAC of the manifest',
      nic: { name: 'ge0', bridge: {}, model: 'e1000', macAddress: '02:00:00:00:00:01' },
      want: [/type="e1000"[^]*02:00:00:00:00:01/],
    },
    {
      name: 'boots from one with a boot order, which needs its ROM',
      nic: { name: 'ge0', bridge: {}, bootOrder: 2 },
      want: [/<boot order="2"><\/boot>\s*<alias[^>]*><\/alias>\s*<\/interface>/],
    },
    {
      name: 'puts one at its PCI address',
      nic: { name: 'ge0', bridge: {}, pciAddress: '0000:81:00.1' },
      want: [/<address type="pci" domain="0x0000" bus="0x81" slot="0x00" function="0x1">/],
    },
  ]
  for (const { name, nic, options = {}, want } of rows) {
    it(name, () => {
      const interfaces = listInterfaces(newVmi(nic), options)
      expect(interfaces).to.have.length(want.length)
      for (const [index, pattern] of want.entries()) expect(interfaces[index]).to.match(pattern)
    })
  }
})

describe('toSchemaXml()', () => {
  it("writes a document that comes back as virt-launcher's schema has it", () => {
    const written = `<domain type='qemu'>
  <devices>
    <interface type='ethernet'>
      <mac address='02:00:00:00:00:01'/>
      <target dev='tap0' managed='no'/>
      <model type='virtio'/>
      <driver queues='2'><host csum='off'/></driver>
      <coalesce/>
      <address type='pci' domain='0x0000' multifunction='on'/>
    </interface>
    <controller type='pci' index='1' model='pcie-root-port'><target chassis='1' port='0x8'/></controller>
    <emulator>/usr/bin/qemu</emulator>
    <audio id='1' type='none'/>
  </devices>
</domain>`
    expect(toSchemaXml(written)).to.equal(`<domain type='qemu'>
  <devices>
\t\t<emulator>/usr/bin/qemu</emulator>
\t\t<interface type="ethernet">
\t\t\t<address type="pci" domain="0x0000"></address>
\t\t\t<target dev="tap0" managed="no"></target>
\t\t\t<model type="virtio"></model>
\t\t\t<mac address="02:00:00:00:00:01"></mac>
\t\t\t<driver queues="2"></driver>
\t\t</interface>
\t\t<controller type="pci" index="1" model="pcie-root-port">
\t\t\t<target></target>
\t\t</controller>
\t</devices>
</domain>`)
  })
})

const nic = (name: string): VmiInterface => ({ name, masquerade: {} })

describe('free PCI ports', () => {
  const rows = [
    { name: 'no NIC, no placeholders', nics: [], placeholders: 0 },
    { name: 'one NIC and three placeholders', nics: [nic('a')], placeholders: 3 },
    { name: 'four NICs fill the slots', nics: ['a', 'b', 'c', 'd'].map(nic), placeholders: 0 },
  ]
  for (const { name, nics, placeholders } of rows)
    it(name, () => {
      expect(countPlaceholders(newVmi(...nics))).to.equal(placeholders)
    })

  it('three at least, less the placeholders, of eight in all', () => {
    const options: DomainOptions = { accelerator: 'kvm', podLinks: new Map() }
    // Three controllers, memballoon and rng.
    expect(countExtraPorts(toDomainXml(newVmi(), options), 0)).to.equal(3)
    const xml = toDomainXml(newVmi(nic('mgmt')), options)
    expect(countExtraPorts(xml, 3)).to.equal(0)
    expect(countExtraPorts(xml, 0)).to.equal(3)
    expect(
      addPorts(xml, 2).match(/type="pci" index="[12]" model="pcie-root-port"/g),
    ).to.have.length(2)
  })
})

function newNamedVmi(name: string, namespace?: string): Vmi {
  const spec = { template: { spec: { domain: { devices: {} } } } }
  return toVmi({ kind: 'VirtualMachine', metadata: { name, namespace }, spec })
}

describe('toVmi()', () => {
  it('gives the same VM the same UID, and each VM its own', () => {
    expect(newNamedVmi('r1').metadata).to.deep.equal(newNamedVmi('r1', 'default').metadata)
    expect(newNamedVmi('r1').metadata.uid).to.match(
      /^[\da-f]{8}-[\da-f]{4}-4[\da-f]{3}-8[\da-f]{3}-/,
    )
    expect(newNamedVmi('r1').metadata.uid).to.not.equal(newNamedVmi('r1', 'lab-2').metadata.uid)
  })

  it('refuses what is no VirtualMachine', () => {
    for (const manifest of [undefined, { kind: 'Pod' }, { kind: 'VirtualMachine', metadata: {} }]) {
      expect(() => toVmi(manifest)).to.throw(DecodeError)
    }
  })
})
