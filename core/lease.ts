// What a VM is told about the pod link whose place it takes: DHCP's and a router advertisement's words,
// as data. Values are in the kernel's spelling.
import type { NicRoute } from './addressing.ts'

export interface Lease {
  /** Of the VM's NIC; nobody else is answered. */
  readonly mac: string
  readonly mtuBytes: number
  readonly hostname?: string
  /** "10.0.0.2/24". */
  readonly ipv4?: string
  /** "fd00::2/64". */
  readonly ipv6?: string
  /** Those that lead out through the link, both families; one without next hop is on the link. */
  readonly routes: readonly NicRoute[]
  /** Who is the IPv6 default gateway on the link, where that is known. */
  readonly router?: { readonly linkLocal: string; readonly mac: string }
  readonly nameservers: readonly string[]
  readonly searches: readonly string[]
}
