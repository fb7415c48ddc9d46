// Something that is not as it should be, where it is, and what to do about it.
import type { Difference } from '../steps/words.ts'
import { each, nullable, object, oneOf, text } from '../shape.ts'

export interface Finding {
  /** For programs; stable. */
  readonly kind: string
  /** A hint does not make anything fail. */
  readonly level: 'wrong' | 'hint'
  readonly node: string | null
  /** "lab/r1-h1". */
  readonly wire: string | null
  /** A sentence without its full stop. */
  readonly what: string
  readonly remedy: string
}

export type Location = Partial<Pick<Finding, 'node' | 'wire' | 'level'>>

export function newFinding(
  kind: string,
  what: string,
  remedy: string,
  location: Location,
): Finding {
  return { level: 'wrong', node: null, wire: null, ...location, kind, what, remedy }
}

const MENDED = 'the agent there mends it within minutes; if it stays, its log says why it cannot'

/** What a node's agent finds. The subject is whose devices they are: "Wire lab/r1-h1". */
export function toFindings(
  differences: readonly Difference[],
  subject: string,
  { node, wire }: { readonly node: string; readonly wire: string | null },
): readonly Finding[] {
  return differences.map(({ kind, words, command, remedy }) => {
    const byHand = command === undefined ? '' : `on ${node}: ${command}; or `
    const what = `${subject} on ${node}: ${words}`
    return newFinding(kind, what, remedy ?? `${byHand}${MENDED}`, { node, wire })
  })
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

export const decodeFinding = object<Finding>({
  ...each(text, 'kind', 'what', 'remedy'),
  level: oneOf('wrong', 'hint'),
  ...each(nullable(text), 'node', 'wire'),
})
