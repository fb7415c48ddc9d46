// What somebody with a root shell on a node may do to a wire's devices.
import { toHostEndName, toTunnelDeviceName } from '../../core/name.ts'
import type { ClusterNode } from '../../lab/cluster.ts'
import type { LabNetns } from '../../lab/netns.ts'
import type { Deed, TunnelChange } from './deed.ts'

type Delete = Extract<Deed, { readonly kind: 'delete tunnel' | 'delete redirect' | 'delete link' }>
type Change = Extract<Deed, { readonly kind: 'change link' | 'change tunnel' }>

export async function deleteByHand(
  { netns }: ClusterNode,
  deed: Delete,
  namespace: string,
): Promise<void> {
  const dev = toDevice(deed, namespace)
  if (deed.kind === 'delete redirect')
    await netns.run(['tc', 'filter', 'del', 'dev', dev, 'ingress'])
  else await netns.run(['ip', 'link', 'del', 'dev', dev])
}

/** Whether the kernel tells of it. Of devices that are down it does not tell all (netdev_state_change). */
export async function changeByHand(
  { netns }: ClusterNode,
  deed: Change,
  namespace: string,
): Promise<boolean> {
  const dev = toDevice(deed, namespace)
  const shown = await netns.run(['ip', '-o', 'link', 'show', 'dev', dev])
  const isUp = /<.*\bUP\b.*>/.test(shown)
  for (const words of toCommands(deed.change, dev, isUp)) await netns.run(words)
  if (deed.change === 'remote') await changeRemote(netns, dev)
  if (deed.change === 'permission') await changePermission(netns, dev)
  const isHeardIfUp = deed.change === 'alias' || deed.change === 'link-local address'
  return isHeardIfUp ? isUp : deed.change !== 'address' && deed.change !== 'permission'
}

function toDevice(deed: Delete | Change, namespace: string): string {
  return 'plug' in deed
    ? toHostEndName(deed.plug.sandbox, deed.plug.ifname)
    : toTunnelDeviceName(`${namespace}/${deed.wire}`)
}

function toCommands(
  change: TunnelChange,
  dev: string,
  isUp: boolean,
): readonly (readonly string[])[] {
  const set = (...words: readonly string[]): readonly string[] =>
    ['ip', 'link', 'set', 'dev', dev].concat(words)
  const redirect = (handle: string): readonly (readonly string[])[] => [
    ['tc', 'qdisc', 'replace', 'dev', dev, 'clsact'],
    [
      ...`tc filter replace dev ${dev} ingress pref 1 protocol all handle ${handle}`.split(' '),
      'bpf',
      'bytecode',
      '1,6 0 0 4294967295,',
      ...'action mirred egress redirect dev lo'.split(' '),
    ],
  ]
  switch (change) {
    case 'MTU':
      return [set('mtu', '1400')]
    case 'ARP':
      return [set('arp', 'on')]
    case 'multicast':
      return [set('multicast', 'on')]
    case 'link-local address':
      return [set('addrgenmode', 'eui64')]
    case 'alias':
      return [set('alias', 'mine')]
    case 'up or down':
      return [set(isUp ? 'down' : 'up')]
    case 'redirect':
      return redirect('1')
    case 'another filter':
      return redirect('2')
    case 'address':
      return [['ip', 'address', 'add', 'fe80::77/64', 'dev', dev, 'nodad']]
    case 'remote':
    case 'permission':
      return []
  }
}

async function changeRemote(netns: LabNetns, dev: string): Promise<void> {
  const { vni } = await readVxlan(netns, dev)
  await netns.run(`ip link set dev ${dev} type vxlan id ${vni} remote 127.0.0.9`.split(' '))
}

/** Somebody else is let in instead. */
async function changePermission(netns: LabNetns, dev: string): Promise<void> {
  const { vni, remote } = await readVxlan(netns, dev)
  const set = `inet l2wire ${remote.includes(':') ? 'peers6' : 'peers4'}`
  const other = remote.includes(':') ? '2001:db8::77' : '192.0.2.77'
  await netns.run(['nft', 'delete', 'element', ...set.split(' '), `{ ${remote} . ${vni} }`])
  await netns.run(['nft', 'add', 'element', ...set.split(' '), `{ ${other} . ${vni} }`])
}

interface Vxlan {
  readonly linkinfo: {
    readonly info_data: { readonly id: number; readonly remote?: string; readonly remote6?: string }
  }
}

async function readVxlan(netns: LabNetns, dev: string): Promise<{ vni: number; remote: string }> {
  const shown = await netns.run(['ip', '-j', '-d', 'link', 'show', 'dev', dev])
  const [link] = JSON.parse(shown) as readonly Vxlan[]
  const { id: vni = 0, remote, remote6 } = link?.linkinfo.info_data ?? {}
  return { vni, remote: remote ?? remote6 ?? '' }
}

/** What a node does not have after a reboot, but for its sandboxes: tunnels, and all that is in nftables. */
export async function wipe({ netns }: ClusterNode): Promise<void> {
  const links = await netns.run(['ip', '-o', 'link', 'show', 'type', 'vxlan'])
  for (const [, dev = ''] of links.matchAll(/^\d+: (lx[0-9a-f]+)/gm))
    await netns.run(['ip', 'link', 'del', 'dev', dev])
  await netns.run(['nft', 'flush', 'ruleset'])
}
