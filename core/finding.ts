// What the doctor finds: a trouble, and where it is.
import type { Trouble } from './trouble.ts'

export interface Finding extends Trouble {
  /** A hint does not make anything fail. */
  readonly level: 'wrong' | 'hint'
  readonly node: string | null
  /** "lab/r1-h1". */
  readonly wire: string | null
}

export type Place = Partial<Pick<Finding, 'node' | 'wire' | 'level'>>

export function newFinding(kind: string, what: string, cure: string, place: Place): Finding {
  return { level: 'wrong', node: null, wire: null, ...place, kind, what, cure }
}

/** What both looks saw: what is under way is over at the second one. */
export function keepSettled(
  first: readonly Finding[],
  second: readonly Finding[],
): readonly Finding[] {
  const seen = new Set(first.map(toKey))
  return second.filter((finding) => seen.has(toKey(finding)))
}

function toKey({ kind, node, wire, what }: Finding): string {
  return [kind, node, wire, what].join('\n')
}
