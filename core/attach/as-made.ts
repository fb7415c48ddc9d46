// What only a new start of a VM gives its tap, and whether an event of the kernel is about what an ADD has set.
import type { TapAttachment } from './attachment.ts'
import type { LinkEvent } from '../observe/kernel-event.ts'
import type { Observation } from '../observe/observation.ts'
import { isMacvtap } from './macvtap-steps.ts'

/** In words, why QEMU cannot open a tap that is there. */
export function findWrongQueues(
  attachment: TapAttachment,
  { links }: Pick<Observation, 'links'>,
): string | undefined {
  const { tap, isMultiQueue: wanted = false } = attachment
  const found = links.get(tap)?.isMultiQueue
  if (isMacvtap(attachment) || found === undefined || found === wanted) return undefined
  return `its multi_queue is ${found}, expected ${wanted}: QEMU opens no other`
}

function listWidths(attachment: TapAttachment): readonly (readonly [string, number])[] {
  const { tap, mtuBytes, podLink, podLinkMtuBytes } = attachment
  return [
    [tap, mtuBytes],
    ...(podLinkMtuBytes === undefined ? [] : [[podLink, podLinkMtuBytes] as const]),
  ]
}

// What a cable's pod link is like is ours to say.
function listSilentLinks(attachment: TapAttachment): readonly string[] {
  const { tap, podLink, podLinkMtuBytes } = attachment
  return podLinkMtuBytes === undefined ? [tap] : [tap, podLink]
}

/** Whether an event is of another device, or says nothing but that the device is as it should be. */
export function isAsMade(attachment: TapAttachment, event: LinkEvent): boolean {
  const { tap, podLink } = attachment
  const { name, isDeleted, isUp } = event
  if (name !== tap && name !== podLink) return true
  const wanted = new Map(listWidths(attachment)).get(name)
  return (
    !isDeleted &&
    isUp &&
    (wanted === undefined || event.mtuBytes === wanted) &&
    (event.isSilent || !listSilentLinks(attachment).includes(name))
  )
}
