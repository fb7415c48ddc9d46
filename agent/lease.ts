// What a VM that takes over a pod link is told, and by whom: read from the link as its CNI plugin left it,
// answered by a server in the launcher.
import type { ObservedAddressing } from '../core/addressing.ts'
import type { TapAttachment } from '../core/attachment.ts'
import { listUntold } from '../core/dhcp-room.ts'
import type { NicWish } from '../core/launcher.ts'
import { getDefaultHop, toLease, type Lease } from '../core/lease.ts'
import { toServerNames } from '../core/name.ts'
import { planServerAddresses } from '../core/plan-lease.ts'
import type { NetnsObservation } from '../core/netns-observation.ts'
import type { PodLink } from '../core/pod-link.ts'
import { listServerSysctls } from '../core/server-sysctls.ts'
import { findSilent } from '../core/silent-gateway.ts'
import type { Step } from '../core/step.ts'
import { observeAddressing } from '../kernel/addresses.ts'
import { applySteps } from '../kernel/apply.ts'
import { readPermanentNeighbours, readRouter } from '../kernel/router.ts'
import { setSysctls } from '../kernel/sysctls.ts'
import type { Node } from './node.ts'

export interface LeaseOrder {
  readonly addressing: ObservedAddressing
  readonly podLink: PodLink
  readonly mtuBytes: number
  readonly wish: NicWish
}

/** Undefined for a link without addresses. Throws CommandError. */
export async function readLease(
  node: Node,
  netnsPath: string,
  { addressing, podLink, mtuBytes, wish }: LeaseOrder,
): Promise<Lease | undefined> {
  const { mac } = podLink
  const { lease, others } = toLease({ addressing, mac, mtuBytes, wish })
  const facts = { netns: netnsPath, podLink: podLink.name }
  if (others.length > 0)
    node.log.warn({ ...facts, others }, 'a VM is told one address of each family, not these')
  const untold = lease === undefined ? [] : listUntold(lease)
  if (untold.length > 0)
    node.log.warn(
      { ...facts, untold },
      "there is no room, or no word, for these in what a VM's DHCP server says",
    )
  if (lease === undefined) return undefined
  const gateway = lease.ipv6 === undefined ? undefined : getDefaultHop(lease, 6)
  const [router, permanent] = await Promise.all([
    gateway === undefined ? undefined : readRouter(node.run, netnsPath, podLink.name, gateway),
    readPermanentNeighbours(node.run, netnsPath, podLink.name),
  ])
  if (gateway !== undefined && router === undefined)
    node.log.warn(
      { ...facts, gateway },
      'the IPv6 gateway cannot be seen from this node: the VM gets its IPv6 address and no default route',
    )
  const routed = router === undefined ? lease : { ...lease, router }
  const { silent, left } = findSilent(routed, permanent)
  if (left.length > 0)
    node.log.warn({ ...facts, gateways: left }, 'nobody tells the VM the MACs of these gateways')
  return silent === undefined ? routed : { ...routed, silent }
}

/**
 * Brings the addresses of a lease's server to where they should be; its devices are up. What was seen there
 * before they were made says what of it need not be done. Throws CommandError.
 */
export async function addressServer(
  node: Node,
  attachment: TapAttachment,
  seen?: NetnsObservation,
  choose: (steps: readonly Step[]) => readonly Step[] = (steps) => steps,
): Promise<void> {
  const { lease, netns, tap } = attachment
  if (lease === undefined) return
  const { server } = toServerNames(tap)
  const sysctls = listServerSysctls(server, lease.ipv6 !== undefined)
  if (seen?.sysctls.join() !== sysctls.map(({ value }) => value).join()) {
    if (seen?.links.has(server))
      node.log.warn(
        { tap, server, netns: netns.path },
        'the sysctls of a DHCP server are set again',
      )
    await setSysctls(node.run, node.netSysctls, netns.path, sysctls)
  }
  const there =
    seen?.addresses.get(server) ?? (await observeAddressing(node.run, netns.path, server)).addresses
  await applySteps(node.run, node.classifier, choose(planServerAddresses(attachment, lease, there)))
}
