// One look at a wire: what it should be here by the store and our own documents, what the kernel has,
// the steps between the two. Idempotent, whoever asks and however often; nothing to do costs no step.
import type { WireAttachment } from '../core/attachment.ts'
import { CommandError } from '../core/errors.ts'
import { toTunnelDeviceName } from '../core/name.ts'
import type { ObservedLinks } from '../core/observed.ts'
import { listLeads, planWire, type WireGoal } from '../core/plan.ts'
import { toClaimAddress, toPeerKey, type Tunnel } from '../core/tunnel.ts'
import {
  changeEnd,
  clearDisplaced,
  mayOpenTunnel,
  releaseEnd,
  toAttachmentKey,
  toClaimsKey,
  toWireKey,
  type NodeReport,
  type Wire,
  type WireId,
} from '../core/wire.ts'
import { findFar, toWireGoal } from '../core/wire-goal.ts'
import { toWirePart, type WirePart } from '../core/wire-part.ts'
import { applyRemoval, applySteps } from '../kernel/apply.ts'
import { observeLinks, observeRedirects } from '../kernel/links.ts'
import { isPeerAllowed } from '../kernel/peers.ts'
import { isClaimEmpty, reclaim } from './claims.ts'
import { forgetGone } from './forget.ts'
import { forgetGuest, tellGuest } from './guest-carrier.ts'
import type { Node } from './node.ts'
import { readOwnerUp } from './owner.ts'
import { rebuildEnd } from './rebuild.ts'
import { report, toReport } from './report.ts'
import { giveBackTunnel, prepareTunnel } from './tunnel.ts'

/** How well to look: at links, and at where they lead as far as that is not known; or at all, where it may be anything. */
export type Depth = 'links' | 'redirects'

const TRIES = 3

/** Runs under the wire's queue. Throws what the store, or the kernel, refused; then it is to be tried again. */
export async function reconcileWire(node: Node, id: WireId, depth: Depth): Promise<void> {
  for (let tries = 1; ; tries += 1) {
    node.lookedAt.delete(toWireKey(id))
    const { wire, failure } = await settle(node, id)
    const part = toWirePart(wire, node.state.listOf(id), node.name)
    const observed = await observe(node, id, part, depth)
    // An end whose devices died with its sandbox is unplugged, whatever its document says.
    const plugged = part.ends.filter((end) => observed.has(end.hostDevice))
    try {
      const state = await bringAbout(node, id, { wire, part, plugged, observed, depth })
      // What could be done for the others is done.
      if (failure !== undefined) throw failure
      if (wire !== undefined && state !== undefined && part.ends.length > 0)
        report(node, id, plugged, toReport(node, wire, state))
      if (wire !== undefined) node.lookedAt.set(toWireKey(id), toClaimsKey(wire))
      return
    } catch (error) {
      // A sandbox may go away between our look and our step: look again.
      const still = await observeLinks(plugged.map(({ hostDevice }) => hostDevice))
      const isRace = error instanceof CommandError && still.size < plugged.length
      if (isRace && tries < TRIES) continue
      if (wire !== undefined) report(node, id, plugged, toReport(node, wire, 'failed', error))
      throw error
    }
  }
}

interface Settled {
  readonly wire: Wire | undefined
  /** Why an end could not be made again. */
  readonly failure: Error | undefined
}

/** The wire once this node's claims in it are what they should be, and have devices. */
async function settle(node: Node, id: WireId): Promise<Settled> {
  await forgetGone(node, id)
  const wire = await node.store.read(id)
  const part = toWirePart(wire, node.state.listOf(id), node.name)
  await markPhases(node, part)
  const isReclaimed = await reclaim(node, part.unclaimed)
  const isGivenBack = await giveBackStrays(node, id, part)
  const failure = await rebuildMissing(node, part)
  return { wire: isReclaimed || isGivenBack ? await node.store.read(id) : wire, failure }
}

async function markPhases(node: Node, { ends, lost }: WirePart): Promise<void> {
  for (const end of lost) {
    // One that is being added is its verb's to write down.
    if (end.phase !== 'ready') continue
    const facts = { end: toAttachmentKey(end), wire: toWireKey(end.wire) }
    node.log.warn(facts, 'a newer sandbox has this end')
    await node.state.put({ ...end, phase: 'released' })
    forgetGuest(node, end)
  }
  // Whoever failed to take an end over has put it back.
  for (const end of ends)
    if (end.phase === 'released') await node.state.put({ ...end, phase: 'ready' })
}

async function giveBackStrays(node: Node, id: WireId, { strays }: WirePart): Promise<boolean> {
  let isChanged = false
  for (const end of strays)
    if (await isClaimEmpty(node, end)) {
      node.log.warn({ end, wire: toWireKey(id) }, 'a claim without a sandbox is given back')
      await node.store.update(id, (current) => releaseEnd(current, end))
      isChanged = true
    }
  return isChanged
}

/** Returns the first of what went wrong: one end's trouble must not keep the other waiting. */
async function rebuildMissing(node: Node, { ends }: WirePart): Promise<Error | undefined> {
  const observed = await observeLinks(ends.map(({ hostDevice }) => hostDevice))
  // Its alias is the last thing that a device gets: without it, making it again was cut off.
  const isWhole = ({ hostDevice }: WireAttachment): boolean => {
    const link = observed.get(hostDevice)
    return link !== undefined && (link.alias !== '' || link.isUp)
  }
  const failures: Error[] = []
  for (const end of ends) {
    if (end.phase !== 'ready' || isWhole(end)) continue
    try {
      await rebuildEnd(node, end, observed)
    } catch (error) {
      if (!(error instanceof CommandError)) throw error
      failures.push(error)
    }
  }
  return failures[0]
}

async function observe(
  node: Node,
  id: WireId,
  { ends, lost, shutOut }: WirePart,
  depth: Depth,
): Promise<ObservedLinks> {
  const devices = [...ends, ...lost, ...shutOut].map(({ hostDevice }) => hostDevice)
  const names = [...devices, toTunnelDeviceName(toWireKey(id))]
  if (depth === 'redirects') return observeRedirects(node.run, names)
  const links = await node.leads.fillIn(await observeLinks(names))
  // Not set again, either: what an earlier agent set may be of a kind that has to be taken away first. What no
  // look has been at has no alias yet, and leads nowhere.
  const isOpen = [...links.values()].some(
    (link) => link.redirects === undefined && link.alias !== '',
  )
  return isOpen ? observeRedirects(node.run, names) : links
}

interface Look {
  readonly wire: Wire | undefined
  readonly part: WirePart
  readonly plugged: readonly WireAttachment[]
  readonly observed: ObservedLinks
  readonly depth: Depth
}

/** Undefined while the far end's node is about to write what we wait for: then there is something to say. */
async function bringAbout(
  node: Node,
  id: WireId,
  { wire, part, plugged, observed, depth }: Look,
): Promise<NodeReport['state'] | undefined> {
  const device = toTunnelDeviceName(toWireKey(id))
  const [end] = plugged
  const far = findFar(wire, plugged, node.name)
  const mayOpen = far !== undefined && mayOpenTunnel(wire, node.name)
  const tunnel = mayOpen && end !== undefined ? await prepareTunnel(node, end, far) : undefined
  const owners = await readOwners(node, plugged, observed)
  const facts = { id, wire, part, plugged, node: node.name, tunnel }
  const goal = toWireGoal({ ...facts, isUp: (one) => owners.get(one) ?? true })
  const peers = depth === 'links' ? undefined : await readPeers(node, tunnel, observed)
  const { steps, removals } = planWire(goal, observed, peers)
  noteWanted(node, goal)
  const leads = listLeads(goal)
  // Of what fails halfway nothing is known.
  for (const { dev } of leads) node.leads.forget(dev)
  await applySteps(node.run, node.classifier, steps)
  await applyRemoval(node.run, node.classifier, removals)
  await node.leads.note(leads)
  if (far === undefined) await giveBackTunnel(node, id, wire, observed.get(device))
  await tellStore(node, id, wire, owners)
  if (far !== undefined && !mayOpen) return undefined
  for (const { end, hasCarrier } of goal.ends) tellGuest(node, end, hasCarrier)
  return goal.isJoined ? 'joined' : 'waiting'
}

// Before it is done, so that the kernel's word of it is known for an echo.
function noteWanted({ wantedUp }: Node, { ends, detached, tunnel, closing }: WireGoal): void {
  for (const { end, hasCarrier } of ends) wantedUp.set(end.hostDevice, hasCarrier)
  for (const { hostDevice } of detached) wantedUp.set(hostDevice, false)
  if (tunnel !== undefined) wantedUp.set(tunnel.device, true)
  if (closing !== undefined) wantedUp.delete(closing)
}

/** Whether the tunnel's far end is let in, where the tunnel is there already. */
async function readPeers(
  { run }: Node,
  tunnel: Tunnel | undefined,
  observed: ObservedLinks,
): Promise<ReadonlySet<string> | undefined> {
  if (tunnel === undefined || !observed.has(tunnel.device)) return undefined
  const { remote, vni } = tunnel
  return new Set((await isPeerAllowed(run, remote, vni)) ? [toPeerKey(remote, vni)] : [])
}

type Owners = ReadonlyMap<WireAttachment, boolean>

async function readOwners(
  node: Node,
  ends: readonly WireAttachment[],
  observed: ObservedLinks,
): Promise<Owners> {
  const owners = new Map<WireAttachment, boolean>()
  for (const end of ends) owners.set(end, await readOwnerUp(node.run, node.owners, end, observed))
  return owners
}

/** What others must know: who is up and where, and that what was displaced leads nowhere now. */
async function tellStore(
  node: Node,
  id: WireId,
  before: Wire | undefined,
  owners: Owners,
): Promise<void> {
  // As this look knew them: one that was noted since still leads somewhere. One that is being added is
  // noted until its verb is done.
  const noted = (before?.displaced ?? []).filter(
    (one) => one.node === node.name && node.state.find(one)?.phase !== 'adding',
  )
  const address = toClaimAddress(node.underlay)
  const change = (current: Wire | undefined): Wire | undefined => {
    const told = [...owners].reduce<Wire | undefined>(
      (so, [end, isUp]) => changeEnd(so, end, { isUp, address }),
      current,
    )
    return noted.reduce<Wire | undefined>((so, one) => clearDisplaced(so, one), told)
  }
  const wire = await node.store.read(id)
  if (change(wire) !== wire) await node.store.update(id, change)
}
