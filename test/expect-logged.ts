// What a process logs comes by a pipe of its own: it may arrive later than its answer, or its end.
import { expectSoon } from './expect-soon.ts'

/** Waits until the log says all of it, behind its first so many characters. */
export async function expectLogged(
  { readLog }: { readonly readLog: () => string },
  what: RegExp | string | readonly string[],
  from = 0,
): Promise<void> {
  const all = typeof what === 'string' || what instanceof RegExp ? [what] : what
  await expectSoon(`the log says ${all.map(String).join(', ')}`, () => {
    const log = readLog().slice(from)
    return all.every((one) => (typeof one === 'string' ? log.includes(one) : one.test(log)))
  })
}
