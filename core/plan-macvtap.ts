// A VM's attachment to a pod link by macvtap, as steps. Passthru: the macvtap is the pod link's only user
// above it. What comes in is led to it before the kernel's own way there, which keeps pause frames to itself,
// puts fragments of IPv4 multicasts together, and delivers multicasts behind later frames: docs/macvtap.md.
// Pure. Silent before up, mute before made.
import type { TapAttachment } from './attachment.ts'
import { toBirthName } from './macvtap.ts'
import { toServerNames } from './name.ts'
import { countPicks, MACVTAP_SIDE, planQuestions, planServer, planUnserve } from './plan-lease.ts'
import { toTapAlias, type TapFacts } from './plan-tap.ts'
import type { Hook, Step } from './step.ts'

export interface MacvtapAttachment extends TapAttachment {
  readonly attach: 'macvtap'
  readonly index: number
}

export function isMacvtap(attachment: TapAttachment): attachment is MacvtapAttachment {
  return attachment.attach === 'macvtap' && attachment.index !== undefined
}

/** Makes the link, down, under the name by which its device number can be told from all others. */
export function planMacvtapBirth(attachment: MacvtapAttachment): readonly Step[] {
  const { netns, podLink, index, isMuted } = attachment
  const dev = toBirthName(attachment)
  return [
    ...(isMuted ? [{ op: 'mute', netns: netns.path, dev: podLink } as const] : []),
    { op: 'add-macvtap', netns: netns.path, dev, link: podLink, index },
  ]
}

/** The link under its own name, ready for QEMU. One that has its name is kept. */
export function planMacvtap(attachment: MacvtapAttachment, facts: TapFacts): readonly Step[] {
  const netns = attachment.netns.path
  const { tap, podLink, mtuBytes, isMuted } = attachment
  const { maxFrameBytes, there } = facts
  return [
    ...(there.has(tap)
      ? []
      : [{ op: 'rename-link', netns, dev: toBirthName(attachment), name: tap } as const]),
    {
      op: 'set-link',
      netns,
      dev: podLink,
      // A mute link stays as its CNI plugin made it, which may look again.
      ...(isMuted ? {} : { isSilent: true }),
      ...(maxFrameBytes === undefined ? {} : { mtuBytes: maxFrameBytes }),
    },
    // Promiscuous, or most of what is not to its own MAC is lost on its way in.
    {
      op: 'set-link',
      netns,
      dev: tap,
      mtuBytes,
      isSilent: true,
      isPromiscuous: true,
      ...(there.has(tap) ? {} : { alias: toTapAlias(attachment) }),
    },
    // It would get the node's default queueing discipline when it goes up, and a cable has none.
    { op: 'del-queue', netns, dev: tap },
    { op: 'add-redirect', netns, dev: podLink, target: tap, into: 'ingress' },
    ...(isMuted ? planWayOut(attachment, there) : []),
    { op: 'set-link', netns, dev: podLink, up: true },
    { op: 'set-link', netns, dev: tap, up: true },
  ]
}

// A macvtap sends through the pod link, and so does the pod's stack: what is redirected from one device to
// another says where it came from, which tells the VM's frames from the stack's on the mute pod link.
function planWayOut(attachment: MacvtapAttachment, there: ReadonlySet<string>): readonly Step[] {
  const netns = attachment.netns.path
  const { tap, podLink, lease } = attachment
  return [
    { op: 'mute', netns, dev: podLink },
    { op: 'let-through', netns, dev: podLink, source: tap },
    ...(lease === undefined
      ? []
      : [
          ...planServer(attachment, lease, MACVTAP_SIDE, there.has(toServerNames(tap).server)),
          ...planQuestions(attachment, lease, MACVTAP_SIDE),
        ]),
    {
      op: 'add-redirect',
      netns,
      dev: tap,
      target: podLink,
      hook: 'egress',
      ...(lease === undefined ? {} : { isBehindPicks: true }),
    },
  ]
}

export interface MacvtapTargets {
  readonly dev: string
  readonly hook: Hook
  readonly targets: readonly string[]
}

/** What is redirected, and where to, in order. */
export function listMacvtapTargets(attachment: TapAttachment): readonly MacvtapTargets[] {
  const { tap, podLink, lease, isMuted } = attachment
  const { peer } = toServerNames(tap)
  const picks = Array<string>(lease === undefined ? 0 : countPicks(lease)).fill(peer)
  return [
    { dev: podLink, hook: 'ingress', targets: [tap] },
    { dev: tap, hook: 'egress', targets: isMuted ? [...picks, podLink] : [] },
  ]
}

/** Takes it away, finished or not. */
export function planUnmacvtap(attachment: MacvtapAttachment): readonly Step[] {
  const netns = attachment.netns.path
  return [
    { op: 'del-redirect', netns, dev: attachment.podLink },
    { op: 'del-link', netns, dev: attachment.tap },
    { op: 'del-link', netns, dev: toBirthName(attachment) },
    ...(attachment.lease === undefined ? [] : planUnserve(attachment)),
  ]
}
