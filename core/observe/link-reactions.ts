// What an event of a link is a reason for, as a value and its changes. Events are hints, and a pod can forge
// them: each leads to a look at what is there, or to nothing. Pure.
import type { LinkEvent } from './kernel-event.ts'

/** What was heard so far. */
export interface HeardLinks {
  /** By the kernel's number: what a pod's side of a veth names its other end by. */
  readonly hostEnds: ReadonlyMap<number, string>
  /** Host ends whose pod end says other than what is known of it, and is waited for. */
  readonly unsettled: ReadonlySet<string>
}

export const NOTHING_HEARD: HeardLinks = { hostEnds: new Map(), unsettled: new Set() }

export type LinkReaction =
  /** Once it has settled the device is compared with what its wire's last reconcile wanted. */
  | { readonly do: 'compare'; readonly dev: string }
  /** What is known of the device's redirects and tunnel is out of date, */
  | { readonly do: 'forget-device'; readonly dev: string }
  /** or of its pod end's state. */
  | { readonly do: 'forget-pod-end'; readonly dev: string }
  /** At once, or once it has settled. */
  | { readonly do: 'reconcile'; readonly dev: string; readonly isSettled: boolean }
  /** Once it has settled, what was heard of its pod end counts. */
  | { readonly do: 'settle'; readonly dev: string }

export interface LinkFacts {
  /** Whether a device of this name belongs to a wire of ours. */
  readonly isOurs: (dev: string) => boolean
  /** Whether the pod end is up, as far as that is known. */
  readonly isPodEndUp: (hostEnd: string) => boolean | undefined
}

type Reaction = readonly [HeardLinks, readonly LinkReaction[]]

/** The kernel has the device under this number, or has none of this name. */
export function setIndex(heard: HeardLinks, dev: string, ifindex: number | undefined): HeardLinks {
  const { hostEnds } = heard
  const isKnown = ifindex === undefined || hostEnds.get(ifindex) === dev
  const isStale = [...hostEnds].some(([index, name]) => name === dev && index !== ifindex)
  if (isKnown && !isStale) return heard
  const others = [...hostEnds].filter(([, name]) => name !== dev)
  const mine = ifindex === undefined ? [] : [[ifindex, dev] as const]
  return { ...heard, hostEnds: new Map([...others, ...mine]) }
}

/** Of a device in our own namespace. */
export function reactToOurs(
  heard: HeardLinks,
  { name, ifindex, isDeleted }: LinkEvent,
  { isOurs }: LinkFacts,
): Reaction {
  const before = heard.hostEnds.get(ifindex)
  // Renamed: it is missed under its old name.
  const missed =
    before === undefined || before === name ? [] : [{ do: 'compare', dev: before } as const]
  if (!isOurs(name)) return [heard, missed]
  const compare = { do: 'compare', dev: name } as const
  if (isDeleted)
    return [
      heard,
      [...missed, { do: 'forget-pod-end', dev: name }, { do: 'forget-device', dev: name }, compare],
    ]
  const hostEnds =
    before === undefined ? new Map([...heard.hostEnds, [ifindex, name]]) : heard.hostEnds
  return [{ ...heard, hostEnds }, [...missed, compare]]
}

/** Of a device in another namespace. */
export function reactToPods(
  heard: HeardLinks,
  { peer, isUp, isDeleted }: LinkEvent,
  { isPodEndUp }: LinkFacts,
): Reaction {
  const dev = peer === undefined ? undefined : heard.hostEnds.get(peer.ifindex)
  if (dev === undefined) return [heard, []]
  const wasUp = isPodEndUp(dev)
  if (isDeleted || wasUp === undefined)
    // What was read inside the pod, or is being read, is out of date.
    return [
      removeUnsettled(heard, dev),
      [
        { do: 'forget-pod-end', dev },
        { do: 'reconcile', dev, isSettled: false },
      ],
    ]
  if (wasUp === isUp || heard.unsettled.has(dev)) return [heard, []]
  return [{ ...heard, unsettled: new Set([...heard.unsettled, dev]) }, [{ do: 'settle', dev }]]
}

/** The time in which a pod end may be set back is over: by now it may be as before, so it is read. */
export function reactToSettled(heard: HeardLinks, dev: string): Reaction {
  if (!heard.unsettled.has(dev)) return [heard, []]
  return [
    removeUnsettled(heard, dev),
    [
      { do: 'forget-pod-end', dev },
      { do: 'reconcile', dev, isSettled: true },
    ],
  ]
}

function removeUnsettled(heard: HeardLinks, dev: string): HeardLinks {
  const unsettled = new Set(heard.unsettled)
  unsettled.delete(dev)
  return { ...heard, unsettled }
}
