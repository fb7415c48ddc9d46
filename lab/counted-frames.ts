// A stream of numbered frames, so that each missing one shows.
import { concatBytes, fromHex } from '../core/tester/bytes.ts'

const HEADER = fromHex('02000000000b 02000000000a 88b5')
const PADDING = new Uint8Array(44)

/** Frames of 60 bytes, each different; 65,536 at most. */
export function newCountedFrames(count: number): readonly Uint8Array[] {
  return Array.from({ length: count }, (_, at) =>
    concatBytes(HEADER, Uint8Array.of(at >> 8, at & 0xff), PADDING),
  )
}
