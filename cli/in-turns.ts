// Many nodes asked at once would be many connections through one API server.

const AT_ONCE = 8

/** The results in the list's order; at most so many are under way at the same time. */
export async function mapInTurns<T, Result>(
  list: readonly T[],
  map: (element: T) => Promise<Result>,
): Promise<readonly Result[]> {
  const results: Result[] = []
  let next = 0
  const work = async (): Promise<void> => {
    while (next < list.length) {
      const at = next
      next += 1
      results[at] = await map(list[at] as T)
    }
  }
  await Promise.all(Array.from({ length: AT_ONCE }, work))
  return results
}
