// A VM's attachment to a pod link by macvtap, as steps. Passthru: the macvtap is the pod link's only user
// above it. What comes in is led to it before the kernel's own way there, which keeps pause frames to itself,
// puts fragments of IPv4 multicasts together, and delivers multicasts behind later frames: docs/macvtap.md.
// Pure. Mute and silent before up.
import type { TapAttachment } from './attachment.ts'
import { toBirthName } from './macvtap.ts'

import { MACVTAP_SIDE, planUnserve, wantQuestions, wantServer } from '../podnetwork/plan.ts'
import { wantAlias, wantMute, wantPodLink, wantTap } from './tap.ts'
import type { Step } from '../steps/step.ts'

export interface MacvtapAttachment extends TapAttachment {
  readonly attach: 'macvtap'
  readonly index: number
}

export function isMacvtap(attachment: TapAttachment): attachment is MacvtapAttachment {
  return attachment.attach === 'macvtap' && attachment.index !== undefined
}

/** What a VM has in its launcher's namespace, by tap or by macvtap: all of it, in order, whatever is there. */
export function wantVmDevices(attachment: TapAttachment): readonly Step[] {
  return isMacvtap(attachment) ? wantMacvtap(attachment) : wantTap(attachment)
}

/**
 * Made down, under the name by which its device number can be told from all others, which is to be read before
 * the macvtap gets its own name.
 */
function wantMacvtap(attachment: MacvtapAttachment): readonly Step[] {
  const netns = attachment.netns.path
  const { tap, podLink, index, mtuBytes, isMuted } = attachment
  const birthName = toBirthName(attachment)
  return [
    { op: 'add-macvtap', netns, dev: birthName, link: podLink, index },
    { op: 'rename-link', netns, dev: birthName, name: tap },
    ...(isMuted ? wantWayOut(attachment) : []),
    // It would get the node's default queueing discipline when it goes up, and a cable has none.
    { op: 'del-queue', netns, dev: tap },
    { op: 'add-redirect', netns, dev: podLink, target: tap, into: 'ingress' },
    // Before the macvtap, which is no wider than what is below it.
    wantPodLink(attachment),
    // Promiscuous, or most of what is not to its own MAC is lost on its way in.
    {
      op: 'set-link',
      netns,
      dev: tap,
      mtuBytes,
      isSilent: true,
      isPromiscuous: true,
      ...wantAlias(attachment),
    },
    { op: 'set-link', netns, dev: podLink, up: true },
    { op: 'set-link', netns, dev: tap, up: true },
  ]
}

// A macvtap sends through the pod link, and so does the pod's stack: what is redirected from one device to
// another says where it came from, which tells the VM's frames from the stack's on the mute pod link.
function wantWayOut(attachment: MacvtapAttachment): readonly Step[] {
  const { tap, podLink, lease: vmNetwork, netns } = attachment
  return [
    ...(vmNetwork === undefined
      ? []
      : [
          ...wantServer(attachment, vmNetwork, MACVTAP_SIDE),
          ...wantQuestions(attachment, vmNetwork, MACVTAP_SIDE),
        ]),
    {
      op: 'add-redirect',
      netns: netns.path,
      dev: tap,
      target: podLink,
      hook: 'egress',
      ...(vmNetwork === undefined ? {} : { isBehindSteering: true }),
    },
    ...wantMute(attachment),
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
