// Measures every way between nodes that share a wire, all of them at once: each node hears, each node
// sends to each, and then they are asked what they heard. Where the longest packet did not come whole
// a few more rounds find the longest one that does.
import { randomInt } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'

import { findLongest, isHeard, type NodePath, type PathMeasure } from '../core/doctor-path.ts'
import { listRungs, PROBE_BYTES_MAX, PROBE_BYTES_MIN, type Heard } from '../core/path-probe.ts'
import { decodeProberAnswer, type ProberRequest } from '../core/prober-line.ts'
import { CliError } from './cli-error.ts'
import { newLineClient } from './line-client.ts'

/** How long a datagram may take from node to node. */
const TRAVEL_MS = 500
/** 24 sizes a round: three find any MTU up to 14,000, four any at all. */
const ROUNDS = 4

interface Prober {
  readonly ask: (request: ProberRequest) => Promise<Answer>
}

type Answer = Extract<ReturnType<typeof decodeProberAnswer>, { ok: true }>

interface Attempt {
  readonly path: NodePath
  readonly linkMtuBytes: number
  /** Goes in fragments; null where none are sent. */
  readonly longBytes: number | null
  /** Sizes that were sent to arrive whole. */
  readonly tried: readonly number[]
}

/** Throws CliError when a node's prober cannot be started, or fails. */
export async function measurePaths(
  paths: readonly NodePath[],
  port: number,
  toNodeArgv: (node: string) => Promise<readonly string[]>,
): Promise<readonly PathMeasure[]> {
  await using stack = new AsyncDisposableStack()
  const probers = new Map<string, Prober>()
  for (const node of new Set(paths.flatMap(({ from, to }) => [from, to])))
    probers.set(node, stack.use(newProber(node, [...(await toNodeArgv(node)), 'prober'])))
  const mark = { port, token: randomInt(2 ** 32) }
  await onEach(probers, async (prober) => prober.ask({ op: 'listen', ...mark }))

  const send = async (attempt: Attempt, sizes: readonly number[]): Promise<void> => {
    const { from, fromAddress, toAddress, vni } = attempt.path
    await probers
      .get(from)
      ?.ask({ op: 'send', ...mark, from: fromAddress, to: toAddress, vni, sizes })
  }
  const hear = async (): Promise<ReadonlyMap<string, Heard>> => {
    await sleep(TRAVEL_MS)
    return new Map(
      await onEach(probers, async (prober) => {
        const { heard } = await prober.ask({ op: 'heard' })
        return heard ?? { whole: [], delivered: [] }
      }),
    )
  }

  let attempts = await Promise.all(paths.map(async (path) => newAttempt(path, probers)))
  await Promise.all(
    attempts.map(async (attempt) =>
      send(attempt, [...attempt.tried, ...(attempt.longBytes === null ? [] : [attempt.longBytes])]),
    ),
  )
  let heard = await hear()
  for (let round = 0; round < ROUNDS; round += 1) {
    const next = attempts.map((attempt) => listNextSizes(attempt, heard))
    if (next.every((sizes) => sizes.length === 0)) break
    await Promise.all(attempts.map(async (attempt, at) => send(attempt, next[at] ?? [])))
    attempts = attempts.map((attempt, at) => ({
      ...attempt,
      tried: [...attempt.tried, ...(next[at] ?? [])],
    }))
    heard = await hear()
  }
  return attempts.map((attempt) => toMeasure(attempt, port, heard))
}

function newProber(node: string, argv: readonly string[]): Prober & AsyncDisposable {
  const client = newLineClient(`prober on ${node}`, argv)
  let last: Promise<unknown> = Promise.resolve()
  return {
    // A node may be asked for several ways at the same time, and answers one at a time.
    ask: async (request) => {
      const before = last
      const answering = (async () => {
        await before
        const answer = decodeProberAnswer(await client.ask(request))
        if (answer.ok) return answer
        throw new CliError(`Node ${node} cannot measure: ${answer.fault}`)
      })()
      last = answering.catch(() => undefined)
      return answering
    },
    [Symbol.asyncDispose]: async () => client[Symbol.asyncDispose](),
  }
}

async function newAttempt(path: NodePath, probers: ReadonlyMap<string, Prober>): Promise<Attempt> {
  const answer = await probers.get(path.from)?.ask({ op: 'mtu', address: path.fromAddress })
  const linkMtuBytes = Math.min(answer?.mtuBytes ?? 0, PROBE_BYTES_MAX)
  // On IPv6 tunnels send no fragments.
  const isFragmented = !path.toAddress.includes(':')
  const longBytes = isFragmented ? Math.min(2 * linkMtuBytes, PROBE_BYTES_MAX) : null
  return { path, linkMtuBytes, longBytes, tried: [PROBE_BYTES_MIN, linkMtuBytes] }
}

/** Sizes between the longest that came whole and the next one that was tried. */
function listNextSizes(
  { path, tried }: Attempt,
  heard: ReadonlyMap<string, Heard>,
): readonly number[] {
  const longest = findLongest(heard.get(path.to)?.whole ?? [], path.fromAddress)
  const longer = tried.filter((size) => size > (longest ?? Infinity))
  return longest === undefined || longer.length === 0 ? [] : listRungs(longest, Math.min(...longer))
}

function toMeasure(
  { path, linkMtuBytes, longBytes }: Attempt,
  port: number,
  heard: ReadonlyMap<string, Heard>,
): PathMeasure {
  const { whole = [], delivered = [] } = heard.get(path.to) ?? {}
  const has = (list: Heard['whole'], bytes: number): boolean =>
    isHeard(list, path.fromAddress, bytes)
  return {
    ...path,
    port,
    linkMtuBytes,
    isArriving: has(whole, PROBE_BYTES_MIN),
    isOpen: has(delivered, PROBE_BYTES_MIN),
    pathMtuBytes: findLongest(whole, path.fromAddress) ?? null,
    hasFragments: longBytes === null ? null : has(delivered, longBytes),
  }
}

async function onEach<Result>(
  probers: ReadonlyMap<string, Prober>,
  action: (prober: Prober) => Promise<Result>,
): Promise<readonly (readonly [string, Result])[]> {
  return Promise.all(
    [...probers].map(async ([node, prober]) => [node, await action(prober)] as const),
  )
}
