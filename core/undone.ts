// Which of the steps that brought a namespace to where it should be are to be done again, and what somebody
// put in their place is to be removed. What is as it should be is no step.
import type { Classifier } from './argv.ts'
import { toFilter, type Filter } from './filter.ts'
import { PLACE } from './filter-place.ts'
import {
  toAskedKey,
  toHookKey,
  toNeighbourKey,
  type NetnsObservation,
  type SeenLink,
} from './netns-observation.ts'
import type { DelFiltersStep, Hook, SetLinkStep, Step, TakeAllStep } from './step.ts'

export type SeenState = Pick<
  NetnsObservation,
  'links' | 'filters' | 'neighbours' | 'addresses' | 'heard'
>

/** Steps of one namespace, in their order. */
export function listUndone(
  steps: readonly Step[],
  seen: SeenState,
  classifier: Classifier,
): readonly Step[] {
  return steps.flatMap((step): readonly Step[] => {
    const made = toFilter(step, classifier)
    if (made !== undefined)
      return planFilter(step, made.hook, made.filter, seen.filters.get(toHookKey(made)) ?? [])
    return isDone(step, seen) ? [] : [step]
  })
}

function isDone(step: Step, { links, neighbours, addresses, heard }: SeenState): boolean {
  const { op } = step
  if (op === 'set-link') return isSet(step, links.get(step.dev))
  if (op === 'del-queue') return links.get(step.dev)?.qdisc === 'noqueue'
  if (op === 'add-address') return addresses.get(step.dev)?.includes(step.address) ?? false
  if (op === 'set-neighbour')
    return neighbours.has(toNeighbourKey(step.dev, step.address, step.mac))
  // The table of a device that is gone is left, and guards nothing.
  if (op === 'take-all')
    return links.has(step.dev) && heard?.toSorted().join() === listHeard(step).toSorted().join()
  return false
}

function listHeard({ addresses, asked }: TakeAllStep): readonly string[] {
  return [...addresses, ...asked.map(toAskedKey)]
}

function isSet(step: SetLinkStep, link: SeenLink | undefined): boolean {
  if (link === undefined) return false
  const { flags, genMode = 'none' } = link
  const isSilent = flags.has('NOARP') && !flags.has('MULTICAST') && genMode === 'none'
  return (
    (step.mtuBytes === undefined || step.mtuBytes === link.mtuBytes) &&
    (step.isSilent === undefined || isSilent) &&
    (step.hearsAll === undefined || flags.has('ALLMULTI')) &&
    (step.isPromiscuous === undefined || flags.has('PROMISC')) &&
    (step.alias === undefined || step.alias === link.alias) &&
    (step.up === undefined || step.up === flags.has('UP'))
  )
}

// The kernel takes filters of one kind and one protocol at a place: what is of another goes before ours
// comes, what is of the same after.
function planFilter(
  step: Step,
  hook: Hook,
  wanted: Filter,
  seen: readonly Filter[],
): readonly Step[] {
  const { place } = wanted
  const there = seen.filter((one) => one.place === place)
  const foreign = there.filter(({ handle }) => handle !== '' && handle !== wanted.handle)
  const isThere = there.some(
    ({ handle, kind, does }) =>
      handle === wanted.handle && kind === wanted.kind && does === wanted.does,
  )
  if (there.every(({ kind, protocol }) => kind === wanted.kind && protocol === wanted.protocol))
    return [...(isThere ? [] : [step]), ...foreign.map((one) => removeFilter(step, hook, one))]
  const replaced = [removeFilter(step, hook, { place }), step]
  return step.op === 'mute' ? guardMute(step, hook, replaced, seen) : replaced
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
function guardMute(
  step: Extract<Step, { op: 'mute' }>,
  hook: Hook,
  replaced: readonly Step[],
  seen: readonly Filter[],
): readonly Step[] {
  const taken = new Set(seen.map(({ place }) => place))
  let free: number = PLACE.mute + 1
  while (taken.has(free)) free += 1
  const guard: Step = { ...step, place: free }
  return [guard, ...replaced, removeFilter(step, hook, { place: free })]
}
