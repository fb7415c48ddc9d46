// Offloads: work that a kernel leaves to a device, and a veth to nobody. Its other end is handed 64 KB of TCP
// as one frame, without a checksum; a reader that is not this kernel's own stack takes that for what it is.

/** As `ethtool -K` takes them: what is sent through the device is cut to size and summed up before. */
export const NO_OFFLOAD = 'tx off tso off gso off tx-udp-segmentation off tx-sctp-segmentation off'

/** As `ethtool -k` shows them: the first and the second stand for several each. */
const SHOWN = [
  'tx-checksumming',
  'tcp-segmentation-offload',
  'generic-segmentation-offload',
  'tx-udp-segmentation',
  'tx-sctp-segmentation',
]
const IS_ON = new RegExp(`^\\t*(${SHOWN.join('|')}): on\\b`, 'm')

/** Whether each device leaves work, from what `ethtool -k` says of one after the other. */
export function parseOffloads(output: string): ReadonlyMap<string, boolean> {
  const sections = output.split(/^Features for /m).slice(1)
  return new Map(
    sections.map((section) => [section.slice(0, section.indexOf(':\n')), IS_ON.test(section)]),
  )
}
