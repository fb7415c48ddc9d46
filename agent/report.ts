// What this node made of a wire, told to the store and to the users of its ends. Behind the verbs'
// backs: no ADD waits for it, and of several reports that wait only the last is written.
import type { WireAttachment } from '../core/attachment.ts'
import { renderCauses } from '../core/errors.ts'
import { listNotices, type Notice } from '../core/notice.ts'
import {
  reportGuest,
  reportWire,
  toWireKey,
  type NodeReport,
  type Wire,
  type WireId,
} from '../core/wire.ts'
import { listEndKeys } from '../core/wire-summary.ts'
import { listGuests } from './guest-answers.ts'
import type { Node } from './node.ts'

/** How soon what could not be written is written again. */
const AGAIN_MS = 10_000

interface Report {
  /** This node's own ends, whose users are told. */
  readonly ends: readonly WireAttachment[]
  readonly words: NodeReport
}

/** By wire: the newest report, until it is written. */
const unwritten = new WeakMap<Node, Map<string, Report>>()

export function report(node: Node, id: WireId, ends: Report['ends'], words: NodeReport): void {
  const newest = unwritten.get(node) ?? new Map<string, Report>()
  unwritten.set(node, newest)
  const mine = { ends, words }
  newest.set(toWireKey(id), mine)
  queueReport(node, id, newest, mine)
}

function queueReport(node: Node, id: WireId, newest: Map<string, Report>, mine: Report): void {
  const key = toWireKey(id)
  void node.queue(`report ${key}`, async () => {
    // A newer one is behind this in the queue.
    if (newest.get(key) !== mine) return
    try {
      await write(node, id, mine)
      if (newest.get(key) === mine) newest.delete(key)
    } catch (error) {
      node.log.error({ err: error, wire: key }, 'cannot report on a wire yet')
      setTimeout(() => queueReport(node, id, newest, mine), AGAIN_MS).unref()
    }
  })
}

/** What the guest of one of this node's ends is shown now; writes nothing that stands there already. */
export function reportOnGuest(node: Node, attachment: WireAttachment): void {
  const { wire: id } = attachment
  const key = toWireKey(id)
  void node.queue(`report ${key}`, async () => {
    const [guest] = listGuests(node, [attachment])
    if (guest === undefined) return
    try {
      await node.store.update(id, (current) => reportGuest(current, guest))
    } catch (error) {
      node.log.error({ err: error, wire: key }, 'cannot report on a guest yet')
      setTimeout(() => reportOnGuest(node, attachment), AGAIN_MS).unref()
    }
  })
}

/** Tells the users of an end, where there is a cluster; never fails. */
export async function tell(
  node: Node,
  { subjects = [] }: Pick<WireAttachment, 'subjects'>,
  notice: Notice,
): Promise<void> {
  const log = { reason: notice.reason, msg: notice.message }
  if (notice.type === 'Warning') node.log.warn(log)
  else node.log.info(log)
  try {
    await node.cluster?.tell(subjects, notice)
  } catch (error) {
    node.log.error({ reason: renderCauses(error) }, 'cannot write an event')
  }
}

async function write(node: Node, id: WireId, { ends, words }: Report): Promise<void> {
  let before: Wire | undefined
  const wire = await node.store.update(id, (current) => {
    before = current
    const earlier = current?.reports.find((one) => one.node === node.name)
    const guests = listGuests(node, ends, earlier?.guests)
    return reportWire(current, guests.length === 0 ? words : { ...words, guests })
  })
  if (wire === undefined || wire === before) return
  for (const notice of listNotices(wire, words))
    for (const end of ends) await tell(node, end, notice)
}

/** What is to be said of a wire whose joining is done, or failed with an error. */
export function toReport(
  node: Node,
  wire: Wire,
  state: NodeReport['state'],
  error?: unknown,
): NodeReport {
  const message = error === undefined ? undefined : renderCauses(error)
  return { node: node.name, state, ends: listEndKeys(wire), message }
}
