// What somebody with a root shell on a node may do to a wire's devices.
import { toHostDeviceName, toTunnelDeviceName } from '../../core/name.ts'
import type { ClusterNode } from '../../lab/cluster.ts'
import type { Deed } from './deed.ts'

type ByHand = Extract<Deed, { readonly kind: 'delete tunnel' | 'delete redirect' | 'delete link' }>

export async function deleteByHand(
  { netns }: ClusterNode,
  deed: ByHand,
  namespace: string,
): Promise<void> {
  if (deed.kind === 'delete tunnel') {
    const dev = toTunnelDeviceName(`${namespace}/${deed.wire}`)
    await netns.run(['ip', 'link', 'del', 'dev', dev])
    return
  }
  const dev = toHostDeviceName(deed.plug.sandbox, deed.plug.ifname)
  if (deed.kind === 'delete link') await netns.run(['ip', 'link', 'del', 'dev', dev])
  else await netns.run(['tc', 'filter', 'del', 'dev', dev, 'ingress'])
}

/** What a node does not have after a reboot, but for its sandboxes: tunnels, and all that is in nftables. */
export async function wipe({ netns }: ClusterNode): Promise<void> {
  const links = await netns.run(['ip', '-o', 'link', 'show', 'type', 'vxlan'])
  for (const [, dev = ''] of links.matchAll(/^\d+: (lx[0-9a-f]+)/gm))
    await netns.run(['ip', 'link', 'del', 'dev', dev])
  await netns.run(['nft', 'flush', 'ruleset'])
}
