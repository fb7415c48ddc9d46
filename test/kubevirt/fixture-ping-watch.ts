// Numbered pings that go on through everything that a suite breaks: each one that is lost has a number.
import { expect } from 'chai'

import type { KubeNode } from '../../lab/kube/cluster.ts'
import { waitFor } from '../../lab/kube/wait.ts'
import { findContainer, runInContainer } from './fixture-containers.ts'
import type { Place } from '../../lab/kube/place.ts'

export interface PingWatch {
  /** The number of the newest that was sent. */
  readonly readNewest: () => Promise<number>
  /** How often the NIC that they leave by has lost its carrier, as the kernel counts it. */
  readonly readCarrierLosses: () => Promise<number>
  /** Until one is answered that is sent from now on, or so many more. */
  readonly waitForAnswer: (more?: number) => Promise<void>
  /** Of those that were sent since that number, and some more. */
  readonly expectAllSince: (first: number) => Promise<void>
  /** The numbers of those that were lost since that one, once an answer has come. */
  readonly listLostSince: (first: number) => Promise<readonly number[]>
}

const EVERY_SECONDS = 0.2
const MORE = 5
/** Emulated guests boot slowly, and a neighbour that has moved is looked for again after a while. */
const PATIENCE_MS = 300_000

/** From the pod, which lives as long as the watch; one answer has come when this returns. */
export async function watchPings(
  place: Place,
  { node, pod }: { readonly node: KubeNode; readonly pod: string },
  address: string,
): Promise<PingWatch> {
  const { namespace } = place
  const container = await findContainer({ node, namespace, pod, container: 'tools' })
  const file = `/tmp/l2w-pings-${address}`
  // -O names those that wait for their answer, so that the newest is known.
  const ping = `exec setsid ping -n -O -i ${EVERY_SECONDS} ${address} >${file} 2>&1 </dev/null &`
  await runInContainer(node, container, ['sh', '-c', ping])

  const readPings = async (): Promise<string> => runInContainer(node, container, ['cat', file])
  const readNewest = async (): Promise<number> =>
    Math.max(0, ...listNumbers(await readPings(), SENT))
  const waitForAnswer = async (more = 1): Promise<void> => {
    const newest = await readNewest()
    const isAnswered = async (): Promise<boolean> =>
      listNumbers(await readPings(), ANSWERED).some((number) => number > newest + more)
    await waitFor(`${pod} has an answer of ${address}`, isAnswered, { timeoutMs: PATIENCE_MS })
  }
  await waitForAnswer()
  const listLostSince = async (first: number): Promise<readonly number[]> => {
    await waitForAnswer(MORE)
    const answered = new Set(listNumbers(await readPings(), ANSWERED))
    const newest = Math.max(...answered)
    expect(newest).to.be.greaterThan(first)
    const all = Array.from({ length: newest - first }, (_, at) => first + 1 + at)
    return all.filter((number) => !answered.has(number))
  }
  const route = await runInContainer(node, container, ['ip', 'route', 'get', address])
  const counter = `/sys/class/net/${/ dev (\S+)/.exec(route)?.[1]}/carrier_down_count`
  return {
    readNewest,
    readCarrierLosses: async () => Number(await runInContainer(node, container, ['cat', counter])),
    waitForAnswer,
    listLostSince,
    expectAllSince: async (first) => {
      const lost = await listLostSince(first)
      expect(lost, `pings of ${pod} to ${address} since ${first} that were lost`).to.deep.equal([])
    },
  }
}

const SENT = /icmp_seq=(\d+)/g
const ANSWERED = /bytes from .* icmp_seq=(\d+)/g

function listNumbers(text: string, pattern: RegExp): readonly number[] {
  return [...text.matchAll(pattern)].map(([, number]) => Number(number))
}
