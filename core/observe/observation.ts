// What was seen of one network namespace. A part that nobody read is undefined; a hook that nobody read has no entry.
import type { Filter, FilterPlace } from '../steps/filter.ts'
import { normalizeIp } from '../net/ip.ts'
import type { ObservedLinks } from './links.ts'

export interface Observation {
  readonly links: ObservedLinks
  /** By device and hook. */
  readonly filters: ReadonlyMap<string, readonly Filter[]>
  /** By device, "10.0.0.2/24". */
  readonly addresses?: ReadonlyMap<string, readonly string[]>
  /** By device, address and MAC. Whoever answers a client may have set one anew, which stays as the first did. */
  readonly neighbours?: ReadonlySet<string>
  /** The addresses that a device takes frames for, and ARP for, and no others; null: those to any. */
  readonly heard?: readonly string[] | null
  /** By device: whether it leaves work to whoever gets what it sends. */
  readonly offloads?: ReadonlyMap<string, boolean>
  /** Who may send to a tunnel, "192.0.2.2 4096": address and VNI. */
  readonly peers?: ReadonlySet<string>
}

export function toHookKey({ dev, hook }: FilterPlace): string {
  return `${dev} ${hook}`
}

export function toNeighbourKey(dev: string, address: string, mac: string): string {
  return `${dev} ${normalizeIp(address) ?? address} ${mac}`
}

/** How an address that ARP asks for stands among those that are heard. */
export function toAskedKey(address: string): string {
  return `arp ${address}`
}

/** How a device stands among them that sends through what is to be confirmed. */
export function toConfirmKey(dev: string): string {
  return `confirm ${dev}`
}

/** A permission as a word: who may send with which VNI. */
export function toPeerKey(address: string, vni: number): string {
  return `${address} ${vni}`
}
