// What a refusal looks like, whoever refuses.
import { expect } from 'chai'

import type { CniAnswer } from '../../lab/cni.ts'

/** A refusal as the spec has it: code, one sentence, no stack trace, exit code not 0. */
export function expectError(answer: CniAnswer, code: number, words: readonly string[]): void {
  expect(answer.exitCode, answer.stdout).to.equal(1)
  expect(answer.stderr).to.equal('')
  expect(answer.output, answer.stdout).to.include({ code })
  const message = String(answer.output?.['msg'])
  expect(message).to.not.match(/\n|\bat .*\.(ts|mjs|js):/)
  for (const word of words) expect(message).to.include(word)
  expect(JSON.stringify(answer.output)).to.not.match(/\bat \S+ \(|\.ts:\d|\.mjs:\d/)
}
