// One look at a wire: what it should be here by the store and our own documents, what the kernel has,
// the steps between the two. Idempotent, whoever asks and however often; nothing to do costs no step.
import type { WireAttachment } from '../../core/attach/attachment.ts'
import { CniError, CommandError, renderCauses } from '../../core/errors.ts'
import { toTunnelDeviceName } from '../../core/name.ts'
import type { Vxlan } from '../../core/observe/links.ts'
import { toPeerKey, type Observation } from '../../core/observe/observation.ts'
import { diff } from '../../core/steps/diff.ts'
import type { Step } from '../../core/steps/step.ts'
import { wantWire, type WireGoal } from '../../core/wire/plan.ts'
import { isUnseen } from '../../core/observe/tool-json.ts'
import {
  listLetIn,
  listShutOut,
  toClaimAddress,
  toPeers,
  type Far,
  type Tunnel,
} from '../../core/wire/tunnel.ts'
import { changeEnd, clearDisplaced, releaseEnd } from '../../core/wire/ends.ts'
import {
  mayOpenTunnel,
  toAttachmentKey,
  toClaimsKey,
  toWireKey,
  type NodeReport,
  type Wire,
  type WireId,
} from '../../core/wire/wire.ts'
import { findTunnel, findWays, toWireGoal } from '../../core/wire/goal.ts'
import { findFarGuest } from '../../core/wire/suppose.ts'
import { toWirePart, type WirePart } from '../../core/wire/part.ts'
import { applyRemoval, applySteps } from '../../kernel/apply.ts'
import { observeLinks } from '../../kernel/observe/links.ts'
import { isTableGone } from '../../kernel/peers.ts'
import { readTable } from '../../kernel/observe/node.ts'
import { isClaimEmpty, reclaim } from './claims.ts'
import { forgetGone, listGone } from './release-gone.ts'
import { forgetGuest, tellGuest } from '../guest/carrier.ts'
import { mendTable } from '../events/mend-nft-table.ts'
import type { AgentContext } from '../context.ts'
import { listDevices, noteMade, observeWire, type Depth } from './observe.ts'
import { remember, suppose } from './heard.ts'
import { readPodEndStates, type PodEndStates } from './pod-end-state.ts'
import { rebuildEnd } from './rebuild.ts'
import { report, toReport } from './report.ts'
import { giveBackTunnel, prepareTunnel } from './tunnel.ts'

const TRIES = 3

/** Runs under the wire's queue. Throws what the store, or the kernel, refused; then it is to be tried again. */
export async function reconcileWire(node: AgentContext, id: WireId, depth: Depth): Promise<void> {
  for (let tries = 1; ; tries += 1) {
    node.lookedAt.delete(toWireKey(id))
    const { wire: stored, failure } = await settle(node, id)
    const wire = suppose(node, id, stored)
    const part = toWirePart(wire, node.state.listOf(id), node.name)
    const observed = await observeWire(node, { id, wire, part }, depth)
    // An end whose devices died with its sandbox is unplugged, whatever its document says.
    const plugged = part.ends.filter((end) => observed.links.has(end.hostDevice))
    try {
      const state = await bringAbout(node, id, { wire, part, plugged, observed })
      // What could be done for the others is done.
      if (failure !== undefined) throw failure
      // Reports are about what the store says.
      const isStored = wire !== undefined && wire === stored
      if (isStored && state !== undefined && part.ends.length > 0)
        report(node, id, plugged, toReport(node, wire, state))
      if (stored !== undefined) node.lookedAt.set(toWireKey(id), toClaimsKey(stored))
      return
    } catch (error) {
      if (tries < TRIES && error instanceof CommandError && (await isPast(node, id, observed)))
        continue
      // Flushed a moment ago, before its events were heard.
      if (isTableGone(error) && tries < TRIES) {
        await mendTable(node)
        continue
      }
      if (stored !== undefined) report(node, id, plugged, toReport(node, stored, 'failed', error))
      throw error
    }
  }
}

/** Whether a sandbox, or a device, went away between our look and our step. */
async function isPast(node: AgentContext, id: WireId, { links }: Observation): Promise<boolean> {
  const still = await observeLinks([...links.keys()])
  // A namespace's devices go a moment after its name.
  return still.size < links.size || (await listGone(node, id)).length > 0
}

interface Settled {
  readonly wire: Wire | undefined
  /** Why an end could not be made again. */
  readonly failure: Error | undefined
}

/** The wire once this node's claims in it are what they should be, and have devices. */
async function settle(node: AgentContext, id: WireId): Promise<Settled> {
  await forgetGone(node, id)
  const wire = await node.store.read(id)
  const part = toWirePart(wire, node.state.listOf(id), node.name)
  await markPhases(node, part)
  const isReclaimed = await reclaim(node, part.unclaimed)
  const isGivenBack = await giveBackOrphans(node, id, part)
  const now = isReclaimed || isGivenBack ? await node.store.read(id) : wire
  remember(node, id, now)
  const failure = await rebuildMissing(node, toWirePart(now, node.state.listOf(id), node.name))
  return { wire: now, failure }
}

async function markPhases(node: AgentContext, { ends, lost }: WirePart): Promise<void> {
  for (const end of lost) {
    // One that is being added is its verb's to write down.
    if (end.phase !== 'ready') continue
    const facts = { end: toAttachmentKey(end), wire: toWireKey(end.wire) }
    node.log.warn(facts, 'a newer sandbox has this end')
    await node.state.put({ ...end, phase: 'released' })
    forgetGuest(node, end)
  }
  // Whoever failed to take an end over has put it back; or the guest that it was made for has come.
  for (const { isTarget, ...end } of ends)
    if (end.phase === 'released' || (end.phase === 'ready' && isTarget))
      await node.state.put({ ...end, phase: 'ready' })
}

async function giveBackOrphans(
  node: AgentContext,
  id: WireId,
  { orphans }: WirePart,
): Promise<boolean> {
  let isChanged = false
  for (const end of orphans)
    if (await isClaimEmpty(node, end)) {
      node.log.warn({ end, wire: toWireKey(id) }, 'a claim without a sandbox is given back')
      await node.store.update(id, (current) => releaseEnd(current, end))
      isChanged = true
    }
  return isChanged
}

/** Returns the first of what went wrong: one end's trouble must not keep the other waiting. */
async function rebuildMissing(
  node: AgentContext,
  { ends, targets }: WirePart,
): Promise<Error | undefined> {
  const all = [...ends, ...targets]
  const observed = await observeLinks(all.map(({ hostDevice }) => hostDevice))
  // Its alias is the last thing that a device gets: without it, making it again was cut off.
  const isWhole = ({ hostDevice }: WireAttachment): boolean => {
    const link = observed.get(hostDevice)
    return link !== undefined && (link.alias !== '' || link.isUp)
  }
  const failures: Error[] = []
  for (const end of all) {
    if (end.phase !== 'ready' || isWhole(end)) continue
    try {
      await rebuildEnd(node, end, observed)
    } catch (error) {
      if (!isUnseen(error)) throw error
      failures.push(error)
    }
  }
  return failures[0]
}

interface Look {
  readonly wire: Wire | undefined
  readonly part: WirePart
  readonly plugged: readonly WireAttachment[]
  readonly observed: Observation
}

/** Undefined while we wait for the far node to claim a VNI. */
async function bringAbout(
  node: AgentContext,
  id: WireId,
  look: Look,
): Promise<NodeReport['state'] | undefined> {
  const { wire, part, plugged, observed } = look
  const seen = observed.links.get(toTunnelDeviceName(toWireKey(id)))
  const { links } = observed
  const { far, joined, end } = findWays({ wire, part, plugged, links, node: node.name })
  const mayOpen = far !== undefined && mayOpenTunnel(wire, node.name)
  const tunnel =
    mayOpen && end !== undefined
      ? await openTunnel(node, end, far, {
          running: seen?.vxlan?.vni,
          isJoined: joined !== undefined,
        })
      : undefined
  const { goal, podEndStates } = await carryOut(node, id, look, tunnel)
  if (far === undefined) await giveBackTunnel(node, id, wire, seen?.vxlan?.vni)
  await tellStore(node, id, wire, podEndStates)
  if (joined !== undefined && !mayOpen) return undefined
  for (const { end, hasCarrier } of goal.ends) tellGuest(node, end, hasCarrier)
  return goal.isJoined ? 'joined' : 'waiting'
}

/**
 * By what the node knows, with a store that may be away: the kernel has the wire as the last document says, and where
 * guests were heard since. Writes nothing to the store. Runs under the wire's queue.
 */
export async function reconcileKnown(node: AgentContext, id: WireId): Promise<void> {
  const wire = suppose(node, id, node.known.get(toWireKey(id)))
  if (wire === undefined) return
  const part = toWirePart(wire, node.state.listOf(id), node.name)
  const observed = await observeWire(node, { id, wire, part }, 'uncached')
  const plugged = part.ends.filter((end) => observed.links.has(end.hostDevice))
  const { links } = observed
  const { far, end } = findWays({ wire, part, plugged, links, node: node.name })
  const tunnel = findTunnel(wire, end, far, node.underlay)
  await carryOut(node, id, { wire, part, plugged, observed }, tunnel)
}

interface CarriedOut {
  readonly goal: WireGoal
  readonly podEndStates: PodEndStates
}

/** Makes the node's part so, with the tunnel that there may be. */
async function carryOut(
  node: AgentContext,
  id: WireId,
  { wire, part, plugged, observed }: Look,
  tunnel: Tunnel | undefined,
): Promise<CarriedOut> {
  const seen = observed.links.get(toTunnelDeviceName(toWireKey(id)))
  const podEndStates = await readPodEndStates(node, plugged, observed.links)
  const facts = { id, wire, part, plugged, node: node.name, tunnel, links: observed.links }
  const goal = toWireGoal({ ...facts, isUp: (one) => podEndStates.get(one) ?? true })
  const wanted = wantWire(goal)
  const before = node.wanted.get(toWireKey(id))
  // Before it is done, so that the kernel's word of it is known for an echo.
  if (part.ends.length + part.targets.length + part.lost.length + part.shutOut.length > 0)
    node.wanted.set(toWireKey(id), wanted)
  else node.wanted.delete(toWireKey(id))
  await bringTo(node, wanted, observed)
  await applyRemoval(node.run, node.classifier, await listStrays(node, before, wanted, seen?.vxlan))
  node.awaited.set(id, tunnel && findFarGuest(wire, node.name, plugged))
  return { goal, podEndStates }
}

interface Opening {
  readonly running: number | undefined
  readonly isJoined: boolean
}

/** A wire that works is no worse off for a migration that cannot be made ready. */
async function openTunnel(
  node: AgentContext,
  end: WireAttachment,
  far: Far,
  { running, isJoined }: Opening,
): Promise<Tunnel | undefined> {
  try {
    return await prepareTunnel(node, end, far, running)
  } catch (error) {
    if (isJoined || !(error instanceof CniError)) throw error
    const facts = { reason: renderCauses(error), wire: toWireKey(end.wire) }
    node.log.warn(facts, 'cannot make a wire ready for a migration')
    return undefined
  }
}

/** Undefined before is what an agent that was started again knows. What an earlier look wanted may not have been made. */
async function listStrays(
  { run }: AgentContext,
  before: readonly Step[] | undefined,
  wanted: readonly Step[],
  tunnel: Vxlan | null | undefined,
): Promise<readonly Step[]> {
  if (before === undefined)
    return tunnel
      ? listShutOut(toPeers(await readTable(run), tunnel.vni), wanted, tunnel.remote)
      : []
  const gone = listShutOut(listLetIn(before), wanted, tunnel?.remote)
  if (gone.length === 0) return []
  const { peers } = await readTable(run)
  return gone.filter(({ address, vni }) => peers.has(toPeerKey(address, vni)))
}

/** Does what is left of the steps. */
async function bringTo(
  node: AgentContext,
  wanted: readonly Step[],
  observed: Observation,
): Promise<void> {
  const left = diff(wanted, observed, node.classifier)
  // Of what fails halfway nothing is known.
  if (left.length > 0) for (const dev of listDevices(wanted)) node.linkCache.forget(dev)
  await applySteps(node.run, node.classifier, left)
  for (const step of left) if (step.op === 'del-link') node.linkCache.forget(step.dev)
  await noteMade(node, wanted)
}

/** What others must know: who is up and where, and that what was displaced leads nowhere now. */
async function tellStore(
  node: AgentContext,
  id: WireId,
  before: Wire | undefined,
  podEndStates: PodEndStates,
): Promise<void> {
  // As this look knew them: one that was noted since still leads somewhere. One that is being added is
  // noted until its verb is done.
  const noted = (before?.displaced ?? []).filter(
    (one) => one.node === node.name && node.state.find(one)?.phase !== 'adding',
  )
  const address = toClaimAddress(node.underlay)
  const change = (current: Wire | undefined): Wire | undefined => {
    const told = [...podEndStates].reduce<Wire | undefined>(
      (so, [end, isUp]) => changeEnd(so, end, { isUp, address }),
      current,
    )
    return noted.reduce<Wire | undefined>((so, one) => clearDisplaced(so, one), told)
  }
  const wire = await node.store.read(id)
  if (change(wire) !== wire) remember(node, id, await node.store.update(id, change))
}
