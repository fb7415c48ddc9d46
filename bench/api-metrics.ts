// What a real API server counted of the requests that agents make: wires, VNI claims, pods and events.
import type { LabApiServer } from '../lab/api-server.ts'

/** "POST wires", "DELETE vniclaims", …: how many there were so far. */
export type Counts = ReadonlyMap<string, number>

/** Requests that are over; a watch is one for as long as it lives, and counts by its events. */
export async function countApiRequests(api: LabApiServer): Promise<Counts> {
  return readMetric(api, 'apiserver_request_total')
}

/** Events told to watchers, of all watches together. */
export async function countWatchEvents(api: LabApiServer): Promise<number> {
  return sumCounts(await readMetric(api, 'apiserver_watch_events_total'))
}

export function sumCounts(counts: Counts): number {
  return [...counts.values()].reduce((sum, count) => sum + count, 0)
}

/** What came since then. */
export function subtractCounts(now: Counts, then: Counts): Counts {
  return new Map([...now].map(([what, count]) => [what, count - (then.get(what) ?? 0)]))
}

async function readMetric(api: LabApiServer, name: string): Promise<Counts> {
  const counts = new Map<string, number>()
  for (const line of (await api.kubectl(['get', '--raw', '/metrics'])).split('\n')) {
    if (!line.startsWith(`${name}{`) || line.includes('verb="WATCH"')) continue
    const resource = /resource="(wires|vniclaims|pods|events)"/.exec(line)?.[1]
    if (resource === undefined) continue
    const verb = /verb="(\w+)"/.exec(line)?.[1] ?? ''
    const what = `${verb} ${resource}`.trim()
    const count = Number(line.slice(line.lastIndexOf(' ') + 1))
    counts.set(what, (counts.get(what) ?? 0) + count)
  }
  return counts
}
