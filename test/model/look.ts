// Looks at everything there is: kernels of nodes and sandboxes, state directories, the store. What
// nobody of the model knows is written down, too, and so never equal.
import { join } from 'node:path'

import { isNoteFile, toReleasedFolder } from '../../core/release-note.ts'
import { toHostDeviceName, toTunnelDeviceName } from '../../core/name.ts'
import { parseRedirects } from '../../core/pod-link.ts'
import { run } from '../../kernel/run.ts'
import type { ClusterNode, LabCluster } from '../../lab/cluster.ts'
import type { LabNetns } from '../../lab/netns.ts'
import { listFolder, readJsonFile } from '../../store/json-file.ts'
import type { WireStore } from '../../store/wire-store.ts'
import {
  SAME,
  sayDocument,
  sayLink,
  sayNote,
  sayPeer,
  sayPodEnd,
  sayTunnel,
  sayVnis,
  sayWire,
} from './picture.ts'
import { NICS, NODES, toKey, toTunnelName, WIRES, type Nic } from './world.ts'

export interface Sight {
  readonly cluster: LabCluster
  readonly store: WireStore
  readonly namespace: string
  readonly sandboxes: ReadonlyMap<string, LabNetns>
  /** What each interface was when its owner got it. */
  readonly identities: ReadonlyMap<string, Identity>
}

/** The keys we read of `ip -j -d address show`. */
export interface IpLink {
  readonly ifname: string
  readonly ifindex: number
  readonly address: string
  readonly flags: readonly string[]
  readonly ifalias?: string
  readonly linkinfo?: {
    readonly info_kind?: string
    readonly info_data?: { readonly id?: number; readonly remote?: string }
  }
  readonly addr_info?: readonly { readonly local: string }[]
}

/** Sorted lines in the words of the picture. */
export async function look(sight: Sight): Promise<readonly string[]> {
  const { store, namespace } = sight
  const wires = (
    await store.list((error) => {
      throw error
    })
  ).filter((wire) => wire.namespace === namespace)
  const vnis = new Map(wires.map(({ name, vni }) => [name, vni]))
  const [nodes, sandboxes, claims] = await Promise.all([
    Promise.all(sight.cluster.nodes.map(async (node, at) => lookAtNode(sight, node, at, vnis))),
    Promise.all([...sight.sandboxes].map(async ([name, netns]) => lookInside(sight, name, netns))),
    store.listVnis(),
  ])
  const stored = wires.map(({ name, ends, displaced, isUnplugged, tunnelNodes, vni }) =>
    sayWire({
      name,
      ends: ends.map((end) => ({
        sandbox: end.containerID,
        ifname: end.ifname,
        pod: end.holder.replace(/^pod\//, ''),
        node: toNodeName(end.node),
        isUp: end.isUp,
      })),
      displaced: displaced.map((one) => ({
        sandbox: one.containerID,
        ifname: one.ifname,
        node: toNodeName(one.node),
      })),
      isUnplugged,
      tunnelNodes: tunnelNodes.map(toNodeName),
      hasVni: vni !== undefined,
    }),
  )
  return [
    ...nodes.flat(),
    ...sandboxes.flat(),
    ...stored,
    sayVnis(claims.filter(({ wire }) => wire.namespace === namespace).length),
  ].sort()
}

/** Labs that share an API have nodes with a prefix. */
function toNodeName(name: string): string {
  return NODES.find((node) => name.endsWith(node.slice(1))) ?? name
}

// One process for a node: links on the first line, peers on the second, then a device and its filters each.
const SCRIPT = `
ip -j -d link show
nft -j list table inet l2wire 2>/dev/null || echo '{}'
for dev in $(ip -o link show | sed -n 's/^[0-9]*: \\(l[wx][0-9a-f]*\\).*/\\1/p'); do
  echo "$dev $(tc -j filter show dev "$dev" ingress 2>/dev/null | tr '\\n' ' ')"
done`

async function lookAtNode(
  sight: Sight,
  { netns, node }: ClusterNode,
  at: number,
  vnis: ReadonlyMap<string, number | undefined>,
): Promise<readonly string[]> {
  const me = NODES[at] ?? ''
  const documents = await lookAtState(me, node.stateDir)
  const notes = (await listFolder(toReleasedFolder(node.socket))).filter(isNoteFile).map((file) => {
    const [sandbox = '', ifname = ''] = file.replace(/\.json$/, '').split('@')
    return sayNote(me, { sandbox, ifname })
  })
  const shown = await netns.run(['sh', '-c', SCRIPT])
  const [links = '[]', table = '{}', ...filters] = shown.trim().split('\n')
  const names = listNames(sight.namespace, sight.sandboxes.keys(), documents.nics)
  const toName = (device: string): string => names.get(device) ?? device
  const redirects = new Map(
    filters.map((line) => {
      const space = line.indexOf(' ')
      const targets = parseRedirects(line.slice(space + 1))
      const said = targets.map((target) => (target === '*' ? 'gone' : toName(target)))
      return [line.slice(0, space), said.join(' and ') || undefined] as const
    }),
  )
  const addresses = new Map(sight.cluster.nodes.map((one, i) => [one.address, NODES[i] ?? '']))
  const lines = (JSON.parse(links) as readonly IpLink[]).flatMap((link): readonly string[] => {
    if (!/^l[wx][0-9a-f]/.test(link.ifname)) return []
    const isUp = link.flags.includes('UP')
    const target = redirects.get(link.ifname)
    const name = toName(link.ifname)
    const { info_kind: kind, info_data: data } = link.linkinfo ?? {}
    if (kind === 'vxlan') {
      const wire = WIRES.find((one) => toTunnelName(one) === name) ?? name
      const remote = addresses.get(data?.remote ?? '') ?? String(data?.remote)
      const isVniOfWire = data?.id !== undefined && data.id === vnis.get(wire)
      return [sayTunnel(me, { wire, remote, isVniOfWire, isUp, target })]
    }
    const [sandbox = '', ifname = ''] = name.split(' ')
    // "l2wire NAMESPACE/WIRE HOLDER NIC": the device's own words about itself.
    const [, wire = '', holder = '', nic = ''] = (link.ifalias ?? '').split(' ')
    const pod = nic === ifname ? holder.replace(/^pod\//, '') : `${holder} ${nic}`
    const short = wire.replace(`${sight.namespace}/`, '')
    return [sayLink(me, { sandbox, ifname, wire: short, pod, isUp, target })]
  })
  return [...lines, ...listPeers(me, table, addresses, vnis), ...documents.lines, ...notes]
}

/** Devices' names in the model, by their names in the kernel. */
function listNames(
  namespace: string,
  sandboxes: Iterable<string>,
  nics: readonly Nic[],
): ReadonlyMap<string, string> {
  const living = [...sandboxes].flatMap((sandbox) => NICS.map((ifname) => ({ sandbox, ifname })))
  return new Map([
    ...[...living, ...nics].map(
      (nic) => [toHostDeviceName(nic.sandbox, nic.ifname), toKey(nic)] as const,
    ),
    ...WIRES.map(
      (wire) => [toTunnelDeviceName(`${namespace}/${wire}`), toTunnelName(wire)] as const,
    ),
  ])
}

interface NftTable {
  readonly nftables?: readonly {
    readonly set?: { readonly elem?: readonly { readonly concat: readonly [string, number] }[] }
  }[]
}

function listPeers(
  me: string,
  table: string,
  addresses: ReadonlyMap<string, string>,
  vnis: ReadonlyMap<string, number | undefined>,
): readonly string[] {
  const { nftables = [] } = JSON.parse(table) as NftTable
  const wires = new Map([...vnis].map(([name, vni]) => [vni, name]))
  return nftables.flatMap(({ set }) =>
    (set?.elem ?? []).map(({ concat: [address, vni] }) =>
      sayPeer(me, addresses.get(address) ?? address, wires.get(vni) ?? `VNI ${vni} of no wire`),
    ),
  )
}

interface StoredDocument {
  readonly containerID: string
  readonly ifname: string
  readonly phase: string
  readonly wire?: { readonly name: string }
}

async function lookAtState(
  me: string,
  stateDir: string,
): Promise<{ readonly nics: readonly Nic[]; readonly lines: readonly string[] }> {
  const folder = join(stateDir, 'attachments')
  const files = (await listFolder(folder)).filter((file) => file.endsWith('.json'))
  const read = await Promise.all(files.map(async (file) => readJsonFile(join(folder, file))))
  const documents = read.filter(
    (value) => value !== undefined,
  ) as unknown as readonly StoredDocument[]
  const nics = documents.map(({ containerID: sandbox, ifname }) => ({ sandbox, ifname }))
  const lines = documents.map(({ containerID: sandbox, ifname, phase, wire }) =>
    sayDocument(me, { sandbox, ifname }, wire?.name ?? 'no wire', phase),
  )
  return { nics, lines }
}

/** What an owner sees. */
async function lookInside(
  { identities }: Sight,
  sandbox: string,
  netns: LabNetns,
): Promise<readonly string[]> {
  // The namespace may go while we look.
  const shown = await run(['nsenter', `--net=${netns.path}`, 'ip', '-j', 'address', 'show'])
  return (JSON.parse(shown) as readonly IpLink[]).flatMap((link) => {
    if (link.ifname === 'lo') return []
    const nic = { sandbox, ifname: link.ifname }
    const carrier = link.flags.includes('LOWER_UP') ? 'carrier' : 'no carrier'
    const was = identities.get(toKey(nic))
    const isSame =
      was !== undefined && describe({ ...identify(link), ...was }) === describe(identify(link))
    const same = isSame ? SAME : `now ${describe(identify(link))}, was ${describe(was ?? {})}`
    return [sayPodEnd(nic, link.flags.includes('UP') ? carrier : 'down', same)]
  })
}

/** What must never change of an interface while its pod lives; what is not known may be anything. */
export interface Identity {
  readonly mac?: string | undefined
  readonly ifindex?: number
  readonly addresses?: readonly string[]
}

export function identify({ ifindex, address: mac, addr_info: addresses = [] }: IpLink): Identity {
  return { mac, ifindex, addresses: addresses.map(({ local }) => local) }
}

function describe({ mac, ifindex, addresses = [] }: Identity): string {
  return `MAC ${mac}, index ${ifindex}, addresses ${addresses.join(' ') || 'none'}`
}
