// Random domains and VMIs, with everything in them that has misled an XML editor before.
import fc from 'fast-check'

import { OUR_BINDINGS } from '../../../core/domain/bindings.ts'
import type { LinkFacts } from '../../../core/domain/nic.ts'
import { toPodLinkName, toTapName } from '../../../core/name.ts'
import type { Sample } from './corpus.ts'
import { newLinks, newVmi } from './samples.ts'

const NAMES = ['a', 'b', 'c', 'd', 'é"&<']

const filler = fc.constantFrom(
  '',
  '\n    ',
  '\r\n\t\t',
  '\n\n\t ',
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
])
/** What a user's other hooks may have put into an interface of ours: it is not ours to change. */
const kept = fc.subarray([
  '<bandwidth><inbound average="1"/></bandwidth>',
  `<coalesce ><rx><frames max = '7'/></rx></coalesce>`,
  '<guest dev="x&amp;y>z"/>',
  '<!-- kept > -->',
  '<?kept <mtu/> ?>',
  '<x:y xmlns:x="urn:x"><mtu size="2"/></x:y>',
  '<filterref filter="clean-traffic"></filterref>',
])
const iface = (name: string) =>
  fc.record({
    name: fc.constant(name),
    binding: fc.constantFrom(...OUR_BINDINGS, 'other', undefined),
    isInDomain: fc.boolean(),
    isQuoted: fc.boolean(),
    attribute: fc.constantFrom('', ` trustGuestRxFilters = 'yes'`),
    model: fc.constantFrom('virtio', 'e1000', undefined),
    state: fc.constantFrom('up', 'down', 'absent', undefined),
    bootOrder: fc.constantFrom(undefined, 1),
    pciAddress: fc.constantFrom(undefined, '0000:00:0a.0'),
    isMultiQueue: fc.constantFrom(true, false, undefined),
    hasTap: fc.boolean(),
    children,
    kept,
    filler,
  })

export const scene = fc.record({
  ifaces: fc.tuple(...NAMES.map(iface)),
  xmlOrder: fc.shuffledSubarray(NAMES, { minLength: NAMES.length }),
  vmiOrder: fc.shuffledSubarray(NAMES, { minLength: NAMES.length }),
  before: filler,
  after: filler,
  tail: filler,
  cores: fc.integer({ min: 1, max: 9 }),
})
export type Scene = typeof scene extends fc.Arbitrary<infer T> ? T : never
type Iface = Scene['ifaces'][number]

function pick(order: readonly string[], ifaces: readonly Iface[]): Iface[] {
  return order.flatMap((name) => ifaces.filter((each) => each.name === name))
}

export function build({ ifaces, xmlOrder, vmiOrder, before, after, tail, cores }: Scene): Sample {
  const elements = pick(xmlOrder, ifaces)
    .filter(({ isInDomain }) => isInDomain)
    .map((each) => `${each.filler}${renderInterface(each)}`)
  const xml = `<domain>${before}<devices>${before}${elements.join('')}${after}</devices>${tail}</domain>\n`
  const interfaces = pick(vmiOrder, ifaces).map(
    ({ name, binding, model, state, bootOrder, pciAddress }) => ({
      name,
      ...(binding === undefined ? { bridge: {} } : { binding: { name: binding } }),
      model,
      state,
      bootOrder,
      pciAddress,
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
  return { name: 'a scene', xml, vmi, links: newLinks(links) }
}

function renderInterface(each: Iface): string {
  const quote = each.isQuoted ? "'" : '"'
  const name = each.name.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('"', '&#34;')
  const alias = `<alias name=${quote}ua-${name}${quote}></alias>`
  // Hooks put theirs between what is there already.
  const inside = each.children.flatMap((child, at) => [child, each.kept[at] ?? ''])
  const others = each.kept.slice(each.children.length)
  const content = [...inside, alias, ...others].join(each.filler)
  return `<interface type="ethernet"${each.attribute}>${content}</interface>`
}
