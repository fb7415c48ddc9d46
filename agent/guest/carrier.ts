// Tells the guests of this node's VM ends about their cables, in the background: no verb waits for it.
// A change is told once it has settled, so that a far end that flaps costs a request or two.
import type { WireAttachment } from '../../core/attach/attachment.ts'
import { newBackoff } from '../../core/backoff.ts'
import { renderCauses } from '../../core/errors.ts'
import { findInstance } from '../../core/guest/carrier.ts'
import { toAttachmentKey, type CarrierShown } from '../../core/wire/wire.ts'
import { findUntold, noteAnswer } from './answers.ts'
import type { AgentContext } from '../context.ts'
import type { Telling } from './telling.ts'
import { reportOnGuest } from '../wire/report.ts'

/** A change must have stood this long, or one after the other must have come for that long. */
const SETTLED_MS = 200
const SETTLED_MOST_MS = 1_000
/** How soon what could not be told is told again, and how late at most. */
const AGAIN_FIRST_MS = 1_000
const AGAIN_MOST_MS = 10_000
/** What is refused somebody must mend; but an API server that starts refuses, too, until it knows its rights. */
const REFUSED_AGAIN_MOST_MS = 300_000
const REFUSALS: readonly string[] = ['Forbidden', 'Refused']

/** Whether the cable of a VM's end leads anywhere. Saying what was said before costs nothing. */
export function tellGuest(
  node: AgentContext,
  attachment: WireAttachment,
  hasCarrier: boolean,
): void {
  const instance = findInstance(attachment)
  const { cluster } = node
  if (instance === undefined || cluster === undefined) return
  if (findUntold(node, attachment) !== undefined) return
  const key = toAttachmentKey(attachment)
  let telling = node.tellings.get(key)
  if (telling?.wanted === hasCarrier) return
  if (telling === undefined) {
    const { wire, ifname: podLink } = attachment
    const podUid = attachment.subjects?.find(({ kind }) => kind === 'Pod')?.uid ?? ''
    const guest = { namespace: wire.namespace, instance: instance.name, podUid, podLink }
    telling = {
      attachment,
      show: cluster.findGuest(guest),
      wanted: hasCarrier,
      told: undefined,
      since: undefined,
      timer: undefined,
      backoff: newBackoff(AGAIN_FIRST_MS, AGAIN_MOST_MS),
      reason: undefined,
    }
    node.tellings.set(key, telling)
  }
  telling.wanted = hasCarrier
  const now = performance.now()
  telling.since ??= now
  tellIn(node, telling, Math.min(SETTLED_MS, telling.since + SETTLED_MOST_MS - now))
}

/** Whether each end whose guest is to be told has a look behind it: an agent that starts takes none on trust. */
export function areGuestsHeard(node: AgentContext, ends: readonly WireAttachment[]): boolean {
  const isAsked = (end: WireAttachment): boolean =>
    end.phase === 'ready' && findInstance(end) !== undefined && findUntold(node, end) === undefined
  return ends.every((end) => !isAsked(end) || node.tellings.has(toAttachmentKey(end)))
}

/** For an end that is unplugged: nothing is written, the VM's next end says what is so then. */
export function forgetGuest(node: AgentContext, attachment: WireAttachment): void {
  const key = toAttachmentKey(attachment)
  clearTimeout(node.tellings.get(key)?.timer)
  node.tellings.delete(key)
  node.carrierShown.delete(key)
}

function tellIn(node: AgentContext, telling: Telling, delayMs: number): void {
  clearTimeout(telling.timer)
  telling.timer = setTimeout(() => {
    void node.turns.guest(telling.attachment, async () => tellNow(node, telling))
  }, delayMs).unref()
}

async function tellNow(node: AgentContext, telling: Telling): Promise<void> {
  const { attachment, wanted } = telling
  const end = toAttachmentKey(attachment)
  telling.since = undefined
  if (telling.told === wanted) return
  let answer: CarrierShown
  let againMostMs: number | undefined
  try {
    if (!(await isPlugged(node, telling))) {
      forgetGuest(node, attachment)
      return
    }
    answer = await telling.show(wanted)
    if (REFUSALS.includes(answer.reason)) againMostMs = REFUSED_AGAIN_MOST_MS
    node.log.info({ end, hasCarrier: wanted, ...answer }, 'the carrier for a guest')
  } catch (error) {
    againMostMs = AGAIN_MOST_MS
    node.log.error({ err: error, end }, 'cannot tell a guest about its carrier yet')
    answer = { reason: 'NoAnswer', message: renderCauses(error) }
  }
  // It was unplugged meanwhile.
  if (node.tellings.get(end) !== telling) return
  if (againMostMs === undefined) {
    telling.told = wanted
    telling.backoff.reset()
    telling.reason = undefined
  } else {
    // It may have been written all the same.
    telling.told = undefined
    // An API server that is back refuses until it knows its rights: what is new is tried soon again.
    if (telling.reason !== answer.reason) telling.backoff.reset()
    telling.reason = answer.reason
    const againMs = telling.backoff.next(againMostMs)
    // A change that came meanwhile has a timer of its own.
    if (telling.wanted === wanted) tellIn(node, telling, againMs)
  }
  if (noteAnswer(node, end, answer)) reportOnGuest(node, attachment)
}

// An end that lost its cable to a newer sandbox has nothing to say to the VM any more.
async function isPlugged(node: AgentContext, { attachment }: Telling): Promise<boolean> {
  const phase = (await node.state.get(attachment))?.phase
  return phase === 'adding' || phase === 'ready'
}
