// All that is to be known of a VM's devices in a launcher's network namespace, as one process reads it.
import { DecodeError } from './errors.ts'
import { parseFilters, type Filter, type FilterPlace } from './filter.ts'
import { parseList } from './inspection.ts'
import { normalizeIp } from './ip.ts'
import { parseAddresses } from './ip-output.ts'
import { parseLinks, type PodLink } from './pod-link.ts'

export interface NetnsQuestions {
  readonly hooks: readonly FilterPlace[]
  /** The device that nftables is asked of; undefined for none. */
  readonly server: string | undefined
  /** Files. */
  readonly sysctls: readonly string[]
}

export interface SeenLink {
  readonly mtuBytes: number
  readonly flags: ReadonlySet<string>
  readonly qdisc: string
  /** Of IPv6 link-local addresses; undefined where the kernel has no IPv6. */
  readonly genMode: string | undefined
  readonly alias: string
}

export interface NetnsObservation {
  readonly podLinks: readonly PodLink[]
  readonly links: ReadonlyMap<string, SeenLink>
  /** By device and hook. */
  readonly filters: ReadonlyMap<string, readonly Filter[]>
  /** By device, "10.0.0.2/24". */
  readonly addresses: ReadonlyMap<string, readonly string[]>
  /** By device, address and MAC. Whoever answers a client may have set one anew, which stays as the first did. */
  readonly neighbours: ReadonlySet<string>
  /** The addresses that the server's device takes frames for, and ARP for, and no others; undefined: those to any. */
  readonly heard: readonly string[] | undefined
  /** In the order of the questions, but for files that are not there. */
  readonly sysctls: readonly string[]
}

export function toHookKey({ dev, hook }: FilterPlace): string {
  return `${dev} ${hook}`
}

export function toNeighbourKey(dev: string, address: string, mac: string): string {
  return `${dev} ${normalizeIp(address) ?? address} ${mac}`
}

/** How an address that ARP asks for stands among those that are heard. */
export function toAskedKey(address: string): string {
  return `arp ${address}`
}

/** Lines for `ip -batch`, and how many answers it gives to them. */
export const IP_QUERIES = 'link show\naddress show\nneigh show\n'

/** Before what each tool says; no JSON begins so. */
export const SECTIONS = ['#ip', '#tc', '#missing', '#nft', '#sysctl'] as const

/** Lines for `tc -batch`. */
export function renderHookQueries(hooks: readonly FilterPlace[]): string {
  return hooks.map(({ dev, hook }) => `filter show dev ${dev} ${hook}\n`).join('')
}

/** The keys we read of `ip -j -d link`, `address` and `neigh`. */
interface IpLink {
  readonly ifname?: string
  readonly mtu?: number
  readonly flags?: readonly string[]
  readonly qdisc?: string
  readonly inet6_addr_gen_mode?: string
  readonly ifalias?: string
}

interface IpNeighbour {
  readonly dev?: string
  readonly dst?: string
  readonly lladdr?: string
}

/** What kernel/observe-netns.ts is answered. Throws DecodeError. */
export function parseNetnsAnswer(output: string, questions: NetnsQuestions): NetnsObservation {
  const [ip = [], tc = [], missing = [], nft = [], sysctls = []] = splitSections(output)
  const [links, addresses, neighbours] = ip
  if (links === undefined || addresses === undefined || neighbours === undefined)
    throw new DecodeError('ip -j -batch', ip.length, 'an answer for links, addresses, neighbours')
  return {
    podLinks: parseLinks(links),
    links: new Map(
      (parseList(links, 'ip -j link') as readonly IpLink[]).map((link) => [
        link.ifname ?? '',
        toSeenLink(link),
      ]),
    ),
    filters: toFilters(tc, missing, questions.hooks),
    addresses: new Map(
      (parseList(addresses, 'ip -j address') as readonly IpLink[]).map((link) => [
        link.ifname ?? '',
        parseAddresses(JSON.stringify([link])),
      ]),
    ),
    neighbours: new Set(
      (parseList(neighbours, 'ip -j neigh') as readonly IpNeighbour[]).map(
        ({ dev = '', dst = '', lladdr = '' }) => toNeighbourKey(dev, dst, lladdr),
      ),
    ),
    heard: readHeard(nft.join('\n')),
    sysctls,
  }
}

function splitSections(output: string): readonly (readonly string[])[] {
  const sections: string[][] = SECTIONS.map(() => [])
  let at = -1
  for (const line of output.split('\n').slice(0, -1)) {
    const next = SECTIONS.findIndex((section) => section === line)
    if (next >= 0) at = next
    else if (line !== '') sections[at]?.push(line)
  }
  return sections
}

function toSeenLink(link: IpLink): SeenLink {
  return {
    mtuBytes: link.mtu ?? 0,
    flags: new Set(link.flags),
    qdisc: link.qdisc ?? '',
    genMode: link.inet6_addr_gen_mode,
    alias: link.ifalias ?? '',
  }
}

// A device that is not there has no answer; a hook without a discipline has an empty one, and a complaint.
function toFilters(
  answers: readonly string[],
  complaints: readonly string[],
  hooks: readonly FilterPlace[],
): ReadonlyMap<string, readonly Filter[]> {
  const asked = hooks.filter(({ dev }) => !complaints.includes(`Cannot find device "${dev}"`))
  if (answers.length !== asked.length)
    throw new DecodeError(
      'tc -j -batch',
      `${answers.length} answers, ${complaints.join(' / ')}`,
      `an answer for each of ${asked.length}`,
    )
  return new Map(asked.map((place, at) => [toHookKey(place), parseFilters(answers[at] ?? '')]))
}

/** The keys we read of `nft -j list table`. */
interface NftObject {
  readonly chain?: { readonly hook?: string; readonly policy?: string }
  readonly rule?: { readonly expr?: readonly NftExpression[] }
}

interface NftExpression {
  readonly match?: {
    readonly op?: string
    readonly left?: { readonly payload?: { readonly field?: string } }
    readonly right?: unknown
  }
  readonly accept?: null
}

function readHeard(json: string): readonly string[] | undefined {
  if (json === '') return undefined
  const { nftables } = JSON.parse(json) as { readonly nftables?: readonly NftObject[] }
  const chains = nftables?.flatMap(({ chain }) => chain ?? []) ?? []
  const rules = nftables?.flatMap(({ rule }) => rule ?? []) ?? []
  const [chain, ...more] = chains
  if (chain?.hook !== 'ingress' || chain.policy !== 'drop' || more.length > 0) return undefined
  return rules.map(({ expr = [] }) => {
    const [first, ...rest] = expr
    const { op, left, right } = first?.match ?? {}
    const isAccepted = rest.length === 2 && rest[1]?.accept === null
    const said = op === '==' && typeof right === 'string' ? right : '?'
    const words = { daddr: said, 'daddr ip': toAskedKey(said) }[left?.payload?.field ?? '']
    return isAccepted ? (words ?? '?') : '?'
  })
}
