// What a starting agent does about what it finds, and what a running one does when it may have missed
// something: ADDs and DELs that were cut off are finished, sandboxes that are gone are forgotten, and
// the wires that are left are brought to where they should be. Nothing to do costs a handful of
// processes, however many wires there are.
import type { Attachment } from '../core/attachment.ts'
import { findOldStrays, findStrays, NO_STRAYS, planStrays, type Strays } from '../core/strays.ts'
import { readTunnelWire } from '../core/tunnel.ts'
import { isSettled } from '../core/wire-goal.ts'
import { listNodes, toWireKey, type Wire, type WireId } from '../core/wire.ts'
import type { NodeObservation } from '../core/node-observation.ts'
import { applyRemoval, applySteps } from '../kernel/apply.ts'
import { isSameNetns } from '../kernel/netns.ts'
import { observeNode } from '../kernel/observe-node.ts'
import { leave } from './detach.ts'
import type { Looks } from './looks.ts'
import { resumeTap } from './mend-tap.ts'
import { areGuestsHeard } from './guest-carrier.ts'
import type { Node } from './node.ts'
import { reconcileWire } from './reconcile.ts'

/** Before anything is served. One attachment's trouble is logged and does not keep the others waiting. */
export async function recover(node: Node, looks: Looks, learn: () => Promise<void>): Promise<void> {
  const attachments = await node.state.list((error) => {
    node.log.error({ err: error }, 'cannot read an attachment, it is left alone')
  })
  await learn()
  for (const attachment of attachments)
    if (attachment.phase === 'adding' || attachment.phase === 'leaving')
      await tryDrop(node, attachment)
  const { wires, unsettled, dark, strays } = await check(node)
  // Nobody is joining anything yet, so what no tunnel needs now is needed by none.
  for (const one of node.state.listAll())
    if (one.kind === 'tap' && one.phase === 'ready')
      await resumeTap(node, one).catch((error: unknown) => {
        node.log.error({ err: error, attachment: one }, 'cannot take a tap up again')
      })
  const steps = planStrays({ ...NO_STRAYS, peers: strays.peers })
  await applyRemoval(node.run, node.classifier, steps)
  for (const id of unsettled)
    try {
      await node.queue(toWireKey(id), async () => reconcileWire(node, id, 'redirects'))
    } catch (error) {
      node.log.error({ err: error, wire: toWireKey(id) }, 'cannot recover a wire yet')
      looks.soon(id, 'redirects')
    }
  for (const id of dark) looks.soon(id, 'links')
  const facts = { attachments: attachments.length, wires, mended: unsettled.length }
  node.log.info(facts, 'recovered')
}

/** While verbs are served. Takes away what was a stray the last time, and returns what is one now. */
export async function resync(node: Node, looks: Looks, before: Strays): Promise<Strays> {
  const { unsettled, strays } = await check(node)
  for (const id of unsettled) looks.soon(id, 'redirects')
  const old = findOldStrays(strays, before)
  const steps = planStrays(old)
  if (steps.length > 0) node.log.warn(old, 'removing what nothing stands behind')
  await applyRemoval(node.run, node.classifier, steps)
  return strays
}

interface Checked {
  readonly wires: number
  /** Those to look at closer. */
  readonly unsettled: readonly WireId[]
  /** Settled as far as can be seen, but whether an owner has its interface up only the pod itself says. */
  readonly dark: readonly WireId[]
  readonly strays: Strays
}

async function check(node: Node): Promise<Checked> {
  // The kernel first: what is made after this has a document by then, and is no stray.
  const seen = await observeNode(node.run)
  await dropGone(node, seen)
  await mendTable(node, seen)
  const { wires, isComplete } = await listStored(node)
  const listed = listWires(node, seen, wires)
  const unsettled: WireId[] = []
  const dark: WireId[] = []
  for (const { id, wire } of listed.values()) {
    const attachments = node.state.listOf(id)
    const { name, underlay } = node
    const { links: observed, peers } = seen
    const isThere = isSettled({ id, wire, attachments, node: name, underlay, observed, peers })
    if (!isThere || !areGuestsHeard(node, attachments)) unsettled.push(id)
    else if (attachments.some(({ hostDevice }) => observed.get(hostDevice)?.isUp === false))
      dark.push(id)
  }
  const attachments = node.state.listAll()
  // What cannot be read may be what stands behind a device.
  const isKnown = isComplete && !node.state.hasUnreadable()
  const strays = isKnown ? findStrays({ seen, attachments, wires, node: node.name }) : NO_STRAYS
  return { wires: listed.size, unsettled, dark, strays }
}

// As isGone, with one look at all host ends instead of one at each.
async function dropGone(node: Node, { links }: NodeObservation): Promise<void> {
  for (const attachment of node.state.listAll()) {
    if (attachment.phase === 'adding' || attachment.phase === 'leaving') continue
    if (attachment.kind === 'wire' && links.has(attachment.hostDevice)) continue
    try {
      const isGone = !(await isSameNetns(attachment.netns))
      // A DEL, and an ADD of the same key, may have been quicker.
      if (isGone && node.state.find(attachment) === attachment) await tryDrop(node, attachment)
    } catch (error) {
      node.log.error({ err: error, attachment }, 'cannot look at a sandbox')
    }
  }
}

// Somebody who flushed all tables closed the port to nobody and the tunnels to everybody.
async function mendTable(node: Node, { hasTable }: NodeObservation): Promise<void> {
  if (node.underlay === undefined || hasTable) return
  node.log.warn('the nftables table is gone or changed, it is made again')
  const { port } = node.underlay
  await applySteps(node.run, node.classifier, [{ op: 'guard-port', netns: undefined, port }])
}

interface Listed {
  readonly id: WireId
  readonly wire: Wire | undefined
}

interface Stored {
  readonly wires: readonly Wire[]
  /** Whether all of them could be read. */
  readonly isComplete: boolean
}

async function listStored(node: Node): Promise<Stored> {
  let isComplete = true
  const wires = await node.store.list((error) => {
    isComplete = false
    node.log.error({ err: error }, 'cannot read a wire, it is left alone')
  })
  return { wires, isComplete }
}

/** The wires that this node has anything of, by its own documents, the store's or its kernel. */
function listWires(
  node: Node,
  seen: NodeObservation,
  stored: readonly Wire[],
): ReadonlyMap<string, Listed> {
  const wires = new Map<string, Listed>()
  const note = (id: WireId | undefined): void => {
    if (id !== undefined) wires.set(toWireKey(id), { id, wire: undefined })
  }
  for (const attachment of node.state.listAll())
    if (attachment.kind === 'wire') note(attachment.wire)
  // A tunnel whose wire was deleted while nobody was here.
  for (const { alias } of seen.links.values()) note(readTunnelWire(alias))
  for (const wire of stored) {
    const id = { namespace: wire.namespace, name: wire.name }
    if (wires.has(toWireKey(id)) || listNodes(wire).includes(node.name))
      wires.set(toWireKey(id), { id, wire })
  }
  return wires
}

async function tryDrop(node: Node, attachment: Attachment): Promise<void> {
  const { containerID, ifname, phase } = attachment
  const facts = { containerID, ifname, phase }
  node.log.warn(facts, 'dropping an attachment, unfinished or without its sandbox')
  try {
    await leave(node, attachment)
  } catch (error) {
    node.log.error({ err: error, ...facts }, 'cannot drop an attachment yet')
  }
}
