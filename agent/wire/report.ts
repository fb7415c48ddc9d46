// What this node made of a wire, told to the store and to the users of its ends. Behind the verbs'
// backs: no ADD waits for it, and of several reports that wait only the last is written.
import type { WireAttachment } from '../../core/attach/attachment.ts'
import { CniError, renderCauses } from '../../core/errors.ts'
import { toMessage } from '../../core/printable.ts'
import { listNotices, type Notice } from '../../core/wire/notice.ts'
import {
  reportGuest,
  reportWire,
  toWireKey,
  type NodeReport,
  type Wire,
  type WireId,
} from '../../core/wire/wire.ts'
import { listEndKeys } from '../../core/wire/summary.ts'
import { listGuests } from '../guest/answers.ts'
import type { AgentContext, UnwrittenReport } from '../context.ts'

/** How soon what could not be written is written again. */
const AGAIN_MS = 10_000

export function report(
  node: AgentContext,
  id: WireId,
  ends: UnwrittenReport['ends'],
  words: NodeReport,
): void {
  const mine = { ends, words }
  node.unwritten.set(toWireKey(id), mine)
  queueReport(node, id, mine)
}

function queueReport(node: AgentContext, id: WireId, mine: UnwrittenReport): void {
  const { unwritten: newest } = node
  const key = toWireKey(id)
  void node.turns.report(id, async () => {
    // A newer one is behind this in the queue.
    if (newest.get(key) !== mine) return
    try {
      await write(node, id, mine)
      if (newest.get(key) === mine) newest.delete(key)
    } catch (error) {
      node.log.error({ err: error, wire: key }, 'cannot report on a wire yet')
      setTimeout(() => queueReport(node, id, mine), AGAIN_MS).unref()
    }
  })
}

/** What the guest of one of this node's ends is shown now; writes nothing that stands there already. */
export function reportOnGuest(node: AgentContext, attachment: WireAttachment): void {
  const { wire: id } = attachment
  const key = toWireKey(id)
  void node.turns.report(id, async () => {
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
  node: AgentContext,
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

async function write(
  node: AgentContext,
  id: WireId,
  { ends, words }: UnwrittenReport,
): Promise<void> {
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
  node: AgentContext,
  wire: Wire,
  state: NodeReport['state'],
  error?: unknown,
): NodeReport {
  const message = error === undefined ? undefined : toMessage(renderCauses(error))
  const code = error instanceof CniError ? { code: error.code } : {}
  return { node: node.name, state, ends: listEndKeys(wire), message, ...code }
}
