// Whether the guests of a wire's VM ends see their cable's carrier, in a word and a sentence: the
// condition CarrierShown. A pure function of the wire's document.
import { describeEnd, toAttachmentKey, type EndClaim, type Wire } from '../wire/wire.ts'

export interface CarrierSummary {
  readonly status: 'True' | 'False' | 'Unknown'
  readonly reason: string
  /** A sentence without its full stop. */
  readonly message: string
}

/** Undefined for a wire without an end of a VM. */
export function summarizeCarrier(wire: Wire): CarrierSummary | undefined {
  const ends = wire.ends.flatMap((end) => describeGuest(wire, end) ?? [])
  if (ends.length === 0) return undefined
  // What is wrong with one end is not mended by the other: the worst word is the wire's.
  const worst = (['False', 'Unknown'] as const).find((status) =>
    ends.some((end) => end.status === status),
  )
  if (worst === undefined)
    return {
      status: 'True',
      reason: 'Shown',
      message: ends.map(({ message }) => message).join('; '),
    }
  const unshown = ends.filter(({ status }) => status !== 'True')
  const reason = unshown.find(({ status }) => status === worst)?.reason ?? worst
  return { status: worst, reason, message: unshown.map(({ message }) => message).join('; ') }
}

function describeGuest(wire: Wire, end: EndClaim): CarrierSummary | undefined {
  const key = toAttachmentKey(end)
  const report = wire.reports.find(({ node }) => node === end.node)
  const guest = report?.guests?.find((one) => one.end === key)
  const name = describeEnd(end)
  if (guest === undefined) {
    if (!end.holder.startsWith('vm/')) return undefined
    const message = `${name}: node ${end.node} has not said yet whether its guest is shown the carrier`
    return { status: 'Unknown', reason: 'Pending', message }
  }
  const { reason, message = reason } = guest
  if (reason === 'Shown')
    return { status: 'True', reason, message: `the guest of ${name} is shown the carrier` }
  return {
    status: 'False',
    reason,
    message: `the guest of ${name} is not shown the carrier: ${message}`,
  }
}
