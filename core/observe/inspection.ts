// What a node has of one wire: its host ends and pod ends, where their redirects lead, the tunnel, and what of it is
// other than it should be. Told by the node's agent.
import { decodeFinding, type Finding } from '../doctor/finding.ts'
import { DecodeError } from '../errors.ts'
import { each, flag, list, nullable, number, object, optional, text } from '../shape.ts'
import { decodeVxlan, toVxlan, type IpLinkInfo, type Vxlan } from './links.ts'
import { parseToolList } from './tool-json.ts'
import type { AttachmentId } from '../wire/wire.ts'

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
  /** Of a macvtap only: the device below it, which it sends through. An agent of before does not say. */
  readonly below?: string | null
}

export interface EndInspection extends AttachmentId {
  /** Path of the pod's network namespace, from the agent's own document of the attachment. */
  readonly netns: string | null
  /** Null where the device is not there, or its namespace cannot be looked into. */
  readonly hostEnd: Device | null
  readonly podEnd: Device | null
  /** A VM's tap, joined to the pod end. */
  readonly tap: Device | null
  /** Whether it takes unfinished frames, from the same document; an agent of before does not say. */
  readonly offload?: boolean | null
}

export interface WireInspection {
  readonly node: string
  readonly ends: readonly EndInspection[]
  readonly tunnel: Device | null
  readonly findings: readonly Finding[]
  /** What cannot be read, and why, a sentence each. */
  readonly unseen: readonly string[]
}

/** The keys we read of `ip -s -d -j link`. */
interface IpLink {
  readonly ifname?: string
  /** The device below. */
  readonly link?: string
  readonly address?: string
  readonly mtu?: number
  readonly flags?: readonly string[]
  readonly linkinfo?: IpLinkInfo
  readonly stats64?: { readonly rx?: IpCount; readonly tx?: IpCount }
}

interface IpCount {
  readonly bytes?: number
  readonly packets?: number
  readonly errors?: number
  readonly dropped?: number
}

/** One device, from `ip -s -d -j link show dev X` and `tc -s -j filter show dev X ingress`. Throws DecodeError. */
export function parseDevice(linkJson: string, filterJson: string): Device {
  const [link] = parseToolList(linkJson, 'ip -j link') as readonly IpLink[]
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
    vxlan: toVxlan(link.linkinfo ?? {}),
    below: link.linkinfo?.info_kind === 'macvtap' ? (link.link ?? null) : null,
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
  const filters = parseToolList(json, 'tc -j filter') as readonly TcFilter[]
  const actions = filters.flatMap(({ options }) => options?.actions ?? [])
  // Of several the last takes what no filter before it has steered away (core/podnetwork/plan.ts).
  const action = actions.findLast(({ to_dev: target }) => target !== undefined)
  if (action?.to_dev === undefined) return null
  // act_mirred counts what a missing or unplugged target cost as "overlimits".
  const { packets = 0, drops = 0, overlimits = 0 } = action.stats ?? {}
  return { target: action.to_dev, frames: packets, dropped: drops + overlimits }
}

const decodeCount = object<FrameCount>(each(number, 'frames', 'bytes', 'dropped'))

const decodeDevice = object<Device>({
  ...each(text, 'name', 'mac'),
  ...each(flag, 'isUp', 'hasCarrier'),
  mtuBytes: number,
  ...each(decodeCount, 'received', 'sent'),
  redirect: nullable(object<Redirect>({ target: text, ...each(number, 'frames', 'dropped') })),
  vxlan: nullable(decodeVxlan),
  below: optional(nullable(text)),
})

const decodeEnd = object<EndInspection>({
  ...each(text, 'containerID', 'ifname'),
  netns: nullable(text),
  ...each(nullable(decodeDevice), 'hostEnd', 'podEnd', 'tap'),
  offload: optional(nullable(flag)),
})

/** Throws DecodeError. */
export const decodeInspection = object<WireInspection>({
  node: text,
  ends: list(decodeEnd),
  tunnel: nullable(decodeDevice),
  findings: list(decodeFinding),
  unseen: list(text),
})
