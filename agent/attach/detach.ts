// An attachment's way out, for DEL, GC, release notes and for what a starting agent finds. Never fails
// on what is gone, and a DEL does not fail because the store is away.
import type { Attachment, WireAttachment } from '../../core/attach/attachment.ts'
import { newBackoff } from '../../core/backoff.ts'
import { readOwner, type Owner } from '../../core/cni/del.ts'
import type { CniRequest } from '../../core/cni/protocol.ts'
import { DecodeError } from '../../core/errors.ts'
import { toHostEndName } from '../../core/name.ts'
import { planDetach } from '../../core/wire/plan.ts'
import { toAttachmentKey, type AttachmentId } from '../../core/wire/wire.ts'
import { applyRemoval } from '../../kernel/apply.ts'
import { parseTargets } from '../../core/steps/filter.ts'
import { observeLinks, readFilters } from '../../kernel/observe/links.ts'
import { finishWithin } from '../finish-within.ts'
import { forgetGuest } from '../guest/carrier.ts'
import type { AgentContext } from '../context.ts'
import { releaseUnknown } from '../wire/release-unknown.ts'
import { untap } from './tap-verbs.ts'
import { unplug } from '../wire/verbs.ts'

/** How long a DEL waits for the store. */
const STORE_MS = 2_000
/** How soon what the store could not be told is told again, and how late at most. */
const AGAIN_FIRST_MS = 1_000
const AGAIN_MOST_MS = 30_000

/** Takes devices, claim and document of an attachment away. Throws, with the document left, when the store fails. */
export async function detach(node: AgentContext, attachment: Attachment): Promise<void> {
  if (attachment.kind === 'wire')
    await node.turns.wire(attachment.wire, async () => finish(node, attachment))
  else {
    await untap(node, attachment)
    await node.state.del(attachment)
  }
}

async function finish(node: AgentContext, attachment: WireAttachment): Promise<void> {
  // So that no look at the wire makes again what is being taken away.
  const leaving: WireAttachment = { ...attachment, phase: 'leaving' }
  // A full disk is no reason to keep an end.
  await node.state.put(leaving).catch((error: unknown) => {
    node.log.warn({ err: error, ...toId(attachment) }, 'cannot write that an attachment is leaving')
    node.state.note(leaving)
  })
  forgetGuest(node, attachment)
  await unplug(node, attachment)
  await node.state.del(attachment)
}

/**
 * As detach, but with the devices gone it is done: a store that is away hears of it later, from this
 * agent or the next. Throws when the kernel refuses, or when nothing would remember what is left to do.
 */
export async function leave(node: AgentContext, attachment: Attachment): Promise<void> {
  if (attachment.kind === 'tap') return detach(node, attachment)
  if (attachment.phase === 'leaving' && node.leaving.has(toAttachmentKey(attachment))) return
  const leaving: WireAttachment = { ...attachment, phase: 'leaving' }
  const noted = node.state.put(leaving)
  // A full disk matters only if the store is away, too.
  await noted.catch(() => undefined)
  const detached = detach(node, leaving)
  const failure = await finishWithin(detached, STORE_MS)
  if (failure === undefined) return
  await removeDevices(node, leaving)
  await noted
  node.log.warn({ err: failure.error, ...toId(leaving) }, 'unplugged, the store hears of it later')
  releaseLater(node, leaving, detached)
}

/**
 * A DEL, from the socket or from a note. It needs no valid configuration: one that was edited since its ADD, or
 * refused by it, must not keep a pod.
 */
export async function del(
  node: AgentContext,
  { args, config }: Pick<CniRequest, 'args' | 'config'>,
): Promise<void> {
  await releaseOf(node, args, readOwner(config))
}

/** As leave, for an attachment that may not be there, or be another network's or another plugin's. */
export async function releaseOf(node: AgentContext, id: AttachmentId, by: Owner): Promise<void> {
  const attachment = await readOrDrop(node, id)
  if (attachment === undefined) {
    // A tap is in its pod's namespace, and goes with that.
    if (by.type !== 'l2wire-bind') await releaseUnknown(node, id)
  } else if (isOf(attachment, by)) await leave(node, attachment)
}

/** Whether the attachment is of this network and type, as far as they are known. */
export function isOf(attachment: Attachment, { network, type }: Owner): boolean {
  const own = attachment.kind === 'wire' ? 'l2wire' : 'l2wire-bind'
  return (network ?? attachment.network) === attachment.network && (type ?? own) === own
}

// Without the store. Whoever has the wire's turn waits for it: nothing joins meanwhile.
async function removeDevices(
  node: AgentContext,
  { wire, hostDevice }: WireAttachment,
): Promise<void> {
  const abandoned: string[] = []
  for (const { hostDevice: dev } of node.state.listOf(wire))
    if (dev !== hostDevice && (await leadsNowhereBut(node, dev, hostDevice))) abandoned.push(dev)
  await applyRemoval(node.run, node.classifier, [
    ...planDetach(abandoned),
    { op: 'del-link', netns: undefined, dev: hostDevice },
  ])
}

// A redirect outlives the device it leads to.
async function leadsNowhereBut(node: AgentContext, dev: string, gone: string): Promise<boolean> {
  const [filters = []] = (await readFilters(node.run, [{ dev, hook: 'ingress' }])).values()
  const targets = parseTargets(filters)
  const others = await observeLinks(targets.filter((target) => target !== gone))
  return targets.length > 0 && others.size === 0
}

// Tells the store until it has heard, once the try that is under way has failed.
function releaseLater(node: AgentContext, attachment: WireAttachment, first: Promise<void>): void {
  const key = toAttachmentKey(attachment)
  if (node.leaving.has(key)) return
  node.leaving.add(key)
  const backoff = newBackoff(AGAIN_FIRST_MS, AGAIN_MOST_MS)
  const goOn = (trying: Promise<void>): void => {
    trying.then(
      () => {
        node.leaving.delete(key)
        node.log.info(toId(attachment), 'the store has heard of an end that was unplugged')
      },
      (error: unknown) => {
        const againMs = backoff.next()
        node.log.warn({ err: error, ...toId(attachment), againMs }, 'the store is still away')
        setTimeout(() => goOn(finishIfLeaving(node, attachment)), againMs).unref()
      },
    )
  }
  goOn(first)
}

// An ADD of the same key that was quicker has finished it in the wire's turn, and another one may be on
// another wire.
async function finishIfLeaving(node: AgentContext, id: AttachmentId): Promise<void> {
  const left = await readLeaving(node, id)
  if (left === undefined) return
  await node.turns.wire(left.wire, async () => {
    const still = await readLeaving(node, id)
    if (still !== undefined) await finish(node, still)
  })
}

async function readLeaving(
  node: AgentContext,
  id: AttachmentId,
): Promise<WireAttachment | undefined> {
  const left = await node.state.get(id)
  return left?.kind === 'wire' && left.phase === 'leaving' ? left : undefined
}

function toId({ containerID, ifname }: AttachmentId): AttachmentId {
  return { containerID, ifname }
}

/** The attachment, or undefined when there is none, or when its document cannot be read: that one goes. */
export async function readOrDrop(
  node: AgentContext,
  id: AttachmentId,
): Promise<Attachment | undefined> {
  try {
    return await node.state.get(id)
  } catch (error) {
    if (!(error instanceof DecodeError)) throw error
    // CNI spec, "DEL": a pod must not stay because of our troubles. The host end's name follows from
    // the id alone; a claim nobody can name is released when its end is claimed anew.
    node.log.error(
      { err: error, ...toId(id) },
      'cannot read an attachment, its host end is removed',
    )
    const dev = toHostEndName(id.containerID, id.ifname)
    await applyRemoval(node.run, node.classifier, [{ op: 'del-link', netns: undefined, dev }])
    await node.state.del(id)
    return undefined
  }
}
