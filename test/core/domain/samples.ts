// Small domains, VMIs and links for the tables here; the realistic ones are in test/fixtures/domain.
import type { LinkFacts, PodLinks } from '../../../core/domain/nic.ts'
import { rewriteDomain } from '../../../core/domain/rewrite.ts'
import type { Rewritten } from '../../../core/domain/rewrite.ts'
import { decodeVmi } from '../../../core/domain/vmi.ts'
import { toPodLinkName, toTapName } from '../../../core/name.ts'

export const POD_LINK = toPodLinkName('ge0')
export const TAP = toTapName(POD_LINK)

export const OURS = { name: 'ge0', binding: { name: 'l2wire' } }

export interface VmiParts {
  readonly interfaces?: readonly object[]
  readonly networks?: readonly object[]
  readonly devices?: object
  readonly domain?: object
  readonly spec?: object
  readonly status?: object
}

/** A VMI as JSON would give it: by default one NIC of ours on a secondary network of the same name. */
export function newVmi(parts: VmiParts = {}): object {
  const interfaces = parts.interfaces ?? [OURS]
  return {
    spec: {
      domain: { devices: { interfaces, ...parts.devices }, ...parts.domain },
      networks:
        parts.networks ??
        interfaces.map((iface) => ({
          name: 'name' in iface ? iface.name : undefined,
          multus: { networkName: 'cable' },
        })),
      ...parts.spec,
    },
    ...(parts.status === undefined ? {} : { status: parts.status }),
  }
}

export function newLinks(links: Readonly<Record<string, Partial<LinkFacts>>> = {}): PodLinks {
  const defaults = { mtuBytes: 9216, address: '02:00:00:00:00:01', isMultiQueue: undefined }
  return new Map(Object.entries(links).map(([name, facts]) => [name, { ...defaults, ...facts }]))
}

export const POD_AND_TAP = newLinks({
  [POD_LINK]: {},
  [TAP]: { mtuBytes: 1400, address: 'fe:00:00:00:00:01', isMultiQueue: false },
})

/** A domain whose <devices> holds this text. */
export function newDomain(devices: string, attributes = "type='kvm'"): string {
  return `<domain ${attributes}>\n  <devices>${devices}\n  </devices>\n</domain>\n`
}

export function rewrite(xml: string, vmi: object, links: PodLinks = POD_AND_TAP): Rewritten {
  return rewriteDomain(xml, decodeVmi(vmi, 'l2wire'), links)
}

/** The lines of an interface's children, sorted out of the answer by alias, without indentation. */
export function childrenOf(xml: string, alias: string): string[] {
  const elements = xml.match(/<interface\b[^]*?<\/interface>/g) ?? []
  const found = elements.find((element) => new RegExp(`name=.${alias}.`).test(element)) ?? ''
  return found
    .split('\n')
    .slice(1, -1)
    .map((line) => line.trim())
}

/** The aliases of the interfaces in the order they stand in the document. */
export function aliasesOf(xml: string): string[] {
  const elements = xml.match(/<interface\b[^]*?<\/interface>/g) ?? []
  return elements.map((element) => /<alias name=["'](.*?)["']/.exec(element)?.[1] ?? '')
}

/** What a NIC of ours is written as, all but its kind. */
export const PLAIN = [
  `<target dev="${TAP}" managed="no"/>`,
  '<model type="virtio-non-transitional"/>',
  '<mac address="02:00:00:00:00:01"/>',
  '<mtu size="1400"/>',
  '<alias name="ua-ge0"/>',
  '<rom enabled="no"/>',
]

/** The VMI with one NIC of ours that says this, too. */
export function withNic(fields: object, parts: VmiParts = {}): object {
  return newVmi({ ...parts, interfaces: [{ ...OURS, ...fields }] })
}
