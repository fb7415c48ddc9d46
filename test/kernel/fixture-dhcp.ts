// A DHCP client's questions made by hand, of both families, and what a server says to them.
import { fromHex } from '../../core/tester/bytes.ts'
import { expectSoon } from '../expect-soon.ts'
import { sumUp, sumWords, toHex6 } from './fixture-checksum.ts'
import type { PodNetwork } from './fixture-pod-network.ts'

/** RFC 8415: message types, options, statuses. */
export const V6 = {
  solicit: '01',
  advertise: '02',
  request: '03',
  confirm: '04',
  renew: '05',
  rebind: '06',
  decline: '09',
} as const
const REPLY6 = '07'
const [CLIENT_ID, SERVER_ID, IA_NA, IA_ADDRESS, STATUS] = ['0001', '0002', '0003', '0005', '000d']
const RAPID_COMMIT = '000e0000'
export const STATUS6 = { success: '0000', noBinding: '0003', notOnLink: '0004' } as const

/** RFC 2131: message types. */
export const V4 = { discover: 1, offer: 2, request: 3, decline: 4, ack: 5, nak: 6 } as const

/** All DHCP servers and relays. */
const SERVERS = 'ff02::1:2'
const TRANSACTION = '6c3277'

export interface Question6 {
  readonly type: string
  /** In hex; default: by the NIC's MAC. */
  readonly clientId?: string
  readonly serverId?: string
  readonly iaid?: string
  /** None: a hint of none. */
  readonly addresses?: readonly string[]
  readonly isRapid?: true
}

function toOption(code: string, hex: string): string {
  return `${code}${(hex.length / 2).toString(16).padStart(4, '0')}${hex}`
}

/** What the one answer, to the last byte, has of an address: its two lifetimes in hex, undefined for none. */
export function findLifetimes(answer: string, address: string): string | undefined {
  const option = `${IA_ADDRESS}0018${toHex6(address)}`
  const at = answer.indexOf(option)
  return at < 0 ? undefined : answer.slice(at + option.length, at + option.length + 16)
}

export function listStatuses(answer: string): readonly string[] {
  return [...answer.matchAll(new RegExp(`${STATUS}00..(00..)`, 'g'))].map(([, code = '']) => code)
}

/** What a server says to it: its options, in hex. */
export async function ask6(network: PodNetwork, question: Question6): Promise<string> {
  const { guest, mac } = network
  const shown = await guest.run('ip -6 -br address show dev nic0 scope link'.split(' '))
  const from = /fe80:[^/]*/.exec(shown)?.[0] ?? ''
  const { type, clientId = `00030001${mac.replaceAll(':', '')}`, serverId, isRapid } = question
  const { iaid = '00000001', addresses = [] } = question
  const asked = addresses.map((one) => toOption(IA_ADDRESS, `${toHex6(one)}${'0'.repeat(16)}`))
  const message = [
    `${type}${TRANSACTION}`,
    toOption(CLIENT_ID, clientId),
    ...(serverId === undefined ? [] : [toOption(SERVER_ID, serverId)]),
    ...(isRapid ? [RAPID_COMMIT] : []),
    toOption(IA_NA, `${iaid}${'0'.repeat(16)}${asked.join('')}`),
  ].join('')
  const length = (8 + message.length / 2).toString(16).padStart(4, '0')
  const [source, target] = [toHex6(from), toHex6(SERVERS)]
  const sum = sumUp(source, target, '11', `02220223${length}0000${message}`)
  const udp = `02220223${length}${sum}${message}`
  const frame = fromHex(
    `333300010002 ${mac} 86dd 60000000 ${length} 11 ff ${source}${target}${udp}`,
  )
  const answers = type === V6.solicit && !isRapid ? V6.advertise : REPLY6
  // Of UDP: the ports, then behind length and checksum the answer.
  const words = await exchange(network, frame, `^.{108}02230222.{8}${answers}${TRANSACTION}`)
  return words.slice(108 + 24)
}

/** The server's, from an answer's options. */
export function findServerId(answer: string): string {
  const at = answer.indexOf(SERVER_ID, 0)
  const bytes = Number.parseInt(answer.slice(at + 4, at + 8), 16)
  return answer.slice(at + 8, at + 8 + 2 * bytes)
}

export interface Question4 {
  readonly type: number
  /** Where a client has one: it asks from there. */
  readonly own?: string
  readonly asked?: string
  readonly server?: string
}

const ANY = '0.0.0.0'

function toHex4(address: string): string {
  return address
    .split('.')
    .map((byte) => Number(byte).toString(16).padStart(2, '0'))
    .join('')
}

/** The message's type and the address that it is about. */
export interface Answer4 {
  readonly type: number
  readonly address: string
}

function toFrame4(mac: string, { type, own = ANY, asked, server }: Question4): Uint8Array {
  const digits = mac.replaceAll(':', '')
  const options = [
    `3501${type.toString(16).padStart(2, '0')}`,
    ...(asked === undefined ? [] : [`3204${toHex4(asked)}`]),
    ...(server === undefined ? [] : [`3604${toHex4(server)}`]),
    'ff',
  ].join('')
  const head = `01010600${TRANSACTION}00 00000000 ${toHex4(own)}${'0'.repeat(24)}${digits}`
  const message = `${head}${'0'.repeat(20 + 384)}63825363${options}`
    .replaceAll(' ', '')
    .padEnd(600, '0')
  const udp = `00440043${(8 + message.length / 2).toString(16).padStart(4, '0')}0000${message}`
  const size = (20 + udp.length / 2).toString(16).padStart(4, '0')
  const header = fromHex(`4500${size} 0001 0000 4011 0000 ${toHex4(own)} ffffffff`)
  header.set(fromHex(sumWords(header)), 10)
  const hex = Buffer.from(header).toString('hex')
  return fromHex(`ffffffffffff ${mac} 0800 ${hex} ${udp}`)
}

export async function ask4(network: PodNetwork, question: Question4): Promise<Answer4> {
  const frame = toFrame4(network.mac, question)
  // Ethernet, IPv4, UDP; then of BOOTP a reply, and where its address stands.
  const hex = await exchange(network, frame, `^.{68}00430044.{8}020106..${TRANSACTION}00`)
  const [, type = '0'] = /638253633501(..)/.exec(hex) ?? []
  const yours = hex.slice(84 + 32, 84 + 40).match(/../g) ?? []
  return {
    type: Number.parseInt(type, 16),
    address: yours.map((byte) => Number.parseInt(byte, 16)).join('.'),
  }
}

/** What is not answered, as a DHCPDECLINE. */
export async function tell4(network: PodNetwork, question: Question4): Promise<void> {
  await network.nic.send([toFrame4(network.mac, question)])
}

// Asks until somebody answers: a server may be about to start.
async function exchange(
  { guest, nic }: PodNetwork,
  question: Uint8Array,
  pattern: string,
): Promise<string> {
  const wanted = new RegExp(pattern)
  let answer: string | undefined
  await expectSoon('the server answers', async () => {
    await using meanwhile = await nic.startCapture()
    await nic.send([question])
    await guest.run(['sleep', '0.3'])
    const frames = (await meanwhile.stop()).map((frame) => Buffer.from(frame).toString('hex'))
    answer = frames.find((hex) => wanted.test(hex))
    return answer !== undefined
  })
  return answer ?? ''
}
