// Frames that a kernel is to cut and sum up (virtio_net_hdr of linux/virtio_net.h), who sends them, and who reads
// what comes of them without knowing of that.
import { join } from 'node:path'

import { fromHex } from '../../core/tester/bytes.ts'
import { run } from '../../kernel/run.ts'
import { startDaemon } from '../../lab/daemon.ts'
import type { LabNetns } from '../../lab/netns.ts'
import { expectSoon } from '../expect-soon.ts'
import { sumWords } from './fixture-checksum.ts'

const SCRIPT = join(import.meta.dirname, 'unfinished.pl')
const SENDER = '020000000001'
const HEADER_BYTES = 10
const [NEEDS_CHECKSUM, NO_GSO] = ['01', '00']
const IP = {
  4: { type: '0800', hosts: 'c6336401c6336402' },
  6: { type: '86dd', hosts: `fd00${'0'.repeat(27)}1fd00${'0'.repeat(27)}2` },
} as const
const TRANSPORT = {
  tcp: { protocol: '06', bytes: 20, sumAt: 16, gso: { 4: '01', 6: '04' } },
  udp: { protocol: '11', bytes: 8, sumAt: 6, gso: { 4: '05', 6: '05' } },
} as const

export interface Kind {
  readonly name: string
  readonly ip: 4 | 6
  readonly transport: 'tcp' | 'udp'
  /** "81000005". */
  readonly tags: string
  /** How much of the payload is one frame's; undefined: it is one, to be summed up. */
  readonly segmentBytes: number | undefined
}

const toKind = (name: string, more: Partial<Kind>): Kind => ({
  ip: 4,
  transport: 'tcp',
  tags: '',
  segmentBytes: 1300,
  ...more,
  name,
})

export const KINDS: readonly Kind[] = [
  toKind('TCP', {}),
  toKind('TCP, IPv6', { ip: 6 }),
  toKind('UDP_SEGMENT', { transport: 'udp' }),
  toKind('UDP_SEGMENT, IPv6', { transport: 'udp', ip: 6 }),
  toKind('a datagram', { transport: 'udp', segmentBytes: undefined }),
  toKind('TCP, 802.1Q', { tags: '81000005' }),
  toKind('TCP, QinQ', { tags: '88a8000781000005' }),
  toKind('UDP_SEGMENT, IPv6, 802.1Q', { tags: '81000005', transport: 'udp', ip: 6 }),
]

const hex = (value: number, bytes: number): string => value.toString(16).padStart(2 * bytes, '0')
/** As the virtio header has it. */
const littleEndian = (value: number): string => hex(((value & 0xff) << 8) | (value >> 8), 2)

function toPayload({ segmentBytes }: Kind): string {
  const bytes = segmentBytes === undefined ? 1000 : 20_000
  return Array.from({ length: bytes / 2 }, (_, at) => hex(at, 2)).join('')
}

/** The frame behind its virtio header, in hex. */
function toUnfinished(kind: Kind): string {
  const payload = toPayload(kind)
  const { protocol, bytes, sumAt, gso } = TRANSPORT[kind.transport]
  const { type, hosts } = IP[kind.ip]
  const length = bytes + payload.length / 2
  // Of the pseudo header alone: the rest is to be summed up.
  const pseudo =
    0xffff - Number.parseInt(sumWords(fromHex(`${hosts}${hex(length, 4)}000000${protocol}`)), 16)
  const header =
    kind.transport === 'tcp'
      ? `03e807d0 00000001 00000001 5010ffff ${hex(pseudo, 2)} 0000`
      : `03e807d0 ${hex(length, 2)} ${hex(pseudo, 2)}`
  const first = `4500${hex(20 + length, 2)}0001400040${protocol}`
  const network =
    kind.ip === 4
      ? `${first}${sumWords(fromHex(`${first}0000${hosts}`))}${hosts}`
      : `60000000${hex(length, 2)}${protocol}40${hosts}`
  const ethernet = `020000000002${SENDER}${kind.tags}${type}`
  const start = (ethernet.length + network.length) / 2
  const sized =
    kind.segmentBytes === undefined
      ? [NO_GSO, '0000', '0000']
      : [gso[kind.ip], littleEndian(start + bytes), littleEndian(kind.segmentBytes)]
  const virtio = [NEEDS_CHECKSUM, ...sized, littleEndian(start), littleEndian(sumAt)].join('')
  return `${virtio}${ethernet}${network}${header}${payload}`.replaceAll(' ', '')
}

const inside = ({ path }: LabNetns, ...words: readonly string[]): readonly string[] => [
  'nsenter',
  `--net=${path}`,
  'perl',
  SCRIPT,
  ...words,
]

/** What leaves a NIC that does such work; of a VM what its driver hands to QEMU. */
export async function sendUnfinished(
  netns: LabNetns,
  dev: string,
  kinds: readonly Kind[],
  mode: 'send' | 'send-tap' = 'send',
): Promise<void> {
  const input = kinds.map((kind) => `${toUnfinished(kind)}\n`).join('')
  await run(inside(netns, mode, dev), { input })
}

export interface Reader extends AsyncDisposable {
  /** What has come so far, but for what the pods' own stacks say. */
  readonly read: () => readonly Uint8Array[]
  /** Of a VM: what its driver is told of them, where it is told anything. */
  readonly readTold: () => readonly string[]
}

/** Reads at a pod's interface, or at a VM's tap as QEMU does. */
export async function startReader(
  netns: LabNetns,
  dev: string,
  mode: 'read' | 'read-tap' = 'read',
  isWanted: (frame: string) => boolean = (frame) => frame.slice(12, 24) === SENDER,
): Promise<Reader> {
  const daemon = startDaemon(inside(netns, mode, dev))
  await expectSoon('reading', () => {
    daemon.expectAlive()
    return daemon.readLog().startsWith('ready\n')
  })
  const skipped = mode === 'read' ? 0 : 2 * HEADER_BYTES
  const listLines = (): readonly string[] =>
    daemon
      .readLog()
      .split('\n')
      .slice(1, -1)
      .filter((line) => isWanted(line.slice(skipped)))
  return {
    read: () => listLines().map((line) => fromHex(line.slice(skipped))),
    readTold: () =>
      listLines()
        .map((line) => line.slice(0, skipped))
        .filter((told) => /[^0]/.test(told)),
    [Symbol.asyncDispose]: async () => daemon.end('SIGKILL'),
  }
}

/** What is not as it should be once it came to somebody who knows of no offloads, in words. */
export function findDifference(frames: readonly Uint8Array[], kind: Kind): string | undefined {
  const payload = toPayload(kind)
  const each = 2 * (kind.segmentBytes ?? payload.length)
  const count = Math.ceil(payload.length / each)
  if (frames.length !== count) return `${frames.length} frames, expected ${count}`
  const arrived = frames.map((frame, at) => {
    const bytes = Math.min(each, payload.length - at * each)
    return Buffer.from(frame).toString('hex').slice(-bytes)
  })
  return arrived.join('') === payload ? undefined : 'another payload, or in another order'
}

/** A stream over TCP and datagrams by UDP_SEGMENT, by the stacks of two namespaces; cut into so many bytes. */
export async function stream(
  from: LabNetns,
  to: LabNetns,
  address: string,
  segmentBytes: number,
): Promise<void> {
  const server = startDaemon(inside(to, 'serve', address, '5555'))
  try {
    await expectSoon('listening', () => {
      server.expectAlive()
      return server.readLog().includes('ready')
    })
    await run(inside(from, 'stream', address, '5555'))
    await expectSoon('all has come', () => server.readLog().includes('300000 bytes'))
    await run(inside(from, 'datagrams', address, '5556', String(segmentBytes)))
  } finally {
    await server.end('SIGKILL')
  }
}
