// Observes everything: kernels of nodes and sandboxes, state directories, the store. It also records what the
// model does not know, so that the comparison fails.
import { join } from 'node:path'

import { readNoteFile, toReleasedFolder } from '../../core/attach/release-note.ts'
import { toHostEndName, toTunnelDeviceName } from '../../core/name.ts'
import { parseFilters, parseTargets } from '../../core/steps/filter.ts'
import type { EndClaim } from '../../core/wire/wire.ts'
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
import { NICS, NODES, toKey, toTunnelName, WIRES, type Claim, type Nic } from './world.ts'

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
  readonly mtu: number
  readonly inet6_addr_gen_mode?: string
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
  const stored = wires.map(({ name, ends, standbys, displaced, isUnplugged, tunnelNodes, vni }) =>
    sayWire(
      {
        name,
        ends: ends.map(toModelClaim),
        standbys: standbys.map((one) => ({ ...toModelClaim(one), isTarget: one.isTarget })),
        isUnplugged,
        tunnelNodes: tunnelNodes.map(toNodeName),
        hasVni: vni !== undefined,
      },
      displaced.map(({ containerID: sandbox, ifname }) => ({ sandbox, ifname })),
    ),
  )
  return [
    ...nodes.flat(),
    ...sandboxes.flat(),
    ...stored,
    sayVnis(claims.filter(({ wire }) => wire.namespace === namespace).length),
  ].sort()
}

function toModelClaim({ containerID: sandbox, ifname, holder, node, isUp }: EndClaim): Claim {
  return { sandbox, ifname, pod: holder.replace(/^pod\//, ''), node: toNodeName(node), isUp }
}

/** Labs that share an API have nodes with a prefix. */
function toNodeName(name: string): string {
  return NODES.find((node) => name.endsWith(node.slice(1))) ?? name
}

// One process for a node: links on the first line, addresses on the second, peers on the third, then a device and its filters each.
const SCRIPT = `
ip -j -d link show
ip -j address show
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
  const notes = (await listFolder(toReleasedFolder(node.socket))).flatMap((file) => {
    const { containerID: sandbox, ifname = '' } = readNoteFile(file) ?? {}
    return sandbox === undefined ? [] : [sayNote(me, { sandbox, ifname })]
  })
  const shown = await netns.run(['sh', '-c', SCRIPT])
  const [links = '[]', addressed = '[]', table = '{}', ...filters] = shown.trim().split('\n')
  const names = listNames(sight.namespace, sight.sandboxes.keys(), documents.nics)
  const toName = (device: string): string => names.get(device) ?? device
  const redirects = new Map(
    filters.map((line) => {
      const space = line.indexOf(' ')
      const targets = parseTargets(parseFilters(line.slice(space + 1)))
      const said = targets.map((target) => (target === '*' ? 'gone' : toName(target)))
      return [line.slice(0, space), said.join(' and ') || undefined] as const
    }),
  )
  const addresses = new Map(sight.cluster.nodes.map((one, i) => [one.address, NODES[i] ?? '']))
  const infos = new Map(
    (JSON.parse(addressed) as readonly IpLink[]).map((one) => [one.ifname, one.addr_info]),
  )
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
      return [
        sayTunnel(me, {
          wire,
          remote,
          isVniOfWire,
          isUp,
          target,
          oddities: listOddities(link, infos.get(link.ifname)),
        }),
      ]
    }
    const [sandbox = '', ifname = ''] = name.split(' ')
    // "l2wire NAMESPACE/WIRE HOLDER NIC": the device's own words about itself.
    const [, wire = '', holder = '', nic = ''] = (link.ifalias ?? '').split(' ')
    const pod = nic === ifname ? holder.replace(/^pod\//, '') : `${holder} ${nic}`
    const short = wire.replace(`${sight.namespace}/`, '')
    const oddities = listOddities(link, infos.get(link.ifname))
    return [sayLink(me, { sandbox, ifname, wire: short, pod, isUp, target, oddities })]
  })
  return [...lines, ...listPeers(me, table, addresses, vnis), ...documents.lines, ...notes]
}

/** What none of our devices is to have. */
function listOddities(link: IpLink, addresses: IpLink['addr_info'] = []): readonly string[] {
  const { flags, mtu, inet6_addr_gen_mode: mode } = link
  return [
    ...(mtu === MAX_FRAME ? [] : [`MTU ${mtu}`]),
    ...(flags.includes('NOARP') ? [] : ['ARP']),
    ...(flags.includes('MULTICAST') ? ['multicast'] : []),
    ...(mode === 'none' ? [] : [`address generation ${mode}`]),
    ...addresses.map(({ local }) => `address ${local}`),
    ...(link.ifalias?.startsWith('l2wire ') ? [] : [`alias ${link.ifalias}`]),
  ]
}

const MAX_FRAME = 9216

/** Devices' names in the model, by their names in the kernel. */
function listNames(
  namespace: string,
  sandboxes: Iterable<string>,
  nics: readonly Nic[],
): ReadonlyMap<string, string> {
  const living = [...sandboxes].flatMap((sandbox) => NICS.map((ifname) => ({ sandbox, ifname })))
  return new Map([
    ...[...living, ...nics].map(
      (nic) => [toHostEndName(nic.sandbox, nic.ifname), toKey(nic)] as const,
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
