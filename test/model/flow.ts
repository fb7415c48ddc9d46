// Where a frame gets to, by what the nodes have: whoever receives it.
import { isSameNic, toKey, toLinkName, toTunnelName, type Link, type World } from './world.ts'

/** The NICs that a frame may be sent from without anything coming of it but its arrival, each with who is to hear it. */
export function listFlows(world: World): readonly { readonly from: Link; readonly to: string }[] {
  const links = world.nodes.flatMap((node) => node.links)
  const speaking = links.filter((link) => {
    const wire = world.wires.find(({ name }) => name === link.wire)
    // A target that speaks is a guest that has come.
    const isTarget = wire?.standbys.some((one) => one.isTarget && isSameNic(one, link)) ?? false
    return link.isUp && link.isPodEndUp && !isTarget
  })
  return speaking.map((from) => {
    const to = findReceiver(world, from)
    return { from, to: to?.isUp && to.isPodEndUp ? toKey(to) : 'nobody' }
  })
}

function findReceiver(world: World, { node, wire, target }: Link): Link | undefined {
  const find = (on: string, name: string | undefined): Link | undefined =>
    world.nodes.find((one) => one.name === on)?.links.find((link) => toLinkName(link) === name)
  if (target !== toTunnelName(wire)) return find(node, target)
  const near = world.nodes
    .find(({ name }) => name === node)
    ?.tunnels.find((one) => one.wire === wire)
  const far = world.nodes.find(({ name }) => name === near?.remote)
  const isLetIn = far?.peers.some((peer) => peer.wire === wire && peer.remote === node) ?? false
  const tunnel = far?.tunnels.find((one) => one.wire === wire)
  return far !== undefined && isLetIn ? find(far.name, tunnel?.target) : undefined
}
