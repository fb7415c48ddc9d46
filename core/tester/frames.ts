// The acceptance table as data: every class of frame that a wire must carry unchanged and in order. The rows
// are this project's definition of "transparent".
import { concatBytes, fillPayload, fromHex } from './bytes.ts'

/** What a row needs to know about the two NICs. */
export interface Ends {
  /** MAC of the sending NIC. */
  readonly sender: string
  /** MAC of the receiving NIC. */
  readonly receiver: string
}

export interface FrameRow {
  readonly name: string
  /** The whole frames of this row, from the destination MAC on. */
  readonly frames: (ends: Ends) => readonly Uint8Array[]
}

interface FrameSpec {
  readonly to: string
  readonly from: string
  /** Everything between the source MAC and the payload: tags and ethertype, in hex. */
  readonly type: string
  /** The start of the payload, in hex. */
  readonly head?: string
  /** The length of the whole frame. Default: Ethernet's minimum without FCS. */
  readonly bytes?: number
}

const BROADCAST = 'ff:ff:ff:ff:ff:ff'
/** IEEE's ethertype for local experiments. No network stack uses it. */
const EXPERIMENTAL = '88b5'
const MIN_BYTES = 60

function newFrame(spec: FrameSpec, mark: number): Uint8Array {
  const header = concatBytes(
    fromHex(spec.to),
    fromHex(spec.from),
    fromHex(spec.type),
    fromHex(spec.head ?? ''),
  )
  const length = Math.max((spec.bytes ?? MIN_BYTES) - header.length, 0)
  return concatBytes(header, fillPayload(length, mark))
}

type SpecsOf = (ends: Ends) => readonly FrameSpec[]

/** Addresses 01-80-C2-00-00-00 to 0F that no bridge forwards (IEEE 802.1D, table 7-10). */
function toReserved(last: number): string {
  return `01:80:c2:00:00:0${last.toString(16)}`
}

function toUnicast(last: number): string {
  return `02:00:5e:00:53:${last.toString(16).padStart(2, '0')}`
}

const reservedRows: readonly (readonly [string, SpecsOf])[] = Array.from(
  { length: 16 },
  (_, last) => {
    const known = new Map([
      [0x00, ['STP', '0026 4242 03']],
      [0x01, ['pause', '8808 0001 ffff']],
      [0x02, ['LACP', '8809 0101']],
      [0x03, ['802.1X', '888e 0201 0000']],
      [0x0e, ['LLDP', '88cc 0207 04']],
    ])
    const [word, type] = known.get(last) ?? ['reserved', EXPERIMENTAL]
    const name = `01-80-C2-00-00-0${last.toString(16).toUpperCase()} ${word}`
    return [name, ({ sender }) => [{ to: toReserved(last), from: sender, type: type ?? '' }]]
  },
)

// 802.3 length field, LLC and SNAP headers: "type" holds the length.
const CISCO_SNAP = '002e aaaa 03 00000c'

const namedRows: readonly (readonly [string, SpecsOf])[] = [
  [
    'pause 0x8808 to another address',
    ({ sender, receiver }) => [{ to: receiver, from: sender, type: '8808 0001 0000' }],
  ],
  [
    'PVST+ 01-00-0C-CC-CC-CD',
    ({ sender }) => [{ to: '01:00:0c:cc:cc:cd', from: sender, type: `${CISCO_SNAP} 010b` }],
  ],
  [
    'CDP 01-00-0C-CC-CC-CC',
    ({ sender }) => [{ to: '01:00:0c:cc:cc:cc', from: sender, type: `${CISCO_SNAP} 2000` }],
  ],
  [
    'IS-IS',
    ({ sender }) => [
      { to: '01:80:c2:00:00:14', from: sender, type: '05dc fefe 03 83', bytes: 1514 },
      { to: '01:80:c2:00:00:15', from: sender, type: '002e fefe 03 83' },
    ],
  ],
  [
    'PTP 0x88F7',
    ({ sender }) => [
      { to: '01:1b:19:00:00:00', from: sender, type: '88f7 0002' },
      { to: toReserved(0x0e), from: sender, type: '88f7 0202' },
    ],
  ],
  ['broadcast', ({ sender }) => [{ to: BROADCAST, from: sender, type: EXPERIMENTAL }]],
  [
    'IPv4 multicast',
    ({ sender }) => [
      { to: '01:00:5e:00:00:05', from: sender, type: '0800', head: IPV4_OSPF },
      { to: '01:00:5e:7f:00:01', from: sender, type: '0800', head: IPV4_MULTICAST },
      // Malformed on purpose: a snooping bridge discards these.
      { to: '01:00:5e:00:00:16', from: sender, type: '0800', head: 'ffff ffff' },
    ],
  ],
  [
    'IPv4 multicast fragments',
    ({ sender }) => [
      { to: '01:00:5e:7f:00:01', from: sender, type: '0800', head: IPV4_FIRST, bytes: 1514 },
      { to: '01:00:5e:7f:00:01', from: sender, type: '0800', head: IPV4_LAST, bytes: 262 },
    ],
  ],
  [
    'IPv6 multicast',
    ({ sender }) => [
      { to: '33:33:00:00:00:05', from: sender, type: '86dd', head: IPV6_OSPF, bytes: 90 },
      { to: '33:33:00:00:00:16', from: sender, type: '86dd', head: 'ffff ffff' },
    ],
  ],
  [
    'IPv6 multicast fragments',
    ({ sender }) => [
      { to: '33:33:00:00:00:99', from: sender, type: '86dd', head: IPV6_FIRST, bytes: 1502 },
      { to: '33:33:00:00:00:99', from: sender, type: '86dd', head: IPV6_LAST, bytes: 214 },
    ],
  ],
  [
    'unicast to the other NIC',
    ({ sender, receiver }) => [{ to: receiver, from: sender, type: EXPERIMENTAL }],
  ],
  [
    'unknown unicast',
    ({ sender }) => [
      { to: toUnicast(0xfe), from: sender, type: EXPERIMENTAL },
      { to: '00:11:22:33:44:55', from: sender, type: EXPERIMENTAL },
    ],
  ],
  [
    'several source MACs on one port',
    () =>
      [1, 2, 3, 4, 5].map((last) => ({
        to: toUnicast(0xfd),
        from: toUnicast(last),
        type: EXPERIMENTAL,
      })),
  ],
  [
    'HSRP 00-00-0C-07-AC-xx',
    ({ receiver }) => [
      { to: '01:00:5e:00:00:02', from: '00:00:0c:07:ac:01', type: '0800', head: IPV4_HSRP },
      { to: receiver, from: '00:00:0c:07:ac:2a', type: EXPERIMENTAL },
      { to: '00:00:0c:07:ac:01', from: toUnicast(9), type: EXPERIMENTAL },
    ],
  ],
  [
    'VRRP 00-00-5E-00-01-xx',
    () => [
      { to: '01:00:5e:00:00:12', from: '00:00:5e:00:01:07', type: '0800', head: IPV4_VRRP },
      { to: '00:00:5e:00:01:07', from: toUnicast(8), type: EXPERIMENTAL },
    ],
  ],
  [
    'own frames mirrored back',
    ({ sender, receiver }) => [
      { to: sender, from: receiver, type: EXPERIMENTAL },
      { to: BROADCAST, from: receiver, type: EXPERIMENTAL },
      { to: receiver, from: receiver, type: EXPERIMENTAL },
    ],
  ],
  [
    'source broadcast, multicast, zero',
    () => [
      { to: toUnicast(0xfc), from: BROADCAST, type: EXPERIMENTAL },
      { to: toUnicast(0xfc), from: '01:00:5e:00:00:01', type: EXPERIMENTAL },
      { to: toUnicast(0xfc), from: '00:00:00:00:00:00', type: EXPERIMENTAL },
    ],
  ],
  [
    '802.1Q',
    ({ sender, receiver }) => [
      { to: receiver, from: sender, type: `8100 0001 ${EXPERIMENTAL}`, bytes: 64 },
      { to: BROADCAST, from: sender, type: `8100 efff ${EXPERIMENTAL}`, bytes: 64 },
      { to: toReserved(0), from: sender, type: '8100 0064 0026 4242 03', bytes: 64 },
    ],
  ],
  [
    'priority-tagged (VLAN 0)',
    ({ sender, receiver }) => [
      { to: receiver, from: sender, type: `8100 a000 ${EXPERIMENTAL}`, bytes: 64 },
      { to: receiver, from: sender, type: `8100 0000 ${EXPERIMENTAL}`, bytes: 64 },
    ],
  ],
  [
    'QinQ 88A8 + 8100',
    ({ sender, receiver }) => [
      { to: receiver, from: sender, type: `88a8 0064 8100 00c8 ${EXPERIMENTAL}`, bytes: 68 },
    ],
  ],
  [
    'QinQ 8100 + 8100',
    ({ sender, receiver }) => [
      { to: receiver, from: sender, type: `8100 0064 8100 00c8 ${EXPERIMENTAL}`, bytes: 68 },
    ],
  ],
  [
    'MPLS',
    ({ sender, receiver }) => [
      { to: receiver, from: sender, type: '8847 0001 01ff' },
      { to: '01:00:5e:00:00:0a', from: sender, type: '8848 0001 01ff' },
    ],
  ],
  [
    'ARP',
    ({ sender }) => [
      { to: BROADCAST, from: sender, type: '0806', head: '0001 0800 0604 0001' },
      { to: BROADCAST, from: sender, type: '0806', head: '0001 0800 0604 0002' },
    ],
  ],
  [
    'runts of 14 to 18 bytes',
    ({ sender, receiver }) =>
      [14, 15, 16, 17, 18].map((bytes) => ({
        to: receiver,
        from: sender,
        type: EXPERIMENTAL,
        bytes,
      })),
  ],
  ...[60, 1514, 1518, 1522, 9014].map((bytes): readonly [string, SpecsOf] => [
    `${bytes} bytes`,
    ({ sender, receiver }) => [{ to: receiver, from: sender, type: EXPERIMENTAL, bytes }],
  ]),
  [
    'LLC (ethertype below 1536)',
    ({ sender, receiver }) => [
      { to: receiver, from: sender, type: '002e e0e0 03' },
      { to: receiver, from: sender, type: '0000' },
      { to: receiver, from: sender, type: '05ff' },
    ],
  ],
  [
    'unknown ethertypes',
    ({ sender, receiver }) =>
      ['0600', '1234', '88b6', '9000', '9100', 'ffff'].map((type) => ({
        to: receiver,
        from: sender,
        type,
      })),
  ],
]

// Headers of IPv4 and IPv6 up to the payload; addresses are from the documentation ranges.
const IPV4_MULTICAST = '4500 002e 0001 0000 0111 0000 c0000201 efff0001 1388 1388 001a 0000'
const IPV4_OSPF = '45c0 002e 0002 0000 0159 0000 c0000201 e0000005 0201'
const IPV4_HSRP = '45c0 0030 0003 0000 0111 0000 c0000201 e0000002 07c1 07c1 001c 0000'
const IPV4_VRRP = '45c0 0028 0004 0000 ff70 0000 c0000201 e0000012 2107'
const IPV4_FIRST = '4500 05dc 4242 2000 0111 0000 c0000201 efff0001 1388 1388 06bc 0000'
const IPV4_LAST = '4500 00f8 4242 00b9 0111 0000 c0000201 efff0001'
const IPV6_SOURCE = '20010db8000000000000000000000001'
const IPV6_OSPF = `6000 0000 0024 5901 ${IPV6_SOURCE} ff020000000000000000000000000005 0301`
const IPV6_FIRST = `6000 0000 05a8 2c01 ${IPV6_SOURCE} ff020000000000000000000000000099 1100 0001 0000 4242`
const IPV6_LAST = `6000 0000 00a0 2c01 ${IPV6_SOURCE} ff020000000000000000000000000099 1100 05a0 0000 4242`

/** Every row but the idle one, which has no frames. */
export const FRAME_ROWS: readonly FrameRow[] = [...reservedRows, ...namedRows].map(
  ([name, specs], row) => ({
    name,
    frames: (ends) => specs(ends).map((spec, at) => newFrame(spec, row * 8 + at)),
  }),
)

/** The longest frame of the table. NICs need an MTU of this less the 14-byte header. */
export const LONGEST_FRAME_BYTES = 9014
