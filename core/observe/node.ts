// Everything of ours that a node's kernel has in the agent's own namespace, from what iproute2 and nft
// print of all of it at once.
import type { ObservedLink } from './links.ts'
import type { Observation } from './observation.ts'
import { parseNftObjects } from './tool-json.ts'

/** Of the table that says who may send to the node's tunnels. */
export interface ObservedTable {
  /** "192.0.2.2 4096": address and VNI. */
  readonly peers: ReadonlySet<string>
  /** Whether the table is there, and its rules are those that let in only the peers. */
  readonly hasTable: boolean
  /** Whether it drops what did not come by the interface that leads back to its sender. */
  readonly checksPath: boolean
  /** Interfaces by which it takes what comes, as IPv6 has several ways there. */
  readonly hops: ReadonlySet<string>
}

/** Its links are those that are named as ours. */
export interface NodeObservation extends Observation, ObservedTable {
  readonly peers: ReadonlySet<string>
}

const KINDS: Readonly<Record<string, 'host-end' | 'tunnel' | undefined>> = {
  'lw veth': 'host-end',
  'lx vxlan': 'tunnel',
}

/** Whether we made it. A name alone proves nothing: users have devices, too. */
export function getOurKind({ name, alias, kind }: ObservedLink): 'host-end' | 'tunnel' | undefined {
  if (!isNamedAsOurs(name) || !alias.startsWith('l2wire ')) return undefined
  return KINDS[`${name.slice(0, 2)} ${kind}`]
}

export function isNamedAsOurs(name: string): boolean {
  return /^l[wx][0-9a-f]{13}$/.test(name)
}

/** The keys we read of `nft -j list table`. */
interface NftObject {
  readonly set?: { readonly name?: string; readonly elem?: NftElements }
  readonly rule?: { readonly chain?: string; readonly expr?: readonly object[] }
}

type NftElements = readonly (NftElement | string)[]

interface NftElement {
  readonly concat?: readonly (string | number)[]
}

function listElements(objects: readonly NftObject[], ...names: readonly string[]): NftElements {
  return objects.flatMap(({ set }) =>
    set?.name !== undefined && names.includes(set.name) ? (set.elem ?? []) : [],
  )
}

const VERDICTS = ['accept', 'drop'] as const

/** Our table, from the output of `nft -j list table inet l2wire`. Throws DecodeError. */
export function parseTable(json: string): ObservedTable {
  const objects = parseNftObjects(json, 'nft -j list table') as readonly NftObject[]
  const peers = listElements(objects, 'peers4', 'peers6')
  const [input, forward] = (['input', 'forward'] as const).map((chain) =>
    objects
      .flatMap(({ rule }) =>
        rule?.chain === chain
          ? VERDICTS.filter((verdict) => rule.expr?.some((expression) => verdict in expression))
          : [],
      )
      .join(' '),
  )
  return {
    peers: new Set(
      peers.flatMap((one) => (typeof one === 'string' ? [] : (one.concat?.join(' ') ?? []))),
    ),
    hops: new Set(
      listElements(objects, 'hops6').flatMap((one) => (typeof one === 'string' ? one : [])),
    ),
    // Forged senders of IPv4 and of IPv6, peers of IPv4, peers of IPv6, nobody else; pods' datagrams for peers of both. Who
    // flushes the table takes these and leaves the rest.
    hasTable: /^(drop drop )?accept accept drop$/.test(input ?? '') && forward === 'drop drop',
    checksPath: input === 'drop drop accept accept drop',
  }
}
