// What a pod end is given beyond its wire: the addresses that are asked for, or what an IPAM plugin says.
// The CNI shim runs that plugin: CNI_PATH is a path on the node, and an agent in a container is not there.
import {
  needsIpv6,
  NO_ADDRESSING,
  planAddressing,
  withNextHops,
} from '../../core/steps/addressing.ts'
import type { WireAttachment } from '../../core/attach/attachment.ts'
import type { WireConfig } from '../../core/cni/config.ts'
import { decodeIpamResult, type IpamResult } from '../../core/cni/ipam.ts'
import { CNI_CODE, CniError, DecodeError } from '../../core/errors.ts'
import { applySteps } from '../../kernel/apply.ts'
import { enableIpv6 } from '../../kernel/ipv6.ts'
import type { AgentContext } from '../context.ts'

/** Has the IPAM plugin run, and returns what it printed. Throws CniError. */
export type AskIpam = () => Promise<Readonly<Record<string, unknown>>>

export const NOTHING_GIVEN: IpamResult = { ...NO_ADDRESSING, dns: undefined }

/** The devices must be there, and the wire joined: DHCP asks over it. Throws CniError or CommandError. */
export async function giveAddresses(
  node: AgentContext,
  { netns, ifname }: WireAttachment,
  { ipam, addresses }: WireConfig,
  askIpam: AskIpam,
): Promise<IpamResult> {
  const given =
    ipam === undefined
      ? { ...NOTHING_GIVEN, ips: addresses.map((address) => ({ address })) }
      : decode(await askIpam(), ipam)
  if (needsIpv6(given)) await enableIpv6(node.run, node.netSysctls, netns.path, ifname)
  const steps = planAddressing(netns.path, ifname, withNextHops(given))
  await applySteps(node.run, node.classifier, steps)
  return given
}

function decode(result: Readonly<Record<string, unknown>>, ipam: string): IpamResult {
  try {
    return decodeIpamResult(result)
  } catch (cause) {
    if (!(cause instanceof DecodeError)) throw cause
    throw new CniError(
      CNI_CODE.IPAM_FAILED,
      `Cannot use the result of the IPAM plugin "${ipam}": ${cause.message}`,
    )
  }
}
