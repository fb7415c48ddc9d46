// A VM's attachment to a pod link, as steps: what QEMU opens, joined to the link inside the launcher's
// namespace. Pure. Silent before up, mute before joined.
import type { TapAttachment } from './attachment.ts'
import { isOurAlias, renderAlias } from './domain/tap-alias.ts'
import type { FilterPlace } from './filter.ts'
import { countPicks, planQuestions, planServer, planUnserve, TAP_SIDE } from './plan-lease.ts'
import { QEMU_ID } from './macvtap.ts'
import { toServerNames } from './name.ts'
import type { PodLink } from './pod-link.ts'
import type { Step } from './step.ts'

export function isOurTap({ alias }: Pick<PodLink, 'alias'>): boolean {
  return isOurAlias(alias)
}

/** Until the agent marks it for the sidecar. */
export function toTapAlias({ attach, podLink }: TapAttachment): string {
  return renderAlias(attach ?? 'tap', podLink)
}

export interface TapFacts {
  /** What the pod link is set to where it is an end of our wire; another CNI's link keeps its MTU. */
  readonly maxFrameBytes?: number | undefined
  /** Names of the links that are in the namespace: what is there is kept. */
  readonly there: ReadonlySet<string>
  /** The pod link shares a device with others (macvlan, ipvlan): it hears what it asked for alone. */
  readonly isShared?: boolean
}

/** Joins a tap to its pod link inside the launcher's namespace. */
export function planTap(attachment: TapAttachment, facts: TapFacts): readonly Step[] {
  const netns = attachment.netns.path
  const { tap, podLink, mtuBytes, lease, isMuted } = attachment
  const { maxFrameBytes, there, isShared } = facts
  const width = maxFrameBytes === undefined ? {} : { mtuBytes: maxFrameBytes }
  return [
    // From here on the pod's stack says nothing, whatever becomes of the rest.
    ...(isMuted ? [{ op: 'mute', netns, dev: podLink } as const] : []),
    ...(there.has(tap)
      ? []
      : [
          {
            op: 'add-tap',
            netns,
            dev: tap,
            owner: QEMU_ID,
            isMultiQueue: attachment.isMultiQueue === true,
          } as const,
        ]),
    {
      op: 'set-link',
      netns,
      dev: tap,
      mtuBytes,
      isSilent: true,
      ...(there.has(tap) ? {} : { alias: toTapAlias(attachment) }),
    },
    {
      op: 'set-link',
      netns,
      dev: podLink,
      // A mute link stays as its CNI plugin made it, which may look again.
      ...(isMuted ? {} : { isSilent: true }),
      // The guest's multicast groups are known to nobody but the guest.
      ...(isShared ? { hearsAll: true } : {}),
      ...width,
    },
    ...(isMuted ? [{ op: 'let-through', netns, dev: podLink, source: tap } as const] : []),
    // A node whose default is fq_codel would let one flow overtake another.
    { op: 'del-queue', netns, dev: tap },
    ...(lease === undefined
      ? []
      : [
          ...planServer(attachment, lease, TAP_SIDE, there.has(toServerNames(tap).server)),
          ...planQuestions(attachment, lease, TAP_SIDE),
        ]),
    {
      op: 'add-redirect',
      netns,
      dev: tap,
      target: podLink,
      ...(lease === undefined ? {} : { isBehindPicks: true }),
    },
    { op: 'add-redirect', netns, dev: podLink, target: tap },
    { op: 'set-link', netns, dev: tap, up: true },
    { op: 'set-link', netns, dev: podLink, up: true },
  ]
}

/** Where the tap's and the pod link's redirects lead once they are joined, in order. */
export function listTargets(attachment: TapAttachment): readonly (readonly [string, string[]])[] {
  const { tap, podLink, lease } = attachment
  const { peer } = toServerNames(tap)
  const picks = Array<string>(lease === undefined ? 0 : countPicks(lease)).fill(peer)
  return [
    [tap, [...picks, podLink]],
    [podLink, [tap]],
  ]
}

/** Where an attachment has filters. */
export function listHooks({
  tap,
  podLink,
  attach,
  lease,
  isMuted,
}: TapAttachment): readonly FilterPlace[] {
  return [
    { dev: podLink, hook: 'ingress' },
    ...(isMuted ? [{ dev: podLink, hook: 'egress' } as const] : []),
    { dev: tap, hook: attach === 'macvtap' ? 'egress' : 'ingress' },
    ...(lease === undefined ? [] : [{ dev: toServerNames(tap).peer, hook: 'ingress' } as const]),
  ]
}

/** Takes a tap away. The pod link stays silent: its launcher is going away with it. */
export function planUntap(attachment: TapAttachment): readonly Step[] {
  const netns = attachment.netns.path
  return [
    { op: 'del-redirect', netns, dev: attachment.podLink },
    { op: 'del-link', netns, dev: attachment.tap },
    ...(attachment.lease === undefined ? [] : planUnserve(attachment)),
  ]
}
