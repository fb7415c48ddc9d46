// A wire and what is known of it, whole and in order: tests change what they are about.
import type { Device, EndInspection, WireInspection } from '../../../core/observe/inspection.ts'
import { toHostEndName, toTunnelDeviceName } from '../../../core/name.ts'
import { toAttachmentKey, type EndClaim, type Wire } from '../../../core/wire/wire.ts'
import type { NodeLook, WireFacts } from '../../../core/wire/facts.ts'

export const WIRE_KEY = 'lab/r1-h1'
export const TUNNEL = toTunnelDeviceName(WIRE_KEY)

export function newClaim(at: 1 | 2, more: Partial<EndClaim> = {}): EndClaim {
  return {
    holder: `pod/h${at}`,
    ifname: 'eth1',
    containerID: `c${at}`,
    node: `n${at}`,
    address: `192.0.2.${at}`,
    mtuBytes: 1450,
    pod: `h${at}`,
    isUp: true,
    ...more,
  }
}

export function toHost(end: EndClaim): string {
  return toHostEndName(end.containerID, end.ifname)
}

export function newDevice(name: string, target?: string, more: Partial<Device> = {}): Device {
  return {
    name,
    isUp: true,
    hasCarrier: true,
    mac: '02:00:00:00:00:01',
    mtuBytes: 9216,
    received: { frames: 12, bytes: 1200, dropped: 0 },
    sent: { frames: 7, bytes: 700, dropped: 0 },
    redirect: target === undefined ? null : { target, frames: 12, dropped: 3 },
    vxlan: null,
    ...more,
  }
}

export function newEndLook(end: EndClaim, target: string | undefined): EndInspection {
  return {
    containerID: end.containerID,
    ifname: end.ifname,
    netns: `/run/netns/${end.containerID}`,
    hostEnd: newDevice(toHost(end), target),
    podEnd: newDevice(end.ifname),
    tap: null,
    offload: true,
  }
}

/** Facts of a wire as it should be: on one node where both claims name the same, else across two. */
export function newFacts(ends: readonly EndClaim[], more: Partial<WireFacts> = {}): WireFacts {
  const nodes = [...new Set(ends.map(({ node }) => node))].sort()
  const isAcross = nodes.length > 1
  const keys = ends.map(toAttachmentKey).sort()
  const wire: Wire = {
    namespace: 'lab',
    name: 'r1-h1',
    ends,
    isUnplugged: false,
    standbys: [],
    displaced: [],
    vni: isAcross ? 4096 : undefined,
    tunnelNodes: isAcross ? nodes : [],
    reports: nodes.map((node) => ({ node, state: 'joined', ends: keys })),
  }
  return {
    wire,
    looks: nodes.map((node): NodeLook => ({
      node,
      inspection: look(ends, node),
      reason: undefined,
    })),
    gonePods: [],
    events: [],
    unknown: [],
    ...more,
  }
}

function look(ends: readonly EndClaim[], node: string): WireInspection {
  const [own] = ends.filter((end) => end.node === node)
  const [far] = ends.filter((end) => end.node !== node)
  const isAcross = own !== undefined && far !== undefined
  const partner = (end: EndClaim): string | undefined => {
    const other = ends.find((one) => one !== end)
    if (other === undefined) return undefined
    return other.node === end.node ? toHost(other) : TUNNEL
  }
  return {
    node,
    ends: ends.filter((end) => end.node === node).map((end) => newEndLook(end, partner(end))),
    tunnel: isAcross
      ? newDevice(TUNNEL, toHost(own), {
          vxlan: { vni: 4096, local: own.address, remote: far.address, port: 14789 },
        })
      : null,
    findings: [],
    unseen: [],
  }
}

/** The same facts with one node's inspection changed. */
export function changeLook(
  facts: WireFacts,
  node: string,
  change: (inspection: WireInspection) => WireInspection,
): WireFacts {
  const looks = facts.looks.map((one) =>
    one.node === node && one.inspection !== undefined
      ? { ...one, inspection: change(one.inspection) }
      : one,
  )
  return { ...facts, looks }
}

/** The same inspection with its first end's devices changed. */
export function changeEnd(
  inspection: WireInspection,
  more: Partial<EndInspection>,
): WireInspection {
  const [first, ...others] = inspection.ends
  return first === undefined
    ? inspection
    : { ...inspection, ends: [{ ...first, ...more }, ...others] }
}
