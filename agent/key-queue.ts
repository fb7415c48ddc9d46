// Work for one key is done one after the other; different keys do not wait for each other.

export type KeyQueue = <T>(key: string, action: () => Promise<T>) => Promise<T>

export function newKeyQueue(): KeyQueue {
  const tails = new Map<string, Promise<unknown>>()
  return async (key, action) => {
    const before = tails.get(key) ?? Promise.resolve()
    // An earlier failure was its own caller's; the next in line starts all the same.
    const mine = before.then(action, action)
    const tail = mine.catch(() => undefined)
    tails.set(key, tail)
    try {
      return await mine
    } finally {
      if (tails.get(key) === tail) tails.delete(key)
    }
  }
}
