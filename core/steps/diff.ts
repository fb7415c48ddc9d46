// Which of the steps that make a namespace as it should be are still to be done, and what stands in their place and is
// to be removed. What is as it should be is no step.
import { IPV6_MTU_MIN } from '../net/address.ts'
import type { Classifier } from './argv.ts'
import { isSameFilter, parseTargets, toFilter, type Filter } from './filter.ts'
import { PLACE } from './filter-place.ts'
import { sharesDevice, type ObservedLink, type Vxlan } from '../observe/links.ts'
import {
  toAskedKey,
  toConfirmKey,
  toHookKey,
  toNeighbourKey,
  toPeerKey,
  type Observation,
} from '../observe/observation.ts'
import { getFamily, isLinkLocal6 } from '../net/ip.ts'
import type {
  AddMacvtapStep,
  AddVxlanStep,
  DelFiltersStep,
  DelRedirectStep,
  Hook,
  PeerStep,
  SetLinkStep,
  Step,
  AcceptForStep,
} from './step.ts'

/** Steps of one namespace, in their order. */
export function diff(
  steps: readonly Step[],
  seen: Observation,
  classifier: Classifier,
): readonly Step[] {
  // Devices that a step before makes: what was seen of them, and what led to them, counts no more.
  const fresh = new Set<string>()
  // Behind what takes its place.
  const later: Step[] = []
  const find = (dev: string): ObservedLink | undefined =>
    fresh.has(dev) ? undefined : seen.links.get(dev)
  const left = steps.flatMap((step): readonly Step[] => {
    const made = toFilter(step, classifier)
    if (made !== undefined) {
      const { hook, filter } = made
      const filters = find(made.dev) === undefined ? [] : seen.filters.get(toHookKey(made))
      const inPlace = toInPlace(step, filter, filters ?? [])
      const isNew =
        parseTargets([filter]).some((target) => fresh.has(target)) ||
        (step.op === 'let-through' && fresh.has(step.source))
      if (filters === undefined) return isNew ? [step] : []
      return diffFilter(inPlace, hook, filter, isNew ? omit(filters, filter) : filters)
    }
    const { op } = step
    if (op === 'set-link') return diffLink(step, steps, seen, find(step.dev))
    if (op === 'allow-peer') return isAllowed(step, steps, seen, find) ? [] : [step]
    if (op === 'add-tap' || op === 'add-pair') {
      if (find(step.dev) !== undefined) return []
      fresh.add(step.dev)
      return [step]
    }
    if (op === 'add-macvtap') {
      const name = toLastName(step, steps)
      if (find(name) !== undefined) return []
      fresh.add(name)
      // One whose making was cut off has the link below for itself.
      const cutOff = seen.links.has(step.dev)
      return [
        ...(cutOff ? [{ op: 'del-link', netns: step.netns, dev: step.dev } as const] : []),
        step,
      ]
    }
    if (op === 'rename-link') return find(step.name) === undefined ? [step] : []
    if (op === 'del-redirect') return find(step.dev) === undefined ? [] : diffLead(step, seen)
    if (op === 'del-link') {
      const link = find(step.dev)
      return link === undefined ? [] : [step, ...forbid(link.vxlan)]
    }
    if (op === 'add-vxlan') {
      const there = diffVxlan(step, find(step.dev), steps)
      if (there.steps.some((one) => one.op === op)) fresh.add(step.dev)
      later.push(...there.later)
      return there.steps
    }
    return isDone(step, seen, find) ? [] : [step]
  })
  // Who is not let in needs not be forbidden.
  const isLetIn = (step: Step): boolean =>
    step.op !== 'forbid-peer' || (seen.peers?.has(toPeerKey(step.address, step.vni)) ?? true)
  return [...left, ...later].filter(isLetIn)
}

/** What it is called once all steps are done. */
function toLastName({ dev }: AddMacvtapStep, steps: readonly Step[]): string {
  const rename = steps.find((step) => step.op === 'rename-link' && step.dev === dev)
  return rename?.op === 'rename-link' ? rename.name : dev
}

function omit(filters: readonly Filter[], made: Filter): readonly Filter[] {
  return filters.filter((one) => !isSameFilter(one, made))
}

/** Takes the place of the one that is there, in its table, so that nothing is lost. */
function toInPlace(step: Step, made: Filter, filters: readonly Filter[]): Step {
  if (step.op !== 'let-through') return step
  const one = filters.find((filter) => isSameFilter(filter, made))
  return one === undefined ? step : { ...step, table: one.handle.replace(/:.*/, '') }
}

interface Diff {
  readonly steps: readonly Step[]
  readonly later: readonly Step[]
}

const NOTHING: Diff = { steps: [], later: [] }

// VNI, port, own address and address family of a device cannot be changed in place; its remote can.
function diffVxlan(
  step: AddVxlanStep,
  link: ObservedLink | undefined,
  steps: readonly Step[],
): Diff {
  if (link === undefined) return { steps: [step], later: [] }
  const { vxlan } = link
  if (vxlan === undefined) return NOTHING
  const { netns, dev, vni, local, remote, port } = step
  const isSame = vxlan?.vni === vni && vxlan.local === local && vxlan.port === port
  if (isSame && vxlan.remote === remote) return NOTHING
  if (isSame && isOfFamily(vxlan.remote, remote)) {
    // It may be let in all the same: a migration's source and target change places.
    const isWanted = steps.some((one) => one.op === 'allow-peer' && one.address === vxlan.remote)
    const later = isWanted ? [] : forbid(vxlan)
    return { steps: [{ op: 'set-remote', netns, dev, vni, remote }], later }
  }
  const isLetIn = vxlan?.vni === vni && vxlan.remote === remote
  return {
    // The old permission at once: with the device goes what says whom it was for.
    steps: [{ op: 'del-link', netns, dev }, ...(isLetIn ? [] : forbid(vxlan)), step],
    later: [],
  }
}

function isOfFamily(one: string, other: string): boolean {
  return one !== '' && getFamily(one) === getFamily(other)
}

function forbid(vxlan: Vxlan | null | undefined): readonly PeerStep[] {
  if (!vxlan || vxlan.remote === '') return []
  return [{ op: 'forbid-peer', netns: undefined, address: vxlan.remote, vni: vxlan.vni }]
}

// Of a tunnel that is up, and leads there, the permission is there, unless somebody looked and found it gone.
function isAllowed(
  { address, vni }: PeerStep,
  steps: readonly Step[],
  { peers }: Observation,
  find: (dev: string) => ObservedLink | undefined,
): boolean {
  if (peers !== undefined) return peers.has(toPeerKey(address, vni))
  const tunnel = steps.find((one) => one.op === 'add-vxlan' && one.vni === vni)
  const link = tunnel?.op === 'add-vxlan' ? find(tunnel.dev) : undefined
  if (link === undefined || !link.isUp) return false
  return link.vxlan === undefined || link.vxlan?.remote === address
}

function diffLead(step: DelRedirectStep, { filters }: Observation): readonly Step[] {
  const there = filters.get(toHookKey({ dev: step.dev, hook: 'ingress' })) ?? []
  return there.some(({ place }) => place === PLACE.first) ? [step] : []
}

function isDone(
  step: Step,
  { neighbours, addresses, heard, offloads }: Observation,
  find: (dev: string) => ObservedLink | undefined,
): boolean {
  const link = 'dev' in step ? find(step.dev) : undefined
  if (link === undefined) return false
  const { op } = step
  if (op === 'stop-offload') return offloads === undefined || offloads.get(step.dev) === false
  if (op === 'del-queue') return link.qdisc === undefined || link.qdisc === 'noqueue'
  if (op === 'add-address') return addresses?.get(step.dev)?.includes(step.address) ?? false
  if (op === 'set-neighbour')
    return neighbours?.has(toNeighbourKey(step.dev, step.address, step.mac)) ?? false
  if (op === 'accept-for') return heard?.toSorted().join() === listHeard(step).toSorted().join()
  return false
}

function listHeard({ addresses, asked, confirmsAt }: AcceptForStep): readonly string[] {
  const confirmed = confirmsAt === undefined ? [] : [toConfirmKey(confirmsAt)]
  return [...addresses, ...asked.map(toAskedKey), ...confirmed]
}

// What of it is as it should be is left out, but for the silence where an MTU brings IPv6 anew.
function diffLink(
  step: SetLinkStep,
  steps: readonly Step[],
  { addresses }: Observation,
  link: ObservedLink | undefined,
): readonly Step[] {
  if (link === undefined) return [step]
  const { netns, dev, mtuBytes, alias, up } = step
  const isWide = mtuBytes === undefined || mtuBytes === link.mtuBytes
  const isQuiet = isWide && isSilent(link, addresses?.get(dev))
  const left: SetLinkStep = {
    op: 'set-link',
    netns,
    dev,
    ...(isWide ? {} : { mtuBytes }),
    ...(step.isSilent === undefined || (step.isSilent ? isQuiet : isTalkative(link))
      ? {}
      : { isSilent: step.isSilent }),
    ...(step.hearsAll && sharesDevice(link) && !link.flags.has('ALLMULTI')
      ? { hearsAll: true }
      : {}),
    ...(step.isPromiscuous === undefined || link.flags.has('PROMISC')
      ? {}
      : { isPromiscuous: true }),
    ...(alias === undefined || alias === link.alias ? {} : { alias }),
    ...(up === undefined || up === link.isUp ? {} : { up }),
  }
  if (Object.keys(left).length === 3) return []
  return wouldSpeak(left, steps, link) ? quietly(left) : [left]
}

// With the MTU come an address and what the kernel says of it, before anything can be set (addrconf_notify):
// unless the device is down then, or nothing gets out.
function wouldSpeak(
  { dev, isSilent, mtuBytes = 0 }: SetLinkStep,
  steps: readonly Step[],
  link: ObservedLink,
): boolean {
  const isMute = steps.some((step) => step.op === 'drop-egress' && step.dev === dev)
  if (!isSilent || isMute || !link.isUp) return false
  return link.mtuBytes < IPV6_MTU_MIN && mtuBytes >= IPV6_MTU_MIN
}

function quietly({ up = true, ...step }: SetLinkStep): readonly Step[] {
  const { netns, dev } = step
  const set = (isUp: boolean): SetLinkStep => ({ op: 'set-link', netns, dev, up: isUp })
  return [set(false), step, ...(up ? [set(true)] : [])]
}

/** Whether the kernel says nothing by itself on a link with these addresses. */
export function isSilent(
  { flags, genMode = 'none' }: Pick<ObservedLink, 'flags' | 'genMode'>,
  addresses: readonly string[] = [],
): boolean {
  const isQuiet = flags.has('NOARP') && !flags.has('MULTICAST') && genMode === 'none'
  return isQuiet && !addresses.some(isLinkLocal6)
}

function isTalkative({ flags }: Pick<ObservedLink, 'flags'>): boolean {
  return !flags.has('NOARP') && flags.has('MULTICAST')
}

// The kernel takes filters of one kind and one protocol at a place: what is of another goes before ours
// comes, what is of the same after.
function diffFilter(
  step: Step,
  hook: Hook,
  wanted: Filter,
  seen: readonly Filter[],
): readonly Step[] {
  const { place } = wanted
  const there = seen.filter((one) => one.place === place)
  const foreign = there.filter((one) => one.handle !== '' && !isSameFilter(one, wanted))
  const isThere = there.some(
    (one) => isSameFilter(one, wanted) && one.kind === wanted.kind && one.does === wanted.does,
  )
  if (there.every(({ kind, protocol }) => kind === wanted.kind && protocol === wanted.protocol))
    return [...(isThere ? [] : [step]), ...foreign.map((one) => removeFilter(step, hook, one))]
  const replaced = [removeFilter(step, hook, { place }), step]
  return step.op === 'drop-egress' ? guardDrop(step, hook, replaced, seen) : replaced
}

function removeFilter(
  { netns, ...step }: Step,
  hook: Hook,
  { place, ...one }: Filter | Pick<Filter, 'place'>,
): DelFiltersStep {
  const dev = 'dev' in step ? step.dev : ''
  return {
    op: 'del-filters',
    netns,
    dev,
    hook,
    place,
    ...('handle' in one
      ? { one: { protocol: one.protocol, kind: one.kind, handle: one.handle } }
      : {}),
  }
}

// What is there instead may be a drop, too: nothing must pass while it goes.
function guardDrop(
  step: Extract<Step, { op: 'drop-egress' }>,
  hook: Hook,
  replaced: readonly Step[],
  seen: readonly Filter[],
): readonly Step[] {
  const taken = new Set(seen.map(({ place }) => place))
  let free: number = PLACE.dropEgress + 1
  while (taken.has(free)) free += 1
  const guard: Step = { ...step, place: free }
  return [guard, ...replaced, removeFilter(step, hook, { place: free })]
}
