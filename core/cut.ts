// What others wrote, as it may stand in a line of a log: as short as what is said of it.

const TEXT_MAX = 400
const LIST_TEXT_MAX = 4_000
const KEYS_MAX = 40
const DEPTH_MAX = 6

/** Texts are cut to so many characters, lists and objects to what is first in them, each cut likewise. */
export function cutValue(value: unknown, textMax = TEXT_MAX, depth = 0): unknown {
  if (typeof value === 'string') return cutText(value, textMax)
  if (typeof value !== 'object' || value === null || value instanceof Error) return value
  if (depth >= DEPTH_MAX) return '...'
  const cutOne = (one: unknown): unknown => cutValue(one, textMax, depth + 1)
  if (Array.isArray(value)) return cutList(value, cutOne)
  const keys = Object.keys(value)
  const more = keys.length - KEYS_MAX
  const first = keys
    .slice(0, KEYS_MAX)
    .map((key) => [cutText(key, textMax), cutOne((value as Record<string, unknown>)[key])])
  return Object.fromEntries(more > 0 ? [...first, ['...', `${more} more`]] : first)
}

function cutList(list: readonly unknown[], cutOne: (one: unknown) => unknown): readonly unknown[] {
  const first: unknown[] = []
  let length = 0
  for (const one of list) {
    const cut = cutOne(one)
    length += JSON.stringify(cut ?? null).length
    if (first.length > 0 && length > LIST_TEXT_MAX)
      return [...first, `... ${list.length - first.length} more`]
    first.push(cut)
  }
  return first
}

function cutText(text: string, max: number): string {
  return text.length > max ? `${text.slice(0, max)}...` : text
}
