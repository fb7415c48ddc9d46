// Lets so many through at a time; the others wait in the order they came.

export interface Limit {
  /** Runs the action in a place of its own. */
  readonly inside: <T>(action: () => Promise<T>) => Promise<T>
  /** For who is inside: gives the place to others while the action runs, and takes one again. */
  readonly outside: <T>(action: () => Promise<T>) => Promise<T>
}

export function newLimit(most: number): Limit {
  let taken = 0
  const waiting: (() => void)[] = []
  const enter = async (): Promise<void> => {
    if (taken >= most) await new Promise<void>((resolve) => waiting.push(resolve))
    else taken += 1
  }
  const leave = (): void => {
    const next = waiting.shift()
    // Whoever is next takes our place.
    if (next === undefined) taken -= 1
    else next()
  }
  return {
    inside: async (action) => {
      await enter()
      try {
        return await action()
      } finally {
        leave()
      }
    },
    outside: async (action) => {
      leave()
      try {
        return await action()
      } finally {
        await enter()
      }
    },
  }
}

/** Each may start processes, be a connection through one API server, or wait for a store that is away. */
const FEW = 8

/** The results in the list's order, a few at a time. Rejects with the first that fails, as Promise.all does. */
export async function mapLimited<T, Result>(
  list: readonly T[],
  map: (element: T) => Promise<Result>,
): Promise<readonly Result[]> {
  const limit = newLimit(FEW)
  return Promise.all(list.map(async (element) => limit.inside(async () => map(element))))
}
