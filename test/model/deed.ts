// What may happen to a lab, and what the model says comes of it.
import {
  claimEnd,
  findWire,
  getNode,
  hasRoom,
  isSameNic,
  makeWire,
  NODES,
  releaseClaim,
  removeLinks,
  removeTunnel,
  sweepWires,
  type Nic,
  type NodeState,
  type Plug,
  type World,
} from './world.ts'
import { release, settle, toClaim } from './settle.ts'

export type Deed =
  /** A runtime's ADD; the sandbox is made where it is new. One of a migration waits for its guest. */
  | { readonly kind: 'plug'; readonly plug: Plug; readonly isTarget?: boolean }
  /**
   * The guest of a migration has come: it sends its first frame. With the store away whoever is at the far end, which
   * is up, gets through to it before the store is back.
   */
  | { readonly kind: 'cut over'; readonly plug: Plug; readonly farWithoutStore?: Plug }
  /** A runtime's DEL; with its last interface the sandbox goes, where it is still there. */
  | { readonly kind: 'unplug'; readonly plug: Plug }
  /** A runtime has lost an interface, and has the garbage of its network collected. */
  | { readonly kind: 'collect'; readonly plug: Plug }
  /** A sandbox goes without a DEL, which may still come. */
  | { readonly kind: 'vanish'; readonly sandbox: string; readonly node: string }
  | { readonly kind: 'kill' | 'start' | 'bounce'; readonly node: string }
  /** The node's agent reaches its store no more, or again. */
  | { readonly kind: 'cut off' | 'reconnect'; readonly node: string }
  /** Without a word: sandboxes and devices are gone, and the agent starts with what is on disk. */
  | { readonly kind: 'reboot'; readonly node: string }
  /** The agent is killed in the middle of the call, and started again. */
  | {
      readonly kind: 'interrupt'
      readonly deed: Extract<Deed, { readonly kind: 'plug' | 'unplug' }>
      readonly afterMs: number
    }
  /** The owner of a pod end sets it up or down. */
  | { readonly kind: 'set'; readonly plug: Plug; readonly isUp: boolean }
  /** The cable is taken out or put back. */
  | { readonly kind: 'cable'; readonly wire: string; readonly isUnplugged: boolean }
  /** By hand, behind everybody's back. */
  | { readonly kind: 'delete tunnel'; readonly node: string; readonly wire: string }
  | { readonly kind: 'delete redirect'; readonly plug: Plug }
  /** The host end, and with it the pod end. */
  | { readonly kind: 'delete link'; readonly plug: Plug }
  | { readonly kind: 'delete claim'; readonly plug: Plug }
  | { readonly kind: 'delete wire'; readonly wire: string }
  /** Of a host end or a tunnel; what the kernel tells nobody of is found when the agent starts, which it does then. */
  | { readonly kind: 'change link'; readonly change: LinkChange; readonly plug: Plug }
  | {
      readonly kind: 'change tunnel'
      readonly change: TunnelChange
      readonly node: string
      readonly wire: string
    }

export const LINK_CHANGES = [
  'MTU',
  'ARP',
  'multicast',
  'link-local address',
  'alias',
  'up or down',
  'redirect',
  'another filter',
  'address',
] as const
export type LinkChange = (typeof LINK_CHANGES)[number]
export const TUNNEL_CHANGES = [...LINK_CHANGES, 'remote', 'permission'] as const
export type TunnelChange = (typeof TUNNEL_CHANGES)[number]

export function describeDeed(deed: Deed): string {
  switch (deed.kind) {
    case 'plug':
      return deed.isTarget === true
        ? `begin a migration to ${describePlug(deed.plug)}`
        : `plug ${describePlug(deed.plug)}`
    case 'cut over':
      return deed.farWithoutStore === undefined
        ? `the guest comes to ${describePlug(deed.plug)}`
        : `with the store away, the guest comes to ${describePlug(deed.plug)}, and ${describePlug(deed.farWithoutStore)} gets through`
    case 'unplug':
    case 'collect':
      return `${deed.kind} ${describePlug(deed.plug)}`
    case 'cut off':
    case 'reconnect':
      return `${deed.kind} ${deed.node} and the store`
    case 'reboot':
      return `reboot ${deed.node}`
    case 'vanish':
      return `sandbox ${deed.sandbox} on ${deed.node} goes without a DEL`
    case 'kill':
    case 'start':
    case 'bounce':
      return `${deed.kind} the agent of ${deed.node}`
    case 'interrupt':
      return `${describeDeed(deed.deed)}, the agent is killed after ${deed.afterMs} ms and started again`
    case 'set':
      return `the owner sets ${describePlug(deed.plug)} ${deed.isUp ? 'up' : 'down'}`
    case 'cable':
      return `take the cable ${deed.wire} ${deed.isUnplugged ? 'out' : 'back in'}`
    case 'delete tunnel':
      return `delete the tunnel of ${deed.wire} on ${deed.node} by hand`
    case 'delete redirect':
    case 'delete link':
    case 'delete claim':
      return `${deed.kind.replace(' ', ' the ')} of ${describePlug(deed.plug)} by hand`
    case 'delete wire':
      return `delete the wire ${deed.wire} from the store by hand`
    case 'change link':
      return `change by hand: ${deed.change} of the host end of ${describePlug(deed.plug)}`
    case 'change tunnel':
      return `change by hand: ${deed.change} of the tunnel of ${deed.wire} on ${deed.node}`
  }
}

function describePlug(plug: Plug): string {
  return `pod/${plug.pod} ${plug.ifname} (${plug.sandbox} on ${plug.node}) of ${plug.wire}`
}

/** What a runtime is told: 0 or a CNI code; nothing for what is no call. */
export type Answer = number | undefined

export interface Outcome {
  readonly answer: Answer
  readonly world: World
}

const WIRE_FULL = 101
const TRY_AGAIN_LATER = 11

/** All that may come of a deed, before anybody but its own agent has looked. */
export function tryDeed(given: World, deed: Deed): readonly Outcome[] {
  const world = structuredClone(given)
  const done: readonly Outcome[] = [{ answer: undefined, world }]
  switch (deed.kind) {
    case 'plug':
      return [plug(world, deed.plug, deed.isTarget)]
    case 'cut over':
      cutOver(world, deed.plug)
      return done
    case 'unplug':
    case 'collect':
      return [unplug(world, deed.plug)]
    case 'interrupt':
      return interrupt(given, deed.deed)
    case 'vanish':
      removeSandbox(world, deed.sandbox)
      return done
    case 'kill':
      getNode(world, deed.node).isRunning = false
      return done
    case 'start':
      getNode(world, deed.node).isRunning = true
      return done
    case 'bounce':
    case 'change link':
    case 'change tunnel':
      return done
    case 'cut off':
    case 'reconnect':
      getNode(world, deed.node).isConnected = deed.kind === 'reconnect'
      return done
    case 'reboot':
      reboot(world, deed.node)
      return done
    case 'set':
      for (const link of getNode(world, deed.plug.node).links)
        if (isSameNic(link, deed.plug)) link.isPodEndUp = deed.isUp
      return done
    case 'cable':
      makeWire(world, deed.wire).isUnplugged = deed.isUnplugged
      sweepWires(world)
      return done
    case 'delete tunnel':
      removeTunnel(getNode(world, deed.node), deed.wire)
      return done
    case 'delete redirect':
      for (const link of getNode(world, deed.plug.node).links)
        if (isSameNic(link, deed.plug)) link.target = undefined
      return done
    case 'delete link':
      removeLinks(getNode(world, deed.plug.node), (link) => isSameNic(link, deed.plug))
      return done
    case 'delete claim': {
      const wire = findWire(world, deed.plug.wire)
      if (wire !== undefined) releaseClaim(wire, deed.plug)
      sweepWires(world)
      return done
    }
    case 'delete wire':
      world.wires = world.wires.filter(({ name }) => name !== deed.wire)
      return done
  }
}

function plug(world: World, asked: Plug, isTarget = false): Outcome {
  const node = getNode(world, asked.node)
  // The DEL that follows a failed ADD leaves a note where nobody is there to hear it.
  if (!node.isRunning) node.notes.push({ sandbox: asked.sandbox, ifname: asked.ifname })
  if (!node.isRunning || !node.isConnected) return { answer: TRY_AGAIN_LATER, world }
  const wire = makeWire(world, asked.wire)
  if (!hasRoom(wire, asked))
    // An agent asks its own node whether those who hold the ends are still there.
    for (const document of node.documents)
      if (!world.sandboxes.some(({ name }) => name === document.sandbox))
        release(world, node, document)
  if (!hasRoom(wire, asked)) return { answer: WIRE_FULL, world }
  if (isTarget) wire.standbys.push({ ...toClaim(asked), isTarget })
  else claimEnd(wire, toClaim(asked))
  node.documents.push({ ...asked, phase: 'ready', isTarget })
  node.links.push({ ...asked, isPodEndUp: true, isUp: false, target: undefined })
  world.plugs.push(asked)
  const { sandbox: name, pod } = asked
  if (!world.sandboxes.some((one) => one.name === name))
    world.sandboxes.push({ name, pod, node: node.name })
  return { answer: 0, world }
}

/** The end is where the guest runs, and the sandbox that had it waits: for its DEL, or for the guest's return. */
function cutOver(world: World, nic: Plug): void {
  const wire = findWire(world, nic.wire)
  const target = wire?.standbys.find((one) => one.isTarget && isSameNic(one, nic))
  if (wire === undefined || target === undefined) return
  claimEnd(wire, toClaim(nic))
  for (const document of getNode(world, nic.node).documents)
    if (isSameNic(document, nic)) document.isTarget = false
}

function unplug(world: World, asked: Plug): Outcome {
  const node = getNode(world, asked.node)
  const document = node.documents.find((one) => isSameNic(one, asked))
  if (!node.isRunning) node.notes.push({ sandbox: asked.sandbox, ifname: asked.ifname })
  else if (!node.isConnected) leave(node, asked)
  else if (document !== undefined) release(world, node, document)
  world.plugs = world.plugs.filter((one) => !isSameNic(one, asked))
  if (!world.plugs.some(({ sandbox }) => sandbox === asked.sandbox))
    removeSandbox(world, asked.sandbox)
  sweepWires(world)
  return { answer: 0, world }
}

/** Without the store: the devices go, and whoever led to them alone leads nowhere. */
function leave(node: NodeState, nic: Nic): void {
  for (const document of node.documents) if (isSameNic(document, nic)) document.phase = 'leaving'
  const [gone] = node.links.filter((link) => isSameNic(link, nic))
  removeLinks(node, (link) => link === gone)
  for (const link of node.links)
    if (link.wire === gone?.wire && link.target === 'gone')
      Object.assign(link, { target: undefined, isUp: false })
}

function removeSandbox(world: World, name: string): void {
  world.sandboxes = world.sandboxes.filter((sandbox) => sandbox.name !== name)
  for (const node of world.nodes) removeLinks(node, ({ sandbox }) => sandbox === name)
}

function reboot(world: World, name: string): void {
  const node = getNode(world, name)
  for (const sandbox of world.sandboxes)
    if (sandbox.node === name) removeSandbox(world, sandbox.name)
  node.tunnels = []
  node.peers = []
  node.isRunning = true
}

/** A call that was cut off was done, or done and undone, or never begun; the runtime takes back what failed. */
function interrupt(
  given: World,
  deed: Extract<Deed, { readonly kind: 'plug' | 'unplug' }>,
): readonly Outcome[] {
  if (deed.kind === 'unplug') {
    const { world } = unplug(structuredClone(given), deed.plug)
    return [{ answer: 0, world }]
  }
  const whole = plug(structuredClone(given), deed.plug, deed.isTarget)
  if (whole.answer !== 0) return [whole, { answer: TRY_AGAIN_LATER, world: given }]
  const takenBack = [whole.world, settle(whole.world, NODES)].map((world) => ({
    answer: TRY_AGAIN_LATER,
    world: unplug(structuredClone(world), deed.plug).world,
  }))
  return [whole, { answer: TRY_AGAIN_LATER, world: given }, ...takenBack]
}
