// What a starting agent does about what it finds, and what a running one does when it may have missed
// something: ADDs and DELs that were cut off are finished, sandboxes that are gone are forgotten, and
// the wires that are left are brought to where they should be. Nothing to do costs a handful of
// processes, however many wires there are.
import type { Attachment } from '../../core/attach/attachment.ts'
import { findOldOrphans, NO_ORPHANS, planOrphans, type Orphans } from '../../core/wire/orphans.ts'
import { isSettled } from '../../core/wire/goal.ts'
import { findFarGuest } from '../../core/wire/suppose.ts'
import { holdsEnd } from '../../core/wire/ends.ts'
import { toWirePart } from '../../core/wire/part.ts'
import { toAttachmentKey, toWireKey, type Wire, type WireId } from '../../core/wire/wire.ts'
import type { NodeObservation } from '../../core/observe/node.ts'
import { applyRemoval } from '../../kernel/apply.ts'
import { isSameNetns } from '../../kernel/netns.ts'
import { detach, leave } from '../attach/detach.ts'
import type { ReconcileQueue } from './reconcile-queue.ts'
import { resumeTap } from '../attach/mend-tap.ts'
import { areGuestsHeard } from '../guest/carrier.ts'
import { mendRules, mendTable } from '../events/mend-nft-table.ts'
import type { AgentContext } from '../context.ts'
import { awaitGuest } from './guest-arrival.ts'
import { remember } from './heard.ts'
import { reconcileWire } from './reconcile.ts'
import { restoreMissing } from '../attach/restore-documents.ts'
import { observeAll, surveyWires } from './survey.ts'

/**
 * What a starting agent takes up without its store, which may be away for long: whom the tunnels let in, and the
 * VMs' DHCP servers, which ended with the agent before. Can be done again where it fails.
 */
export async function resume(node: AgentContext): Promise<void> {
  await mendTable(node)
  for (const one of node.state.listAll())
    if (one.kind === 'tap' && one.phase === 'ready')
      await node.turns
        .attachment(one, async () => {
          // A DEL may have been quicker.
          if (node.state.find(one) === one) await resumeTap(node, one)
        })
        .catch((error: unknown) => {
          node.log.error({ err: error, attachment: one }, 'cannot take a tap up again')
        })
}

/**
 * Before anything is plugged in; DELs come meanwhile. One attachment's trouble is logged and does not keep the
 * others waiting. Can be done again where it fails.
 */
export async function recover(node: AgentContext, reconcileQueue: ReconcileQueue): Promise<void> {
  const attachments = node.state.listAll()
  for (const attachment of attachments) {
    const isUnfinished = attachment.phase === 'adding' || attachment.phase === 'leaving'
    // A DEL may have been quicker.
    if (isUnfinished && node.state.find(attachment) === attachment) await tryDrop(node, attachment)
  }
  const { wires, unsettled, dark, orphans } = await check(node)
  // Nobody is joining anything yet, so what no tunnel needs now is needed by none.
  const steps = planOrphans({ ...NO_ORPHANS, peers: orphans.peers })
  await applyRemoval(node.run, node.classifier, steps)
  for (const id of unsettled)
    try {
      await node.turns.wire(id, async () => reconcileWire(node, id, 'all'))
    } catch (error) {
      node.log.error({ err: error, wire: toWireKey(id) }, 'cannot recover a wire yet')
      reconcileQueue.soon(id, 'all')
    }
  for (const id of dark) reconcileQueue.soon(id, 'uncached')
  const facts = { attachments: attachments.length, wires, mended: unsettled.length }
  node.log.info(facts, 'recovered')
}

/** While verbs are served. Takes away what was a stray the last time, and returns what is one now. */
export async function resync(
  node: AgentContext,
  reconcileQueue: ReconcileQueue,
  before: Orphans,
): Promise<Orphans> {
  await restoreMissing(node)
  const { unsettled, orphans } = await check(node)
  for (const id of unsettled) reconcileQueue.soon(id, 'all')
  const old = findOldOrphans(orphans, before)
  const steps = planOrphans(old)
  if (steps.length > 0) node.log.warn(old, 'removing what nothing stands behind')
  await applyRemoval(node.run, node.classifier, steps)
  return orphans
}

interface Checked {
  readonly wires: number
  /** Those to look at closer. */
  readonly unsettled: readonly WireId[]
  /** Settled as far as can be seen, but whether an owner has its interface up only the pod itself says. */
  readonly dark: readonly WireId[]
  readonly orphans: Orphans
}

async function check(node: AgentContext): Promise<Checked> {
  const observed = await observeAll(node, (error) => {
    node.log.warn({ err: error }, 'cannot read a device of this node, it is passed over')
  })
  await dropGone(node, observed)
  await mendRules(node, observed)
  const { listed, orphans } = await surveyWires(node, observed)
  const unsettled: WireId[] = []
  const dark: WireId[] = []
  for (const { id, wire } of listed) {
    const attachments = node.state.listOf(id)
    const { name, underlay, classifier } = node
    if (!node.known.has(toWireKey(id))) learn(node, id, wire)
    const isThere = isSettled({ id, wire, attachments, node: name, underlay, observed, classifier })
    for (const end of attachments)
      if (end.isTarget && end.phase === 'ready' && !holdsEnd(wire, end)) awaitGuest(node, end)
    if (!isThere || !areGuestsHeard(node, attachments)) unsettled.push(id)
    else if (attachments.some(({ hostDevice }) => observed.links.get(hostDevice)?.isUp === false))
      dark.push(id)
  }
  return { wires: listed.length, unsettled, dark, orphans }
}

// What a reconcile that there may be no need for would have noted.
function learn(node: AgentContext, id: WireId, wire: Wire | undefined): void {
  remember(node, id, wire)
  const { ends } = toWirePart(wire, node.state.listOf(id), node.name)
  node.awaited.set(id, findFarGuest(wire, node.name, ends))
}

// As isGone, with one look at all host ends instead of one at each.
async function dropGone(node: AgentContext, { links }: NodeObservation): Promise<void> {
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

async function tryDrop(node: AgentContext, attachment: Attachment): Promise<void> {
  const { containerID, ifname, phase } = attachment
  const facts = { containerID, ifname, phase }
  node.log.warn(facts, 'dropping an attachment, unfinished or without its sandbox')
  try {
    // One that left while its store was away has only to be told of.
    const isGone = node.leaving.has(toAttachmentKey(attachment))
    await (isGone ? detach(node, attachment) : leave(node, attachment))
  } catch (error) {
    node.log.error({ err: error, ...facts }, 'cannot drop an attachment yet')
  }
}
