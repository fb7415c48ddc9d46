// Plays random sequences until one fails, and then looks for a shorter one that fails, too. What is
// printed is enough to play it again.
import fc from 'fast-check'

/** How long a shorter sequence is looked for. */
const SHRINK_MS = 120_000

export interface Sequences {
  readonly seed: number
  readonly count: number
  /** Where fast-check's path to a sequence is known, that one alone is played. */
  readonly path: string | undefined
}

/** L2W_SEED, L2W_SEQUENCES and L2W_PATH choose; else the seed is new each time. */
export function readSequences(defaultCount: number): Sequences {
  const { L2W_SEED: seed, L2W_SEQUENCES: count, L2W_PATH: path } = process.env
  return {
    seed: seed === undefined ? Date.now() & 0x7fffffff : Number(seed),
    count: count === undefined ? defaultCount : Number(count),
    path,
  }
}

export interface Play<Lab, Round> {
  readonly make: () => Promise<Lab>
  readonly anySequence: fc.Arbitrary<readonly Round[]>
  /** Throws where the lab does not come to what is expected. */
  readonly play: (lab: Lab, rounds: readonly Round[]) => Promise<void>
}

/** A lab is used again after each sequence that went well, and never after one that did not. */
export async function checkSequences<Lab extends AsyncDisposable, Round>(
  { make, anySequence, play }: Play<Lab, Round>,
  sequences: Sequences,
): Promise<void> {
  let lab: Lab | undefined
  let failedAt: number | undefined
  let played = 0
  const dispose = async (): Promise<void> => {
    const old = lab
    lab = undefined
    await old?.[Symbol.asyncDispose]()
  }
  const property = fc.asyncProperty(anySequence, async (rounds) => {
    if (failedAt !== undefined && Date.now() - failedAt > SHRINK_MS) return
    played += 1
    // From a path fast-check goes on to all the sequences beside it.
    if (sequences.path !== undefined && played > 1) return
    lab ??= await make()
    try {
      await play(lab, rounds)
    } catch (error) {
      failedAt ??= Date.now()
      await dispose()
      throw error
    }
  })
  const { seed, count, path } = sequences
  try {
    const details = await fc.check(property, {
      seed,
      numRuns: path === undefined ? count : 1,
      // Sequences of any length from the first on.
      unbiased: true,
      ...(path === undefined ? {} : { path, endOnFailure: true }),
    })
    if (!details.failed) return
    const again = `L2W_SEED=${seed} L2W_PATH=${details.counterexamplePath}`
    const reason = details.errorInstance instanceof Error ? details.errorInstance.message : ''
    throw new Error(
      `A sequence failed after ${details.numRuns} of ${count}, made shorter ${details.numShrinks} times. Play it again with ${again}\n${reason}`,
    )
  } finally {
    await dispose()
  }
}
