// What a node's kernel has of one wire: its host ends and pod ends, where their redirects lead, the
// tunnel, and whether the far end's datagrams are let in. Read by kernel/inspect.ts, from iproute2's JSON.
import { isRecord } from './record.ts'
import { DecodeError } from './errors.ts'
import type { AttachmentId } from './wire.ts'

export interface FrameCount {
  readonly frames: number
  readonly bytes: number
  /** Dropped, and not understood. */
  readonly dropped: number
}

/** Everything that comes in at a device goes out at the target; "*" is a target that is gone. */
export interface Redirect {
  readonly target: string
  readonly frames: number
  readonly dropped: number
}

export interface Vxlan {
  readonly vni: number
  readonly local: string
  readonly remote: string
  readonly port: number
}

export interface Device {
  readonly name: string
  readonly isUp: boolean
  readonly hasCarrier: boolean
  readonly mac: string
  readonly mtuBytes: number
  readonly received: FrameCount
  readonly sent: FrameCount
  readonly redirect: Redirect | null
  /** Of a tunnel only. */
  readonly vxlan: Vxlan | null
}

export interface EndInspection extends AttachmentId {
  /** Path of the pod's network namespace, from the agent's own document of the attachment. */
  readonly netns: string | null
  /** Null where the device is not there, or its namespace cannot be looked into. */
  readonly hostEnd: Device | null
  readonly podEnd: Device | null
  /** A VM's tap, joined to the pod end. */
  readonly tap: Device | null
}

export interface WireInspection {
  readonly ends: readonly EndInspection[]
  readonly tunnel: Device | null
  /** Whether the node lets in what the tunnel's remote sends; null without a tunnel. */
  readonly isRemoteAllowed: boolean | null
}

/** The keys we read of `ip -s -d -j link`. */
interface IpLink {
  readonly ifname?: string
  readonly address?: string
  readonly mtu?: number
  readonly flags?: readonly string[]
  readonly linkinfo?: IpLinkInfo
  readonly stats64?: { readonly rx?: IpCount; readonly tx?: IpCount }
}

/** What kind of device it is, of `ip -d -j link`. */
export interface IpLinkInfo {
  readonly info_kind?: string
  readonly info_data?: IpVxlan
}

interface IpVxlan {
  readonly id?: number
  readonly local?: string
  readonly local6?: string
  readonly remote?: string
  readonly remote6?: string
  readonly port?: number
}

interface IpCount {
  readonly bytes?: number
  readonly packets?: number
  readonly errors?: number
  readonly dropped?: number
}

/** One device, from `ip -s -d -j link show dev X` and `tc -s -j filter show dev X ingress`. Throws DecodeError. */
export function parseDevice(linkJson: string, filterJson: string): Device {
  const [link] = parseList(linkJson, 'ip -j link') as readonly IpLink[]
  if (link?.ifname === undefined) throw new DecodeError('ip -j link', linkJson, 'a link')
  return {
    name: link.ifname,
    isUp: link.flags?.includes('UP') ?? false,
    hasCarrier: link.flags?.includes('LOWER_UP') ?? false,
    mac: link.address ?? '',
    mtuBytes: link.mtu ?? 0,
    received: toCount(link.stats64?.rx),
    sent: toCount(link.stats64?.tx),
    redirect: parseRedirect(filterJson),
    vxlan: toVxlan(link.linkinfo),
  }
}

/** Null of what is no tunnel. */
export function toVxlan(info: IpLinkInfo | undefined): Vxlan | null {
  if (info?.info_kind !== 'vxlan' || info.info_data === undefined) return null
  const { id, local, local6, remote, remote6, port } = info.info_data
  return {
    vni: id ?? 0,
    local: local ?? local6 ?? '',
    remote: remote ?? remote6 ?? '',
    port: port ?? 0,
  }
}

function toCount(count: IpCount | undefined): FrameCount {
  return {
    frames: count?.packets ?? 0,
    bytes: count?.bytes ?? 0,
    dropped: (count?.dropped ?? 0) + (count?.errors ?? 0),
  }
}

/** The keys we read of `tc -s -j filter`. */
interface TcFilter {
  readonly options?: { readonly actions?: readonly TcAction[] }
}

interface TcAction {
  readonly to_dev?: string
  readonly stats?: {
    readonly packets?: number
    readonly drops?: number
    readonly overlimits?: number
  }
}

function parseRedirect(json: string): Redirect | null {
  const filters = parseList(json, 'tc -j filter') as readonly TcFilter[]
  const actions = filters.flatMap(({ options }) => options?.actions ?? [])
  // Of several the last takes what picks before it have left (core/plan-lease.ts).
  const action = actions.findLast(({ to_dev: target }) => target !== undefined)
  if (action?.to_dev === undefined) return null
  // act_mirred counts what a missing or unplugged target cost as "overlimits".
  const { packets = 0, drops = 0, overlimits = 0 } = action.stats ?? {}
  return { target: action.to_dev, frames: packets, dropped: drops + overlimits }
}

/** The list that iproute2 prints; it prints nothing at all where there is nothing. Throws DecodeError. */
export function parseList(json: string, path: string): readonly unknown[] {
  const value: unknown = json.trim() === '' ? [] : JSON.parse(json)
  if (Array.isArray(value)) return value
  throw new DecodeError(path, value, 'a list')
}

/** What another node's kubectl-l2wire printed. Throws DecodeError. */
export function decodeInspection(json: string, path: string): WireInspection {
  let value: unknown
  try {
    value = JSON.parse(json)
  } catch (cause) {
    throw new DecodeError(path, json, 'an inspection as JSON', { cause })
  }
  if (isRecord(value) && Array.isArray(value['ends']) && value['ends'].every(isRecord))
    return value as unknown as WireInspection
  throw new DecodeError(path, value, 'an inspection with its ends')
}
