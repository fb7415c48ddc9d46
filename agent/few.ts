// Many things, a few at a time: each may start processes, and wait for a store that is away.

const FEW = 8

/** The action must not throw. */
export async function forEachFew<T>(
  items: readonly T[],
  action: (item: T) => Promise<void>,
): Promise<void> {
  const rest = [...items]
  const work = async (): Promise<void> => {
    for (let item = rest.shift(); item !== undefined; item = rest.shift()) await action(item)
  }
  await Promise.all(Array.from({ length: FEW }, work))
}
