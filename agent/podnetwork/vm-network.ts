// The network of a VM that takes over a pod link, and who tells it: read from the link as its CNI plugin left
// it, and told by a server in the launcher.
import type { ObservedAddressing } from '../../core/steps/addressing.ts'
import type { TapAttachment } from '../../core/attach/attachment.ts'
import { listUntold } from '../../core/podnetwork/dhcp-option-size.ts'
import type { NicWish } from '../../core/attach/launcher.ts'
import { getDefaultHop, toVmNetwork, type VmNetwork } from '../../core/podnetwork/vm-network.ts'
import { toServerNames } from '../../core/name.ts'
import { wantServerAddresses } from '../../core/podnetwork/plan.ts'
import type { NetnsObservation } from '../../core/observe/netns.ts'
import type { ObservedLink } from '../../core/observe/links.ts'
import { listServerSysctls } from '../../core/podnetwork/server-sysctls.ts'
import { findSilent } from '../../core/podnetwork/silent-gateway.ts'
import { diff } from '../../core/steps/diff.ts'
import { applySteps } from '../../kernel/apply.ts'
import { readPermanentNeighbours, readRouter } from '../../kernel/podnetwork/router.ts'
import { setSysctls } from '../../kernel/sysctls.ts'
import type { AgentContext } from '../context.ts'

export interface VmNetworkOrder {
  readonly addressing: ObservedAddressing
  readonly podLink: ObservedLink
  readonly mtuBytes: number
  readonly wish: NicWish
}

/** Undefined for a link without addresses. Throws CommandError. */
export async function readVmNetwork(
  node: AgentContext,
  netnsPath: string,
  { addressing, podLink, mtuBytes, wish }: VmNetworkOrder,
): Promise<VmNetwork | undefined> {
  const { mac } = podLink
  const { vmNetwork, others } = toVmNetwork({ addressing, mac, mtuBytes, wish })
  const facts = { netns: netnsPath, podLink: podLink.name }
  if (others.length > 0)
    node.log.warn({ ...facts, others }, 'a VM gets one address of each family, not these')
  const untold = vmNetwork === undefined ? [] : listUntold(vmNetwork)
  if (untold.length > 0)
    node.log.warn({ ...facts, untold }, "a VM's DHCP server has no room or no option for these")
  if (vmNetwork === undefined) return undefined
  const gateway = vmNetwork.ipv6 === undefined ? undefined : getDefaultHop(vmNetwork, 6)
  const [router, permanent] = await Promise.all([
    gateway === undefined ? undefined : readRouter(node.run, netnsPath, podLink.name, gateway),
    readPermanentNeighbours(node.run, netnsPath, podLink.name),
  ])
  if (gateway !== undefined && router === undefined)
    node.log.warn(
      { ...facts, gateway },
      'the IPv6 gateway cannot be seen from this node: the VM gets its IPv6 address and no default route',
    )
  const routed = router === undefined ? vmNetwork : { ...vmNetwork, router }
  const { silent, left } = findSilent(routed, permanent)
  if (left.length > 0)
    node.log.warn({ ...facts, gateways: left }, 'the VM will not learn the MACs of these gateways')
  return silent === undefined ? routed : { ...routed, silent }
}

/** Brings the addresses of a VM's DHCP server, which is up, to where they should be. Throws CommandError. */
export async function addressServer(
  node: AgentContext,
  attachment: TapAttachment,
  vmNetwork: VmNetwork,
  { observed, isNew }: { readonly observed: NetnsObservation; readonly isNew: boolean },
): Promise<void> {
  const { netns, tap } = attachment
  const { server } = toServerNames(tap)
  const sysctls = listServerSysctls(server, vmNetwork.ipv6 !== undefined)
  const isAstray = observed.sysctls.join() !== sysctls.map(({ value }) => value).join()
  const left = diff(wantServerAddresses(attachment, vmNetwork), observed, node.classifier)
  if (!isNew && (isAstray || left.length > 0))
    node.log.warn(
      { tap, server, netns: netns.path, sysctls: isAstray, steps: left.map(({ op }) => op) },
      'a DHCP server has other addresses, neighbours or sysctls than it was given, they are mended',
    )
  if (isAstray) await setSysctls(node.run, node.netSysctls, netns.path, sysctls)
  await applySteps(node.run, node.classifier, left)
}
