import { expect } from 'chai'
import { describe, it } from 'mocha'

import { toPodLinkName, toTapName } from '../../../core/name.ts'
import { aliasesOf, newDomain, newLinks, newVmi, PLAIN, rewrite, TAP, withNic } from './samples.ts'

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
