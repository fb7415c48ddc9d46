// A VM's attachment to a pod link, as steps: what QEMU opens, joined to the link inside the launcher's
// namespace. Pure: core/steps/diff.ts says which of them are left to be done. Mute before joined, silent before up.
import type { TapAttachment } from './attachment.ts'
import { isOurAlias, renderAlias } from '../domain/tap-alias.ts'
import type { FilterPlace } from '../steps/filter.ts'
import { planUnserve, TAP_SIDE, wantQuestions, wantServer } from '../podnetwork/plan.ts'
import { QEMU_ID } from './macvtap.ts'
import { toServerNames } from '../name.ts'
import type { ObservedLink } from '../observe/links.ts'
import type { SetLinkStep, Step } from '../steps/step.ts'

export function isOurTap({ alias }: Pick<ObservedLink, 'alias'>): boolean {
  return isOurAlias(alias)
}

export function toTapAlias({ attach, podLink }: TapAttachment): string {
  return renderAlias(attach ?? 'tap', podLink)
}

/**
 * A tap joined to its pod link inside the launcher's namespace: all of it, in order, whatever is there. One whose
 * frames are let through keeps sending while its pod link becomes mute.
 */
export function wantTap(attachment: TapAttachment): readonly Step[] {
  const netns = attachment.netns.path
  const { tap, podLink, mtuBytes, lease: vmNetwork, isMultiQueue = false, isMuted } = attachment
  return [
    { op: 'add-tap', netns, dev: tap, owner: QEMU_ID, isMultiQueue },
    ...(vmNetwork === undefined ? [] : wantServer(attachment, vmNetwork, TAP_SIDE)),
    ...(isMuted ? wantMute(attachment) : []),
    // A node whose default is fq_codel would let one flow overtake another.
    { op: 'del-queue', netns, dev: tap },
    ...(vmNetwork === undefined ? [] : wantQuestions(attachment, vmNetwork, TAP_SIDE)),
    {
      op: 'add-redirect',
      netns,
      dev: tap,
      target: podLink,
      ...(vmNetwork === undefined ? {} : { isBehindSteering: true }),
    },
    { op: 'add-redirect', netns, dev: podLink, target: tap },
    { op: 'set-link', netns, dev: tap, mtuBytes, isSilent: true, ...wantAlias(attachment) },
    // The guest's multicast groups are known to nobody but the guest.
    { ...wantPodLink(attachment), hearsAll: true },
    { op: 'set-link', netns, dev: tap, up: true },
    { op: 'set-link', netns, dev: podLink, up: true },
  ]
}

/** Nobody speaks through the pod link but the VM, whose frames are let through first. */
export function wantMute({ netns, podLink: dev, tap }: TapAttachment): readonly Step[] {
  return [
    { op: 'let-through', netns: netns.path, dev, source: tap },
    { op: 'drop-egress', netns: netns.path, dev },
  ]
}

/** What agents to 0.3.0 made, and nobody has muted since, keeps their words: sidecars of theirs may read them. */
export function wantAlias(attachment: TapAttachment): Pick<SetLinkStep, 'alias'> {
  return attachment.isMuted ? { alias: toTapAlias(attachment) } : {}
}

/** What a pod link is set to: a cable's own. Another's stays as its CNI plugin made it, which may look again. */
export function wantPodLink(attachment: TapAttachment): SetLinkStep {
  const { netns, podLink, podLinkMtuBytes: mtuBytes, isMuted } = attachment
  const step = { op: 'set-link', netns: netns.path, dev: podLink } as const
  if (mtuBytes !== undefined) return { ...step, isSilent: true, mtuBytes }
  return isMuted ? step : { ...step, isSilent: true }
}

/** Where an attachment has filters. */
export function listHooks({
  tap,
  podLink,
  attach,
  lease: vmNetwork,
  isMuted,
}: TapAttachment): readonly FilterPlace[] {
  return [
    { dev: podLink, hook: 'ingress' },
    ...(isMuted ? [{ dev: podLink, hook: 'egress' } as const] : []),
    { dev: tap, hook: attach === 'macvtap' ? 'egress' : 'ingress' },
    ...(vmNetwork === undefined
      ? []
      : [{ dev: toServerNames(tap).peer, hook: 'ingress' } as const]),
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
