// Reads and writes the classic pcap file format (draft-ietf-opsawg-pcap), which tcpdump and tcpreplay share.
// Timestamps have no meaning here: written ones are evenly spaced, read ones are dropped.
import { DecodeError } from '../errors.ts'

const MAGIC_MICROSECONDS = 0xa1b2c3d4
const MAGIC_NANOSECONDS = 0xa1b23c4d
const FILE_HEADER_BYTES = 24
const RECORD_HEADER_BYTES = 16
const LINKTYPE_ETHERNET = 1
/** tcpdump's own largest snapshot; a record that claims more is a damaged file. */
const SNAPLEN = 262_144

/** A little-endian file with microsecond stamps, the frames in the order given. */
export function encodePcap(frames: readonly Uint8Array[]): Uint8Array {
  const size = frames.reduce((sum, frame) => sum + RECORD_HEADER_BYTES + frame.length, 0)
  const bytes = new Uint8Array(FILE_HEADER_BYTES + size)
  const view = new DataView(bytes.buffer)
  view.setUint32(0, MAGIC_MICROSECONDS, true)
  view.setUint16(4, 2, true)
  view.setUint16(6, 4, true)
  view.setUint32(16, SNAPLEN, true)
  view.setUint32(20, LINKTYPE_ETHERNET, true)
  let offset = FILE_HEADER_BYTES
  for (const [index, frame] of frames.entries()) {
    if (frame.length > SNAPLEN) {
      throw new DecodeError(`frames[${index}].length`, frame.length, `at most ${SNAPLEN}`)
    }
    // Readers that replay by time need stamps that never decrease.
    view.setUint32(offset, Math.floor(index / 1_000_000), true)
    view.setUint32(offset + 4, index % 1_000_000, true)
    view.setUint32(offset + 8, frame.length, true)
    view.setUint32(offset + 12, frame.length, true)
    bytes.set(frame, offset + RECORD_HEADER_BYTES)
    offset += RECORD_HEADER_BYTES + frame.length
  }
  return bytes
}

/**
 * The frames of an Ethernet capture, of either byte order and resolution. A record that snaplen cut short is an
 * error.
 */
export function decodePcap(bytes: Uint8Array): Uint8Array[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  if (bytes.length < FILE_HEADER_BYTES) {
    throw new DecodeError('pcap', `${bytes.length} bytes`, `at least ${FILE_HEADER_BYTES} bytes`)
  }
  const littleEndian = isLittleEndian(view)
  // The upper 16 bits hold FCS length and flags.
  const linkType = view.getUint32(20, littleEndian) & 0xffff
  if (linkType !== LINKTYPE_ETHERNET) {
    throw new DecodeError('pcap.linktype', linkType, `${LINKTYPE_ETHERNET} (Ethernet)`)
  }
  const frames: Uint8Array[] = []
  let offset = FILE_HEADER_BYTES
  while (offset < bytes.length) {
    const path = `pcap.records[${frames.length}]`
    const left = bytes.length - offset
    if (left < RECORD_HEADER_BYTES) {
      throw new DecodeError(path, `${left} bytes`, `a header of ${RECORD_HEADER_BYTES} bytes`)
    }
    const captured = view.getUint32(offset + 8, littleEndian)
    const original = view.getUint32(offset + 12, littleEndian)
    if (captured !== original) {
      throw new DecodeError(path, `${captured} bytes`, `the whole frame of ${original} bytes`)
    }
    if (captured > left - RECORD_HEADER_BYTES) {
      throw new DecodeError(path, `${left - RECORD_HEADER_BYTES} bytes`, `${captured} bytes`)
    }
    const start = offset + RECORD_HEADER_BYTES
    frames.push(bytes.slice(start, start + captured))
    offset = start + captured
  }
  return frames
}

function isLittleEndian(view: DataView): boolean {
  for (const littleEndian of [true, false]) {
    const magic = view.getUint32(0, littleEndian)
    if (magic === MAGIC_MICROSECONDS || magic === MAGIC_NANOSECONDS) return littleEndian
  }
  throw new DecodeError('pcap.magic', view.getUint32(0, false).toString(16), 'a1b2c3d4 or a1b23c4d')
}
