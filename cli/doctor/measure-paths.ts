// Measures every way between nodes that share a wire, all of them at once: each node hears, each node
// sends to each, and then they are asked what they heard. Where the longest packet did not come whole
// a few more rounds find the longest one that does.
import { randomInt } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'

import {
  listNextSizes,
  toMeasure,
  type NodePath,
  type PathMeasure,
} from '../../core/doctor/path.ts'
import { readRecord } from '../../core/doctor/path-probe.ts'
import { decodeProberAnswer, type ProberReport } from '../../core/doctor/prober-line.ts'
import { CliError } from '../cli-error.ts'
import { newLineClient, type LineClient } from '../tester/line-client.ts'

/** How long a datagram may take from node to node. */
const TRAVEL_MS = 500
/** The first says whether it takes more: of 24 sizes each, three find any MTU up to 14,000, four any at all. */
const ROUNDS = 5

/** Throws CliError when a node's prober cannot be started, or fails; DecodeError for what is no answer. */
export async function measurePaths(
  paths: readonly NodePath[],
  port: number,
  toNodeArgv: (node: string) => Promise<readonly string[]>,
): Promise<readonly PathMeasure[]> {
  await using stack = new AsyncDisposableStack()
  const firstToken = randomInt(2 ** 31)
  const ways = paths.map((path, at) => ({ ...path, token: firstToken + at }))
  const probers = new Map<string, LineClient>()
  for (const node of new Set(paths.flatMap(({ from, to }) => [from, to]))) {
    const tokens = ways.filter(({ to }) => to === node).map(({ token }) => String(token))
    const argv = [...(await toNodeArgv(node)), 'prober', String(port), ...tokens]
    probers.set(node, stack.use(newLineClient(`prober on ${node}`, argv)))
  }
  /** Has every node send so many sizes by each way, and say what it has heard up to now. */
  const volley = async (
    sizes: readonly (readonly number[])[] = [],
  ): Promise<readonly PathMeasure[]> => {
    const shots = ways.map((way, at) => ({ ...way, sizes: sizes[at] ?? [] }))
    const asked = [...probers].map(async ([node, prober]) => {
      const line = await prober.ask(shots.filter(({ from }) => from === node))
      return [node, expectReport(node, line)] as const
    })
    const answers = new Map(await Promise.all(asked))
    return paths.map((path, at) => {
      const heard = readRecord(answers.get(path.to)?.nft ?? '', firstToken + at)
      return toMeasure(path, port, answers.get(path.from)?.mtuBytes ?? 0, heard)
    })
  }
  // Nobody sends before all of them hear.
  let measures = await volley()
  let tried = paths.map((): readonly number[] => [])
  for (let round = 0; round < ROUNDS; round += 1) {
    const next = measures.map((measure, at) => listNextSizes(measure, tried[at] ?? []))
    if (next.every((sizes) => sizes.length === 0)) break
    await volley(next)
    await sleep(TRAVEL_MS)
    measures = await volley()
    tried = tried.map((sizes, at) => [...sizes, ...(next[at] ?? [])])
  }
  return measures
}

function expectReport(node: string, line: string): ProberReport {
  const answer = decodeProberAnswer(line)
  if ('nft' in answer) return answer
  throw new CliError(`Node ${node} cannot measure: ${answer.fault}`)
}
