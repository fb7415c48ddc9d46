// A VM's attachment to a pod link, as steps: what QEMU opens, joined to the link inside the launcher's
// namespace. Pure. Silent before up, mute before joined.
import type { TapAttachment } from './attachment.ts'
import type { Step } from './step.ts'

/** Uid and gid of QEMU in a virt-launcher pod. */
const QEMU_ID = 107

/**
 * Joins a tap to its pod link inside the launcher's namespace. maxFrameBytes is what the pod link is
 * set to where it is an end of our wire; another CNI's link keeps its MTU. A tap that is there is kept.
 */
export function planTap(
  attachment: TapAttachment,
  maxFrameBytes: number | undefined,
  isThere = false,
): readonly Step[] {
  const netns = attachment.netns.path
  const { tap, podLink, mtuBytes } = attachment
  return [
    ...(isThere
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
    { op: 'set-link', netns, dev: tap, mtuBytes, isSilent: true },
    {
      op: 'set-link',
      netns,
      dev: podLink,
      isSilent: true,
      ...(maxFrameBytes === undefined ? {} : { mtuBytes: maxFrameBytes }),
    },
    // A node whose default is fq_codel would let one flow overtake another.
    { op: 'del-queue', netns, dev: tap },
    { op: 'add-redirect', netns, dev: tap, target: podLink },
    { op: 'add-redirect', netns, dev: podLink, target: tap },
    { op: 'set-link', netns, dev: tap, up: true },
    { op: 'set-link', netns, dev: podLink, up: true },
  ]
}

/** Takes a tap away. The pod link stays silent: its launcher is going away with it. */
export function planUntap(attachment: TapAttachment): readonly Step[] {
  const netns = attachment.netns.path
  return [
    { op: 'del-redirect', netns, dev: attachment.podLink },
    { op: 'del-link', netns, dev: attachment.tap },
  ]
}
