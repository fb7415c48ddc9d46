import { expect } from 'chai'
import fc from 'fast-check'
import { describe, it } from 'mocha'

import type { LinkFacts } from '../../../core/domain/nic.ts'
import { applyEdits, delElement } from '../../../core/domain/splice.ts'
import { findAttribute, findChild, parseTree } from '../../../core/domain/tree.ts'
import { toPodLinkName, toTapName } from '../../../core/name.ts'
import { newLinks, newVmi, rewrite } from './samples.ts'

const NAMES = ['a', 'b', 'c', 'd']

// Text that may stand between elements, with everything in it that has misled an XML editor before.
const filler = fc.constantFrom(
  '',
  '\n    ',
  '\r\n\t\t',
  '<!-- <interface> -->',
  '<![CDATA[</devices>]]>',
  '&amp;&#x1f50c;',
  '\u{1f50c}é',
  '<?pi <interface/> ?>',
  '<disk type="file"><alias name="ua-disk"/></disk>',
  `<hostdev mode='subsystem'/>`,
)
const children = fc.subarray([
  '<model type="e1000"/>',
  `<mac address='02:00:00:00:00:99'/>`,
  '<mtu size="1"></mtu>',
  '<driver name="vhost" queues="8" iommu="on"/>',
  '<driver queues="8"/>',
  '<link state="down"/>',
  '<rom enabled="no"/>',
  '<source></source>',
  '<target dev="x"/>',
  '<!-- c -->',
])
const iface = (name: string) =>
  fc.record({
    name: fc.constant(name),
    isOurs: fc.boolean(),
    isInDomain: fc.boolean(),
    isQuoted: fc.boolean(),
    model: fc.constantFrom('virtio', 'e1000', undefined),
    state: fc.constantFrom('up', 'down', 'absent', undefined),
    bootOrder: fc.constantFrom(undefined, 1),
    pciAddress: fc.constantFrom(undefined, '0000:00:0a.0'),
    isMultiQueue: fc.constantFrom(true, false, undefined),
    hasTap: fc.boolean(),
    children,
    filler,
  })
const scene = fc.record({
  ifaces: fc.tuple(...NAMES.map(iface)),
  xmlOrder: fc.shuffledSubarray(NAMES, { minLength: NAMES.length }),
  vmiOrder: fc.shuffledSubarray(NAMES, { minLength: NAMES.length }),
  before: filler,
  after: filler,
  tail: filler,
  cores: fc.integer({ min: 1, max: 9 }),
})
type Scene = typeof scene extends fc.Arbitrary<infer T> ? T : never
type Iface = Scene['ifaces'][number]

function pick(order: readonly string[], ifaces: readonly Iface[]): Iface[] {
  return order.flatMap((name) => ifaces.filter((each) => each.name === name))
}

function build({ ifaces, xmlOrder, vmiOrder, before, after, tail, cores }: Scene) {
  const elements = pick(xmlOrder, ifaces)
    .filter(({ isInDomain }) => isInDomain)
    .map((each) => {
      const alias = each.isQuoted
        ? `<alias name='ua-${each.name}'/>`
        : `<alias name="ua-${each.name}"></alias>`
      return `${each.filler}<interface type="ethernet">${each.children.join(each.filler)}${alias}</interface>`
    })
  const xml = `<domain>${before}<devices>${before}${elements.join('')}${after}</devices>${tail}</domain>\n`
  const interfaces = pick(vmiOrder, ifaces).map(
    ({ name, isOurs, model, state, bootOrder, pciAddress }) => ({
      name,
      ...(isOurs
        ? { binding: { name: 'l2wire' }, model, state, bootOrder, pciAddress }
        : { bridge: {} }),
    }),
  )
  const links: Record<string, Partial<LinkFacts>> = {}
  for (const { name, model, hasTap, ...each } of ifaces) {
    // A tap for several queues is refused for a model that opens one.
    const isMultiQueue = model === 'e1000' ? false : each.isMultiQueue
    links[toPodLinkName(name)] = {}
    if (hasTap) links[toTapName(toPodLinkName(name))] = { mtuBytes: 1400, isMultiQueue }
  }
  const vmi = newVmi({ interfaces, domain: { cpu: { cores } } })
  return { xml, vmi, links: newLinks(links) }
}

/** The document without the interfaces that are ours. */
function withoutOurs(xml: string, { ifaces }: Scene): string {
  const aliases = ifaces
    .filter(({ isOurs, state }) => isOurs && state !== 'absent')
    .map(({ name }) => `ua-${name}`)
  const elements = findChild(parseTree(xml), 'devices')?.children ?? []
  const edits = elements
    .filter(({ name }) => name === 'interface')
    .filter((element) => {
      const alias = findChild(element, 'alias')
      return alias !== undefined && aliases.includes(findAttribute(alias, 'name') ?? '')
    })
    .map((element) => delElement(xml, element))
  // What stood between two of ours is not told apart from what stood beside one.
  return applyEdits(xml, edits).replaceAll(/\s/g, '')
}

describe('rewriteDomain()', () => {
  it('changes nothing when it runs on its own output', () => {
    fc.assert(
      fc.property(scene, (each) => {
        const { xml, vmi, links } = build(each)
        const once = rewrite(xml, vmi, links).xml
        expect(rewrite(once, vmi, links).xml).to.equal(once)
      }),
      { numRuns: 400 },
    )
  })

  it('changes nothing that is not ours', () => {
    fc.assert(
      fc.property(scene, (each) => {
        const { xml, vmi, links } = build(each)
        const once = rewrite(xml, vmi, links).xml
        expect(withoutOurs(once, each)).to.equal(withoutOurs(xml, each))
      }),
      { numRuns: 400 },
    )
  })

  it('returns the document as it came when no NIC is ours', () => {
    fc.assert(
      fc.property(scene, (each) => {
        const ifaces = each.ifaces.map((iface) => ({ ...iface, isOurs: false }))
        const { xml, vmi, links } = build({ ...each, ifaces })
        expect(rewrite(xml, vmi, links).xml).to.equal(xml)
      }),
      { numRuns: 100 },
    )
  })
})
