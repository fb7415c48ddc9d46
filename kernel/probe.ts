// Asked of the kernel itself, in a namespace made for the question: which match-all classifier it has.
import { CLASSIFIERS, renderClassifier, type Classifier } from '../core/steps/argv.ts'
import { CommandError, NotSupportedError } from '../core/errors.ts'
import type { Run } from './run.ts'

/** The first of CLASSIFIERS this kernel has. Throws NotSupportedError when it has none. */
export async function probeClassifier(run: Run): Promise<Classifier> {
  const refusals: Error[] = []
  for (const classifier of CLASSIFIERS) {
    const lines = [
      'qdisc add dev lo clsact',
      `filter add dev lo ingress pref 1 protocol all ${renderClassifier(classifier)} action mirred egress redirect dev lo`,
    ]
    try {
      await run(['unshare', '--net', 'tc', '-batch', '-'], { input: `${lines.join('\n')}\n` })
      return classifier
    } catch (error) {
      // One that did not run to its end has said nothing of the kernel.
      if (!(error instanceof CommandError) || error.exitCode === undefined) throw error
      refusals.push(error)
    }
  }
  throw new NotSupportedError(
    'Cannot redirect frames: the kernel has none of cls_matchall, cls_bpf, cls_u32 with act_mirred and clsact',
    { cause: refusals.at(-1) },
  )
}
