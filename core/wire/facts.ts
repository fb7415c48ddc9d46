// All that can be found out about a wire, gathered for one look at it: its document, what the nodes'
// kernels have, who its holders are, what the cluster noted about them.
import type { Device, EndInspection, WireInspection } from '../observe/inspection.ts'
import { toHostEndName, toTunnelDeviceName } from '../name.ts'
import { toAttachmentKey, toWireKey, type EndClaim, type Wire } from './wire.ts'

/** One node's part, or why it could not be looked at. */
export interface NodeLook {
  readonly node: string
  readonly inspection: WireInspection | undefined
  readonly reason: string | undefined
}

/** An event of the cluster about a pod or a VM. */
export interface WireEvent {
  /** RFC 3339; empty where the cluster gives none. */
  readonly time: string
  readonly type: string
  readonly reason: string
  /** "Pod/h1". */
  readonly object: string
  readonly message: string
}

export interface WireFacts {
  readonly wire: Wire
  readonly looks: readonly NodeLook[]
  /** Names of the ends' pods that were looked up and are no more. */
  readonly gonePods: readonly string[]
  readonly events: readonly WireEvent[]
  /** What else could not be found out, a sentence each. */
  readonly unknown: readonly string[]
}

/** What events may be about, of a wire: pods and VMs of its ends and standbys, "Pod/h1". */
export function listObjects(wire: Wire): readonly string[] {
  const all = [...wire.ends, ...wire.standbys].flatMap(({ holder, pod }) => {
    const [kind, name = ''] = holder.split('/')
    return [
      ...(pod === undefined ? [] : [`Pod/${pod}`]),
      ...(kind === 'pod' ? [`Pod/${name}`] : []),
      ...(kind === 'vm' ? [`VirtualMachineInstance/${name}`, `VirtualMachine/${name}`] : []),
    ]
  })
  return [...new Set(all)]
}

/** Where a host end's redirect must lead: to the other host end here, or into the tunnel; undefined for an end alone. */
export function findTarget(wire: Wire, end: EndClaim): string | undefined {
  const far = wire.ends.find((one) => toAttachmentKey(one) !== toAttachmentKey(end))
  if (far === undefined) return undefined
  return far.node === end.node
    ? toHostEndName(far.containerID, far.ifname)
    : toTunnelDeviceName(toWireKey(wire))
}

/** Whether the far end's owner has it up: else this end has no carrier, as on a real cable. */
export function isFarEndUp(wire: Wire, end: EndClaim): boolean {
  return wire.ends.every((one) => toAttachmentKey(one) === toAttachmentKey(end) || one.isUp)
}

export function findLook(facts: WireFacts, node: string): WireInspection | undefined {
  return facts.looks.find((look) => look.node === node)?.inspection
}

/** An end as its node's kernel has it; undefined where nobody could look. */
export function findEndLook(facts: WireFacts, end: EndClaim): EndInspection | undefined {
  return findLook(facts, end.node)?.ends.find(
    (one) => toAttachmentKey(one) === toAttachmentKey(end),
  )
}

/** Whether what comes in at the device goes on to the target. */
export function leadsTo(device: Device | null, target: string): boolean {
  return device !== null && device.isUp && device.redirect?.target === target
}
