// What tc has to say of many hooks at once.
import { DecodeError } from '../errors.ts'
import { parseFilters, type Filter, type FilterPlace } from '../steps/filter.ts'
import { toHookKey } from './observation.ts'

/** Lines for `tc -batch`: the filters of each hook. */
export function renderFilterQueries(hooks: readonly FilterPlace[]): string {
  return hooks.map(({ dev, hook }) => `filter show dev ${dev} ${hook}\n`).join('')
}

/**
 * What `tc -j -batch` answers to those: a line of JSON each, in their order, which alone says of which
 * hook a filter is. A device that is not there has no answer, and is among the missing. Throws DecodeError.
 */
export function parseFilterAnswers(
  answers: readonly string[],
  missing: readonly string[],
  hooks: readonly FilterPlace[],
): ReadonlyMap<string, readonly Filter[]> {
  const asked = hooks.filter(({ dev }) => !missing.includes(dev))
  if (answers.length !== asked.length)
    throw new DecodeError(
      'tc -j -batch',
      `${answers.length} answers, without ${missing.join(', ')}`,
      `an answer for each of ${asked.length}`,
    )
  return new Map(asked.map((place, at) => [toHookKey(place), parseFilters(answers[at] ?? '')]))
}

/** The devices that `tc` complains of as missing. */
export function findMissingDevices(stderr: string): readonly string[] {
  return [...stderr.matchAll(/^Cannot find device "([^"]+)"$/gm)].map(([, dev = '']) => dev)
}
