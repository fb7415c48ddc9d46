// Tells the guests of this node's VM ends about their cables, in the background: no verb waits for it.
// A change is told once it has settled, so that a far end that flaps costs a request or two.
import type { WireAttachment } from '../core/attachment.ts'
import { renderCauses } from '../core/errors.ts'
import { findInstance, isVmEnd } from '../core/guest-carrier.ts'
import { toAttachmentKey, type CarrierShown } from '../core/wire.ts'
import { findUntold, forgetAnswer, noteAnswer } from './guest-answers.ts'
import type { Node } from './node.ts'
import { reportOnGuest } from './report.ts'

/** A change must have stood this long, or one after the other must have come for that long. */
const SETTLED_MS = 200
const SETTLED_MOST_MS = 1_000
/** How soon what could not be told is told again, and how late at most. */
const AGAIN_FIRST_MS = 1_000
const AGAIN_MOST_MS = 10_000
/** What is refused somebody must mend; but an API server that starts refuses, too, until it knows its rights. */
const REFUSED_AGAIN_MOST_MS = 300_000
const REFUSALS: readonly string[] = ['Forbidden', 'Refused']

interface Telling {
  readonly attachment: WireAttachment
  readonly show: (hasCarrier: boolean) => Promise<CarrierShown>
  wanted: boolean
  /** What the VM was told last; undefined when that is not known. */
  told: boolean | undefined
  /** Of the first change that is not told yet. */
  since: number | undefined
  timer: NodeJS.Timeout | undefined
  againMs: number
}

const tellings = new WeakMap<Node, Map<string, Telling>>()

/** Whether the cable of a VM's end leads anywhere. Saying what was said before costs nothing. */
export function tellGuest(node: Node, attachment: WireAttachment, hasCarrier: boolean): void {
  const instance = findInstance(attachment)
  const { cluster } = node
  if (instance === undefined || cluster === undefined) return
  if (findUntold(node, attachment) !== undefined) return
  const known = tellings.get(node) ?? new Map<string, Telling>()
  tellings.set(node, known)
  const key = toAttachmentKey(attachment)
  let telling = known.get(key)
  if (telling?.wanted === hasCarrier) return
  if (telling === undefined) {
    const { wire, ifname: podLink } = attachment
    const guest = { namespace: wire.namespace, instance, podLink }
    telling = {
      attachment,
      show: cluster.findGuest(guest),
      wanted: hasCarrier,
      told: undefined,
      since: undefined,
      timer: undefined,
      againMs: AGAIN_FIRST_MS,
    }
    known.set(key, telling)
  }
  telling.wanted = hasCarrier
  const now = performance.now()
  telling.since ??= now
  tellIn(node, telling, Math.min(SETTLED_MS, telling.since + SETTLED_MOST_MS - now))
}

/** Whether each end whose guest is to be told has a look behind it: an agent that starts takes none on trust. */
export function areGuestsHeard(node: Node, ends: readonly WireAttachment[]): boolean {
  const known = tellings.get(node)
  const isAsked = (end: WireAttachment): boolean =>
    end.phase === 'ready' && isVmEnd(end) && findUntold(node, end) === undefined
  return ends.every((end) => !isAsked(end) || known?.has(toAttachmentKey(end)) === true)
}

/** For an end that is unplugged: nothing is written, the VM's next end says what is so then. */
export function forgetGuest(node: Node, attachment: WireAttachment): void {
  const key = toAttachmentKey(attachment)
  clearTimeout(tellings.get(node)?.get(key)?.timer)
  tellings.get(node)?.delete(key)
  forgetAnswer(node, key)
}

function tellIn(node: Node, telling: Telling, delayMs: number): void {
  clearTimeout(telling.timer)
  const key = toAttachmentKey(telling.attachment)
  telling.timer = setTimeout(() => {
    void node.queue(`guest ${key}`, async () => tellNow(node, telling))
  }, delayMs).unref()
}

async function tellNow(node: Node, telling: Telling): Promise<void> {
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
  if (tellings.get(node)?.get(end) !== telling) return
  if (againMostMs === undefined) {
    telling.told = wanted
    telling.againMs = AGAIN_FIRST_MS
  } else {
    // It may have been written all the same.
    telling.told = undefined
    // A change that came meanwhile has a timer of its own.
    if (telling.wanted === wanted) tellIn(node, telling, Math.min(telling.againMs, againMostMs))
    telling.againMs = Math.min(telling.againMs * 2, againMostMs)
  }
  if (noteAnswer(node, end, answer)) reportOnGuest(node, attachment)
}

// An end that lost its cable to a newer sandbox has nothing to say to the VM any more.
async function isPlugged(node: Node, { attachment }: Telling): Promise<boolean> {
  const phase = (await node.state.get(attachment))?.phase
  return phase === 'adding' || phase === 'ready'
}
