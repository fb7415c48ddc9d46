// What a step that is left to be done means to a person: what is other than it should be, and how it is done by hand.
import { getPeerSet, TABLE } from './guard.ts'
import { parseTargets } from './filter.ts'
import type { Hook, SetLinkStep, Step } from './step.ts'
import type { ObservedLink } from '../observe/links.ts'
import { toHookKey, type Observation } from '../observe/observation.ts'

/** One thing that is not as it should be. */
export interface Difference {
  /** For programs; stable. */
  readonly kind: string
  /** One sentence part, "…, expected …". */
  readonly words: string
  /** The command that mends it by hand on the node, where one command does. */
  readonly command?: string
  /** What a person must do, where no agent mends it. */
  readonly remedy?: string
}

/** Each thing once. */
export function listDifferences(steps: readonly Step[], seen: Observation): readonly Difference[] {
  const ends = new Map(
    steps.flatMap((step) => (step.op === 'set-link' ? [[step.dev, step.up] as const] : [])),
  )
  // A step that sets a device down only to set it up again later is no difference.
  const isPassing = (step: Step): boolean =>
    step.op === 'set-link' &&
    step.up !== undefined &&
    ends.get(step.dev) === seen.links.get(step.dev)?.isUp
  const all = steps.filter((step) => !isPassing(step)).map((step) => toDifference(step, seen))
  return [...new Map(all.map((one) => [one.words, one])).values()]
}

/** For one message; undefined where all is as it should be. */
export function renderDifferences(differences: readonly Difference[]): string | undefined {
  return differences.length === 0 ? undefined : differences.map(({ words }) => words).join('; ')
}

/** A device that is not there. */
export function toMissing(dev: string): Difference {
  return { kind: 'device-gone', words: `"${dev}" is gone, expected it there` }
}

const KINDS: Readonly<Partial<Record<Step['op'], string>>> = {
  'add-redirect': 'redirect',
  'del-redirect': 'redirect',
  'del-filters': 'redirect',
  steer: 'redirect',
  'drop-egress': 'not-mute',
  'let-through': 'not-mute',
  'add-vxlan': 'tunnel-astray',
  'set-remote': 'tunnel-astray',
  'del-link': 'device-stray',
  'allow-peer': 'not-let-in',
  'forbid-peer': 'peer-stray',
  'guard-port': 'no-guard',
}

function toDifference(step: Step, seen: Observation): Difference {
  if ('dev' in step && !seen.links.has(step.dev) && !step.op.startsWith('del-'))
    return toMissing(step.dev)
  const isState = step.op === 'set-link' && step.up !== undefined
  const kind = isState ? (step.up ? 'device-down' : 'device-up') : KINDS[step.op]
  const command = step.netns === undefined ? findCommand(step) : undefined
  return {
    kind: kind ?? 'device-changed',
    words: describe(step, seen),
    ...(command === undefined ? {} : { command }),
  }
}

function findCommand(step: Step): string | undefined {
  if (step.op === 'del-link') return `ip link del dev ${step.dev}`
  if (step.op === 'set-link' && step.up !== undefined)
    return `ip link set dev ${step.dev} ${step.up ? 'up' : 'down'}`
  if (step.op !== 'forbid-peer') return undefined
  const { address, vni } = step
  return `nft delete element ${TABLE} ${getPeerSet(address)} '{ ${address} . ${vni} }'`
}

function describe(step: Step, seen: Observation): string {
  switch (step.op) {
    case 'set-link':
      return describeLink(step, seen.links.get(step.dev))
    case 'add-redirect':
      return describeLead(step.dev, step.hook ?? 'ingress', `"${step.target}"`, seen)
    case 'del-redirect':
      return describeLead(step.dev, 'ingress', 'nowhere', seen)
    case 'steer':
      return `what "${step.dev}" is asked does not reach "${step.target}", expected it there`
    case 'drop-egress':
      return `"${step.dev}" is not mute, expected nobody to speak there but who is let through`
    case 'let-through':
      return `"${step.dev}" does not let through what "${step.source}" sends, expected it to`
    case 'del-filters':
      return `"${step.dev}" has a filter at pref ${step.place} on ${step.hook} that is not ours, expected none`
    case 'stop-offload':
      return `frames leave "${step.dev}" unfinished: it has offloads on, expected them off`
    case 'del-queue':
      return `"${step.dev}" has a queueing discipline, expected none`
    case 'set-remote':
      return `"${step.dev}" leads to ${seen.links.get(step.dev)?.vxlan?.remote}, expected ${step.remote}`
    case 'add-vxlan':
      return describeTunnel(step.dev, seen)
    case 'allow-peer':
      return `what ${step.address} sends with VNI ${step.vni} is dropped, expected it let in`
    case 'forbid-peer':
      return `what ${step.address} sends with VNI ${step.vni} is let in, expected it dropped`
    case 'del-link':
      return `"${step.dev}" is there, expected it gone`
    case 'add-address':
      return `"${step.dev}" lacks its address ${step.address}, expected it there`
    case 'set-neighbour':
      return `"${step.dev}" does not know ${step.address}, expected it at ${step.mac}`
    case 'accept-for':
      return `"${step.dev}" hears other than its own addresses, expected no more and no less`
    case 'add-veth':
    case 'add-tap':
    case 'add-macvtap':
    case 'add-pair':
    case 'rename-link':
      return toMissing(step.dev).words
    case 'claim-ingress':
    case 'forget-accept-for':
      return `"${step.dev}" is not as it was made, expected what its ADD left`
    case 'add-route':
      return `"${step.dev}" lacks the route to ${step.route.dst}, expected it there`
    case 'guard-port':
      return `the tunnels' port ${step.port} is open to all, expected it guarded`
  }
}

function describeLink(step: SetLinkStep, link: ObservedLink | undefined): string {
  const { dev, mtuBytes, up } = step
  if (up !== undefined) return `"${dev}" is ${up ? 'down, expected it up' : 'up, expected it down'}`
  if (mtuBytes !== undefined) return `"${dev}" has MTU ${link?.mtuBytes}, expected ${mtuBytes}`
  if (step.isSilent) return `"${dev}" may speak by itself, expected ARP, multicast and IPv6 off`
  if (step.alias !== undefined)
    return `"${dev}" has the alias "${link?.alias}", expected "${step.alias}"`
  return `"${dev}" takes less than all frames, expected all`
}

function describeLead(dev: string, hook: Hook, expected: string, { filters }: Observation): string {
  const targets = parseTargets(filters.get(toHookKey({ dev, hook })) ?? [])
  return `"${dev}" leads to "${targets.join()}" on ${hook}, expected ${expected}`
}

function describeTunnel(dev: string, { links }: Observation): string {
  const { vxlan } = links.get(dev) ?? {}
  if (!vxlan) return toMissing(dev).words
  const { vni, local, remote } = vxlan
  return `"${dev}" is made for VNI ${vni} from ${local} to ${remote}, expected another tunnel there`
}
