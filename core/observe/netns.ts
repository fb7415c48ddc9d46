// All that is to be known of a VM's devices in a launcher's network namespace, as one process reads it.
import { DecodeError } from '../errors.ts'
import type { FilterPlace } from '../steps/filter.ts'
import { parseAddresses } from './ip-output.ts'
import { parseOffloads } from '../steps/offload.ts'
import { parseLinks } from './links.ts'
import { findMissingDevices, parseFilterAnswers } from './filters.ts'
import { toAskedKey, toConfirmKey, toNeighbourKey, type Observation } from './observation.ts'
import { parseNftObjects, parseToolList } from './tool-json.ts'

export interface NetnsQuestions {
  readonly hooks: readonly FilterPlace[]
  /** The device that nftables and ethtool are asked of; undefined for none. */
  readonly server: string | undefined
  /** Files. */
  readonly sysctls: readonly string[]
}

/** All of it was read, of what was asked for. */
export interface NetnsObservation extends Required<Omit<Observation, 'peers'>> {
  /** In the order of the questions, but for files that are not there. */
  readonly sysctls: readonly string[]
}

/** Lines for `ip -batch`, and how many answers it gives to them. */
export const IP_QUERIES = 'link show\naddress show\nneigh show\n'

/** Before what each tool says, behind a word that nobody whose devices they are can know. */
export const SECTIONS = ['ip', 'tc', 'missing', 'nft', 'ethtool', 'sysctl'] as const

/** The key we read of `ip -j address`, and those of `ip -j neigh`. */
interface IpLink {
  readonly ifname?: string
}

interface IpNeighbour {
  readonly dev?: string
  readonly dst?: string
  readonly lladdr?: string
}

/** What kernel/observe/netns.ts is answered. Throws DecodeError. */
export function parseNetnsAnswer(
  output: string,
  secret: string,
  questions: NetnsQuestions,
): NetnsObservation {
  const [ip = [], tc = [], missing = [], nft = [], ethtool = [], sysctls = []] = splitSections(
    output,
    secret,
  )
  const [links, addresses, neighbours] = ip
  if (links === undefined || addresses === undefined || neighbours === undefined)
    throw new DecodeError('ip -j -batch', ip.length, 'an answer for links, addresses, neighbours')
  return {
    links: parseLinks(links),
    filters: parseFilterAnswers(tc, findMissingDevices(missing.join('\n')), questions.hooks),
    addresses: new Map(
      (parseToolList(addresses, 'ip -j address') as readonly IpLink[]).map((link) => [
        link.ifname ?? '',
        parseAddresses(JSON.stringify([link])),
      ]),
    ),
    neighbours: new Set(
      (parseToolList(neighbours, 'ip -j neigh') as readonly IpNeighbour[]).map(
        ({ dev = '', dst = '', lladdr = '' }) => toNeighbourKey(dev, dst, lladdr),
      ),
    ),
    heard: readHeard(nft.join('\n')),
    offloads: parseOffloads(ethtool.join('\n')),
    sysctls,
  }
}

function splitSections(output: string, secret: string): readonly (readonly string[])[] {
  const sections: string[][] = SECTIONS.map(() => [])
  let at = -1
  for (const line of output.split('\n').slice(0, -1)) {
    const next = SECTIONS.findIndex((section) => `${secret}${section}` === line)
    if (next >= 0) at = next
    else if (line !== '') sections[at]?.push(line)
  }
  return sections
}

/** The keys we read of `nft -j list table`. */
interface NftObject {
  readonly chain?: { readonly name?: string; readonly hook?: string; readonly policy?: string }
  readonly rule?: { readonly chain?: string; readonly expr?: readonly NftExpression[] }
}

interface NftExpression {
  readonly match?: {
    readonly op?: string
    readonly left?: { readonly payload?: { readonly field?: string } }
    readonly right?: unknown
  }
  readonly mangle?: object
  readonly fwd?: { readonly dev?: string }
  readonly accept?: null
}

function readHeard(json: string): readonly string[] | null {
  if (json === '') return null
  let objects: readonly NftObject[]
  try {
    objects = parseNftObjects(json, 'nft -j list table')
  } catch {
    // Somebody made it what no one can read, which is not how we make it.
    return ['?']
  }
  const chains = objects.flatMap(({ chain }) => chain ?? [])
  const rules = objects.flatMap(({ rule }) => rule ?? [])
  const [chain, ...more] = chains.filter(({ name }) => name !== 'confirm')
  if (chain?.hook !== 'ingress' || chain.policy !== 'drop' || more.length > 0) return null
  return rules.map(({ chain: of, expr = [] }) => {
    if (of === 'confirm') return readConfirm(expr)
    const [first, ...rest] = expr
    const { op, left, right } = first?.match ?? {}
    const isAccepted = rest.length === 2 && rest[1]?.accept === null
    const said = op === '==' && typeof right === 'string' ? right : '?'
    const words = { daddr: said, 'daddr ip': toAskedKey(said) }[left?.payload?.field ?? '']
    return isAccepted ? (words ?? '?') : '?'
  })
}

// Two bytes of it are set, then it is sent.
function readConfirm(expr: readonly NftExpression[]): string {
  const [dev] = expr.flatMap(({ fwd }) => fwd?.dev ?? [])
  const isSet = expr.filter(({ mangle }) => mangle !== undefined).length === 2
  return isSet && dev !== undefined ? toConfirmKey(dev) : '?'
}
