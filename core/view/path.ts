// A wire drawn as text, from holder to holder through every device, broken where the kernel says so.
import type { Device } from '../observe/inspection.ts'
import { toHostEndName, toTunnelDeviceName } from '../name.ts'
import { toPrintable } from '../printable.ts'
import { describeEnd, toWireKey, type EndClaim } from '../wire/wire.ts'
import {
  findEndLook,
  findLook,
  findTarget,
  isFarEndUp,
  leadsTo,
  type WireFacts,
} from '../wire/facts.ts'

const VETH = '──'
const JOINED = '══'
const BROKEN = '═╳═'
/** The node could not be looked at. */
const UNSEEN = '═?═'

/** Lines; a wire on one node is one, each node of a wire across nodes has its own. */
export function drawPath(facts: WireFacts): readonly string[] {
  const { wire } = facts
  const [a, b] = wire.ends
  if (a === undefined) return ['nobody is plugged in']
  if (wire.isUnplugged)
    return wire.ends.map(
      (end) => `${drawEnd(facts, end).join(' ')} ─ ─ the cable is out   (${end.node})`,
    )
  const near = drawEnd(facts, a)
  if (b === undefined) return [`${near.join(' ')} ─╳ nobody at the other end   (${a.node})`]
  const far = drawEnd(facts, b)
  if (a.node === b.node)
    return [[...near, drawJoint(facts, a, b), ...far.toReversed()].join(' ') + `   (${a.node})`]
  return drawAcross(facts, [a, b], [near, far])
}

// From the holder outwards, the host end last.
function drawEnd(facts: WireFacts, end: EndClaim): readonly string[] {
  const look = findEndLook(facts, end)
  const hostEnd = toHostEndName(end.containerID, end.ifname)
  const isThere = look === undefined || look.hostEnd !== null
  const host = isThere ? [VETH, hostEnd] : ['─╳─', `(${hostEnd} is gone)`]
  const tap = look?.tap ?? null
  if (look === undefined || tap === null) return [toPrintable(describeEnd(end)), ...host]
  const leadsOut = leadsTo(tap, end.ifname) || tap.below === end.ifname
  const joint = leadsOut && leadsTo(look.podEnd, tap.name) ? JOINED : BROKEN
  return [end.holder, VETH, tap.name, joint, end.ifname, ...host].map(toPrintable)
}

function drawJoint(facts: WireFacts, a: EndClaim, b: EndClaim): string {
  const [look, farLook] = [findEndLook(facts, a), findEndLook(facts, b)]
  if (look === undefined || farLook === undefined) return UNSEEN
  const isJoined = isEndJoined(facts, a, look.hostEnd) && isEndJoined(facts, b, farLook.hostEnd)
  return isJoined ? JOINED : BROKEN
}

function drawAcross(
  facts: WireFacts,
  ends: readonly [EndClaim, EndClaim],
  drawn: readonly [readonly string[], readonly string[]],
): readonly string[] {
  const { wire } = facts
  const [upper, lower] = [0, 1].map((at) => {
    const end = ends[at] as EndClaim
    return [
      ...(drawn[at] ?? []),
      drawTunnelJoint(facts, end),
      toTunnelDeviceName(toWireKey(wire)),
    ].join(' ')
  }) as [string, string]
  const width = Math.max(upper.length, lower.length) + 2
  const turn = (line: string, corner: string, end: EndClaim): string =>
    `${line} ${''.padEnd(width - line.length - 1, '─')}${corner}  ${end.node}, ${end.address}`
  const vni = wire.vni === undefined ? 'no VNI yet' : `VNI ${wire.vni}`
  const port = findPort(facts, ends)
  return [
    turn(upper, '┐', ends[0]),
    `${''.padEnd(width)}┆  ${vni}${port === undefined ? '' : `, UDP port ${port}`}`,
    turn(lower, '┘', ends[1]),
  ]
}

function drawTunnelJoint(facts: WireFacts, end: EndClaim): string {
  const look = findLook(facts, end.node)
  const endLook = findEndLook(facts, end)
  if (look === undefined || endLook === undefined) return UNSEEN
  const hostEnd = toHostEndName(end.containerID, end.ifname)
  const isJoined = isEndJoined(facts, end, endLook.hostEnd) && leadsTo(look.tunnel, hostEnd)
  return isJoined ? JOINED : BROKEN
}

// A host end is down while the far end's owner has that one down; the cable is in all the same.
function isEndJoined({ wire }: WireFacts, end: EndClaim, hostEnd: Device | null): boolean {
  const target = findTarget(wire, end) ?? ''
  return leadsTo(hostEnd, target) || (!isFarEndUp(wire, end) && hostEnd?.isUp === false)
}

function findPort(facts: WireFacts, ends: readonly EndClaim[]): number | undefined {
  for (const end of ends) {
    const port = findLook(facts, end.node)?.tunnel?.vxlan?.port
    if (port !== undefined) return port
  }
  return undefined
}
