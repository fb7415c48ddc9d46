// A program on a node that takes requests over standard input: a request per line, an answer per line, until
// the input ends.
import { createInterface } from 'node:readline'

import { renderCauses } from '../../core/errors.ts'

/** An error that an answer throws becomes an answer, too. */
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
