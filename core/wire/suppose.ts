// A wire whose guest has come to its target before the store says so: as it will be, and where a frame can tell. Pure.
import { toHostEndName } from '../name.ts'
import { claimEnd } from './ends.ts'
import {
  findComing,
  toAttachmentKey,
  type AttachmentId,
  type EndClaim,
  type StandbyClaim,
  type Wire,
} from './wire.ts'

/** Of the attachments whose guests were heard, those that the wire still has standing by. */
export function keepHeard(wire: Wire | undefined, heard: ReadonlySet<string>): ReadonlySet<string> {
  return new Set(listHeard(wire, heard).map(toAttachmentKey))
}

function listHeard(wire: Wire | undefined, heard: ReadonlySet<string>): readonly StandbyClaim[] {
  return (wire?.standbys ?? []).filter((one) => one.isTarget && heard.has(toAttachmentKey(one)))
}

/** The wire as it will be once the targets whose guests were heard have claimed their ends. */
export function supposeMoved(wire: Wire, heard: ReadonlySet<string>): Wire {
  return listHeard(wire, heard).reduce(
    (so, { isTarget: _isTarget, ...claim }) => claimEnd(so, so, claim),
    wire,
  )
}

/** A guest that comes to another node, and whose frames come from there into a tunnel of this one. */
export interface FarGuest extends AttachmentId {
  readonly address: string
  readonly vni: number
}

/**
 * The guest that the end here is to be joined to. Undefined where a frame from its node may be another's: the source is
 * on that node, too.
 */
export function findFarGuest(
  wire: Wire | undefined,
  node: string,
  plugged: readonly AttachmentId[],
): FarGuest | undefined {
  const coming = findComing(wire)
  if (wire?.vni === undefined || coming === undefined) return undefined
  const { target, other } = coming
  const isHere = plugged.some((end) => toAttachmentKey(end) === toAttachmentKey(other))
  const isAlone = wire.ends.every(({ address }: EndClaim) => address !== target.address)
  if (!isHere || !isAlone || target.node === node) return undefined
  const { containerID, ifname, address } = target
  return { containerID, ifname, address, vni: wire.vni }
}

/** A name for whom is waited for: it tells one target from the next, of the same node and wire. */
export function toGuestName({ containerID, ifname }: AttachmentId): string {
  return toHostEndName(containerID, ifname)
}
