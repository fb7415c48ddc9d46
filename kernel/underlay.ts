// The underlay as the kernel has it: the link that an address of this node is on.
import { DecodeError } from '../core/errors.ts'
import { parseToolList } from '../core/observe/tool-json.ts'
import type { Run } from './run.ts'

interface IpAddress {
  readonly ifname?: string
  readonly mtu?: number
  readonly addr_info?: readonly { readonly local?: string }[]
}

/** MTU of the link that has this address. Throws DecodeError when no link of this node has it. */
export async function readUnderlayMtu(run: Run, address: string): Promise<number> {
  const said = await run(['ip', '-j', 'address', 'show'])
  const links = parseToolList(said, 'ip -j address') as readonly IpAddress[]
  const link = links.find((one) => one.addr_info?.some(({ local }) => local === address))
  if (link?.mtu !== undefined) return link.mtu
  const local = links.flatMap((one) => one.addr_info?.flatMap((info) => info.local ?? []) ?? [])
  throw new DecodeError('--underlay-address', address, `one of this node's, ${local.join(', ')}`)
}

export function isLoopback(address: string): boolean {
  return address === '::1' || address.startsWith('127.')
}
