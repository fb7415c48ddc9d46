// What the kernel has of one wire on this node, read as far as it is not known.
import { toTunnelDeviceName } from '../../core/name.ts'
import type { ObservedLink, ObservedLinks } from '../../core/observe/links.ts'
import { toHookKey, toPeerKey, type Observation } from '../../core/observe/observation.ts'
import { toFilter, type FilterPlace } from '../../core/steps/filter.ts'
import type { Hook, Step } from '../../core/steps/step.ts'
import type { WirePart } from '../../core/wire/part.ts'
import { isMute, listWhole } from '../../core/wire/plan.ts'
import { toWireKey, type EndClaim, type Wire, type WireId } from '../../core/wire/wire.ts'
import {
  observeLinks,
  observeTunnels,
  readFilters,
  readIpv6Addresses,
  readOffloads,
} from '../../kernel/observe/links.ts'
import { isPeerAllowed } from '../../kernel/peers.ts'
import type { AgentContext } from '../context.ts'

/** How much to read: link states, and the redirects and tunnels that the link cache does not have; or everything. */
export type Depth = 'uncached' | 'all'

export interface ObservedWire {
  readonly id: WireId
  readonly wire: Wire | undefined
  readonly part: WirePart
}

export async function observeWire(
  context: AgentContext,
  { id, wire, part: { ends, targets, lost, shutOut } }: ObservedWire,
  depth: Depth,
): Promise<Observation> {
  const { run } = context
  const tunnel = toTunnelDeviceName(toWireKey(id))
  const names = [
    ...[...ends, ...targets, ...lost, ...shutOut].map(({ hostDevice }) => hostDevice),
    tunnel,
  ]
  const [read, addresses] = await Promise.all([observeLinks(names), readIpv6Addresses()])
  const known =
    depth === 'all'
      ? { links: read, filters: new Map<string, never>() }
      : await context.linkCache.recall(read)
  const links = await readTunnel(context, known.links, tunnel)
  const hooks = listHooks([...links.keys()], isMute(ends) ? ['ingress', 'egress'] : ['ingress'])
  // One that no look has been at has no alias yet, and leads nowhere.
  const idle = hooks.filter(({ dev }) => links.get(dev)?.alias === '')
  const cached = new Map([...idle.map((hook) => [toHookKey(hook), []] as const), ...known.filters])
  if (depth === 'uncached' && hooks.every((hook) => cached.has(toHookKey(hook))))
    return { links, addresses, filters: cached }
  const filters = await readFilters(run, hooks)
  if (depth === 'uncached') return { links, addresses, filters }
  const offloads = await readOffloads(
    run,
    listWhole(ends).filter((dev) => links.has(dev)),
  )
  const claims = [...(wire?.ends ?? []), ...(wire?.standbys ?? [])]
  const peers = await readPeers(context, links.get(tunnel), claims)
  return { links, addresses, filters, offloads, ...peers }
}

function listHooks(devices: readonly string[], hooks: readonly Hook[]): readonly FilterPlace[] {
  return devices.flatMap((dev) => hooks.map((hook) => ({ dev, hook })))
}

async function readTunnel(
  { run }: AgentContext,
  links: ObservedLinks,
  tunnel: string,
): Promise<ObservedLinks> {
  const link = links.get(tunnel)
  if (link === undefined || link.vxlan !== undefined) return links
  const [whole] = (await observeTunnels(run, [tunnel])).values()
  const others = [...links].filter(([dev]) => dev !== tunnel)
  return new Map(whole === undefined ? others : [...others, [tunnel, whole]])
}

/** Who of the wire's nodes is let in by a tunnel that is there; of one to be made nobody knows. */
async function readPeers(
  { run }: AgentContext,
  tunnel: ObservedLink | undefined,
  claims: readonly EndClaim[],
): Promise<Pick<Observation, 'peers'>> {
  const { vxlan } = tunnel ?? {}
  if (!vxlan) return {}
  const { remote, local, vni } = vxlan
  const others = claims.map(({ address }) => address).filter((address) => address !== local)
  const peers = new Set<string>()
  for (const address of new Set([remote, ...others]))
    if (await isPeerAllowed(run, address, vni)) peers.add(toPeerKey(address, vni))
  return { peers }
}

/** Notes in the cache what these steps, done, have made of the devices. */
export async function noteMade(
  { linkCache, classifier }: AgentContext,
  steps: readonly Step[],
): Promise<void> {
  for (const dev of listDevices(steps)) {
    const made = steps.flatMap((step) => toFilter(step, classifier) ?? [])
    const filters = made.flatMap((one) =>
      one.dev === dev && one.hook === 'ingress' ? [one.filter] : [],
    )
    const vxlan = steps.find((step) => step.op === 'add-vxlan' && step.dev === dev)
    await linkCache.note(dev, { filters, vxlan: vxlan?.op === 'add-vxlan' ? vxlan : null })
  }
}

/** The devices that these steps say all of. */
export function listDevices(steps: readonly Step[]): readonly string[] {
  const devices = steps.flatMap((step) =>
    step.op === 'add-redirect' || step.op === 'del-redirect' ? [step.dev] : [],
  )
  return [...new Set(devices)]
}
