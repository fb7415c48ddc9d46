// A migration's target has its ends once the guest runs there. Nobody tells: the guest's own first frame does (QEMU
// announces it by RARP as soon as it runs), and after it the VirtualMachineInstance.
import { setTimeout as sleep } from 'node:timers/promises'

import { toClaim, type WireAttachment } from '../../core/attach/attachment.ts'
import { newBackoff } from '../../core/backoff.ts'
import { renderCauses } from '../../core/errors.ts'
import { findInstance } from '../../core/guest/carrier.ts'
import {
  countFrames,
  noteState,
  type GuestArrival,
  type MigrationState,
} from '../../core/wire/migration.ts'
import { toClaimAddress } from '../../core/wire/tunnel.ts'
import { claimEnd, holdsEnd } from '../../core/wire/ends.ts'
import { toAttachmentKey, toWireKey } from '../../core/wire/wire.ts'
import { readReceived } from '../../kernel/observe/links.ts'
import type { AgentContext } from '../context.ts'
import { hear, isHeard } from './heard.ts'
import { reconcileKnown, reconcileWire } from './reconcile.ts'

/** How often the counters of a target are read while its guest may come any moment: files of /sys, no process. */
const COUNT_MS = 10
/** How often the VMI is asked how far its migration is. */
const ASK_MS = 500
/** How soon, and how late at most, an end is claimed again that could not be. */
const AGAIN_FIRST_MS = 250
const AGAIN_MOST_MS = 2_000

/** Idempotent. */
export function awaitGuest(node: AgentContext, end: WireAttachment): void {
  const { containerID, pod } = end
  const key = toAttachmentKey(end)
  const known = node.arrivals.get(containerID)
  if (known !== undefined) {
    node.arrivals.set(containerID, { ...known, ends: new Set([...known.ends, key]) })
    return
  }
  node.arrivals.set(containerID, { ends: new Set([key]), state: 'pending', before: new Map() })
  node.log.info({ containerID, pod }, 'a migration may bring a guest here, its ends stand by')
  void ask(node, end)
  void count(node, containerID)
}

/** Counts until none of the sandbox's ends stands by any more. */
async function count(node: AgentContext, containerID: string): Promise<void> {
  const backoff = newBackoff(AGAIN_FIRST_MS, AGAIN_MOST_MS)
  for (;;) {
    const ends = listEnds(node, containerID)
    if (ends.length === 0) break
    const received = await readAllReceived(ends)
    const arrival = node.arrivals.get(containerID)
    if (arrival === undefined) return
    const counted = countFrames(arrival, received)
    node.arrivals.set(containerID, counted.arrival)
    // Once heard it is here, though its claim could not be written, and its VMI says less by now.
    const wasHeard = arrival.state !== 'failed' && ends.some((end) => isHeard(node, end))
    const isHere = counted.isHere || wasHeard
    if (isHere) await moveIn(node, ends)
    const pauseMs = arrival.state === 'running' ? COUNT_MS : ASK_MS
    await sleep(isHere ? backoff.next() : pauseMs, undefined, { ref: false })
  }
  node.arrivals.delete(containerID)
}

/** Asks its VMI as long. With the API away a guest that comes meanwhile is heard. */
async function ask(
  node: AgentContext,
  { containerID, wire, pod, ...end }: WireAttachment,
): Promise<void> {
  const { cluster, name } = node
  const instance = findInstance(end)
  const note = (state: MigrationState | undefined): void =>
    change(node, containerID, (arrival) => noteState(arrival, state))
  // Whoever says without a cluster that it is a target has begun its migration.
  if (cluster === undefined || pod === undefined || instance === undefined) return note('running')
  const vmi = { namespace: wire.namespace, name: instance.name }
  let failure: string | undefined
  while (node.arrivals.has(containerID)) {
    try {
      note(await cluster.readMigration(vmi, { pod, node: name }))
      failure = undefined
    } catch (error) {
      note(undefined)
      const reason = renderCauses(error)
      if (reason !== failure) node.log.warn({ reason, pod }, 'cannot ask how far a migration is')
      failure = reason
    }
    await sleep(ASK_MS, undefined, { ref: false })
  }
}

function change(
  { arrivals }: AgentContext,
  containerID: string,
  to: (arrival: GuestArrival) => GuestArrival,
): void {
  const arrival = arrivals.get(containerID)
  if (arrival !== undefined) arrivals.set(containerID, to(arrival))
}

/** Those that still stand by: others are gone, or where their guest is. */
function listEnds(
  { state, arrivals }: AgentContext,
  containerID: string,
): readonly WireAttachment[] {
  const keys = arrivals.get(containerID)?.ends
  return state
    .listAll()
    .filter((one) => one.kind === 'wire')
    .filter((one) => keys?.has(toAttachmentKey(one)))
}

async function readAllReceived(
  ends: readonly WireAttachment[],
): Promise<ReadonlyMap<string, number>> {
  const counts = ends.map(
    async ({ hostDevice }) => [hostDevice, await readReceived(hostDevice)] as const,
  )
  const known = (await Promise.all(counts)).flatMap(([dev, count]) =>
    count === undefined ? [] : [[dev, count] as const],
  )
  return new Map(known)
}

/** Of all its ends at once: the guest runs here with all of its NICs. What fails is tried again. */
async function moveIn(node: AgentContext, ends: readonly WireAttachment[]): Promise<void> {
  const move = async (end: WireAttachment, facts: object): Promise<void> =>
    node.turns.wire(end.wire, async () => {
      // A DEL may have been quicker.
      if (node.state.find(end)?.phase === 'ready') {
        hear(node, end.wire, end)
        const claim = toClaim(end, toClaimAddress(node.underlay))
        // Both at once: the far end waits for the store's word, and the store may be away.
        const claimed = node.store.update(end.wire, (wire) =>
          holdsEnd(wire, end) ? wire : claimEnd(wire, end.wire, claim),
        )
        // Its failure is thrown below, when nothing of this turn is under way any more.
        claimed.catch(() => undefined)
        await reconcileKnown(node, end.wire).catch((error: unknown) => {
          node.log.error({ ...facts, err: error }, 'cannot move an end before the store says so')
        })
        await claimed
        await reconcileWire(node, end.wire, 'uncached')
      }
      const key = toAttachmentKey(end)
      change(node, end.containerID, (arrival) => ({
        ...arrival,
        ends: new Set([...arrival.ends].filter((one) => one !== key)),
      }))
    })
  await Promise.all(
    ends.map(async (end) => {
      const facts = { end: toAttachmentKey(end), wire: toWireKey(end.wire) }
      try {
        await move(end, facts)
        node.log.info(facts, 'the guest has come, its end is here')
      } catch (error) {
        node.log.error({ ...facts, err: error }, 'cannot move an end to where its guest is yet')
      }
    }),
  )
}
