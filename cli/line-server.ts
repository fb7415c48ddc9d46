// A program on a node that is told what to do over standard input: a request per line, an answer per
// line, until the input ends.
import { createInterface } from 'node:readline'

import { renderCauses } from '../core/errors.ts'

/** What an answer throws becomes an answer, too. */
export async function serveLines<Answer>(answer: (line: string) => Promise<Answer>): Promise<void> {
  for await (const line of createInterface({ input: process.stdin })) {
    let said: Answer | { readonly ok: false; readonly fault: string }
    try {
      said = await answer(line)
    } catch (error) {
      said = { ok: false, fault: renderCauses(error) }
    }
    process.stdout.write(`${JSON.stringify(said)}\n`)
  }
}
