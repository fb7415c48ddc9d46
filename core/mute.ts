// Whether a pod link is mute, by what tc says of what goes out through it.
import { parseFilters } from './filter.ts'
import { toHookKey } from './netns-observation.ts'
import type { Step } from './step.ts'
import { listUndone } from './undone.ts'

const NOTHING_ELSE = {
  links: new Map(),
  addresses: new Map(),
  neighbours: new Set<string>(),
  heard: undefined,
}

/**
 * In words, what lets others speak on a pod link than the opener of its tap, or not even that one. json is
 * the output of `tc -j filter show dev … egress`. Throws DecodeError.
 */
export function findMuteFault(json: string, podLink: string, tap: string): string | undefined {
  const steps: readonly Step[] = [
    { op: 'mute', netns: undefined, dev: podLink },
    { op: 'let-through', netns: undefined, dev: podLink, source: tap },
  ]
  const filters = new Map([[toHookKey({ dev: podLink, hook: 'egress' }), parseFilters(json)]])
  // Neither of the two filters is one that kernels differ in.
  const undone = listUndone(steps, { ...NOTHING_ELSE, filters }, 'bpf').map(({ op }) => op)
  // What stands before the drop and is not ours lets pass whatever it likes.
  if (undone.includes('mute') || undone.includes('del-filters'))
    return `"${podLink}" is not mute, expected that only "${tap}" speaks there`
  return undone.length === 0 ? undefined : `"${podLink}" is mute to "${tap}", too`
}
