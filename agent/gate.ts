// Lets a few through at a time; the others wait in the order they came.

export type Gate = <T>(action: () => Promise<T>) => Promise<T>

export function newGate(few: number): Gate {
  let inside = 0
  const waiting: (() => void)[] = []
  return async (action) => {
    if (inside >= few) await new Promise<void>((resolve) => waiting.push(resolve))
    else inside += 1
    try {
      return await action()
    } finally {
      const next = waiting.shift()
      // Whoever is next takes our place.
      if (next === undefined) inside -= 1
      else next()
    }
  }
}
