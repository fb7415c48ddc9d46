// Reconciles the wire of a device of ours that something happens to, or to the pod's side of it. Events are hints
// (core/observe/link-reactions.ts says of what): what is true is read then.
import { getFamily } from '../../core/net/ip.ts'
import {
  NOTHING_HEARD,
  reactToOurs,
  reactToPods,
  reactToSettled,
  setIndex,
  type HeardLinks,
  type LinkFacts,
  type LinkReaction,
} from '../../core/observe/link-reactions.ts'
import { diff } from '../../core/steps/diff.ts'
import type { Step } from '../../core/steps/step.ts'
import { toWireKey } from '../../core/wire/wire.ts'
import {
  observeLinks,
  observeTunnels,
  readIfindex,
  readIpv6Addresses,
  readOffloads,
} from '../../kernel/observe/links.ts'
import { watchKernel } from '../../kernel/monitor.ts'
import type { ReconcileQueue } from '../wire/reconcile-queue.ts'
import { newTableMender } from './mend-nft-table.ts'
import type { AgentContext } from '../context.ts'
import type { TapQueue } from '../attach/tap-queue.ts'

/** An interface that is set down and up again within this time was not down: a cable is not that quick. */
const SETTLE_MS = 100

export interface KernelEvents extends AsyncDisposable {
  /** Learns which devices are ours: from then on their events are told from others'. */
  readonly learn: () => Promise<void>
}

/** onGap is told when events may be lost: then everything is to be looked at. */
export async function watchKernelEvents(
  node: AgentContext,
  reconcileQueue: ReconcileQueue,
  tapQueue: TapQueue,
  onGap: (reason: string) => void,
): Promise<KernelEvents> {
  let heard = NOTHING_HEARD
  const facts: LinkFacts = {
    isOurs: (dev) => node.state.findWire(dev) !== undefined,
    isPodEndUp: (hostEnd) => {
      const known = node.podEndStates.get(hostEnd)
      return typeof known === 'boolean' ? known : undefined
    },
  }
  const reconcile = (dev: string, afterMs = SETTLE_MS): void => {
    const wire = node.state.findWire(dev)
    if (wire !== undefined) reconcileQueue.seldom(wire, 'all', afterMs)
  }
  // In the wire's turn: of what a reconcile that is under way wants not all is done yet, and it may go by what
  // has been in between.
  const inTurn = async (dev: string, action: () => Promise<void>): Promise<void> => {
    const wire = node.state.findWire(dev)
    return wire === undefined ? action() : node.turns.wire(wire, action)
  }
  const suspects = new Set<string>()
  // Most of what happens to our devices is our own doing: what is as it should be once it has settled is left.
  const compare = (dev: string): void => {
    if (suspects.has(dev)) return
    suspects.add(dev)
    const check = async (): Promise<void> => {
      suspects.delete(dev)
      // By what the kernel has, whatever an event says.
      heard = setIndex(heard, dev, await readIfindex(dev))
      if (await isAstray(node, dev)) reconcile(dev)
    }
    setTimeout(() => void inTurn(dev, check).catch(() => reconcile(dev)), SETTLE_MS).unref()
  }
  const settle = (dev: string): void => {
    setTimeout(
      () => void inTurn(dev, async () => act(reactToSettled(heard, dev))),
      SETTLE_MS,
    ).unref()
  }
  const act = ([next, reactions]: readonly [HeardLinks, readonly LinkReaction[]]): void => {
    heard = next
    for (const reaction of reactions) {
      const { dev } = reaction
      if (reaction.do === 'compare') compare(dev)
      if (reaction.do === 'settle') settle(dev)
      if (reaction.do === 'forget-pod-end') node.podEndStates.delete(dev)
      if (reaction.do === 'forget-device') node.linkCache.forget(dev)
      if (reaction.do === 'reconcile') reconcile(dev, reaction.isSettled ? 0 : SETTLE_MS)
    }
  }
  const learn = async (): Promise<void> => {
    for (const attachment of node.state.listAll()) {
      if (attachment.kind !== 'wire') continue
      const ifindex = await readIfindex(attachment.hostDevice)
      if (ifindex !== undefined) heard = setIndex(heard, attachment.hostDevice, ifindex)
    }
    await tapQueue.learnAll()
  }
  const mend = newTableMender(node, onGap)
  const monitors = await watchKernel({
    onLink: (event) => {
      if (event.nsid === 'current') return act(reactToOurs(heard, event, facts))
      const hostEnd = event.peer === undefined ? undefined : heard.hostEnds.get(event.peer.ifindex)
      if (hostEnd !== undefined) tapQueue.learn(event.nsid, hostEnd)
      tapQueue.hear(event)
      act(reactToPods(heard, event, facts))
    },
    onFilter: ({ dev, target }) => {
      const isOurs = listWanted(node, dev).some(
        (step) => step.op === 'add-redirect' && step.dev === dev && step.target === target,
      )
      if (isOurs) return
      node.linkCache.forget(dev)
      reconcile(dev)
    },
    onHops:
      node.underlay === undefined || getFamily(node.underlay.address) === 4 ? undefined : mend,
    onTableLoss: node.underlay === undefined ? undefined : mend,
    onGap: (reason) => {
      node.podEndStates.clear()
      node.linkCache.forgetAll()
      // What cannot be learnt is learnt from events; the look is what matters.
      void learn()
        .catch((error: unknown) => node.log.error({ err: error }, 'cannot learn our devices'))
        .then(() => onGap(reason))
    },
  })
  return {
    learn,
    [Symbol.asyncDispose]: async () => monitors[Symbol.asyncDispose](),
  }
}

/** What the last reconcile of the device's wire wanted. */
function listWanted(node: AgentContext, dev: string): readonly Step[] {
  const wire = node.state.findWire(dev)
  return (wire === undefined ? undefined : node.wanted.get(toWireKey(wire))) ?? []
}

/** Whether the device differs from what is wanted of it, where it leads apart. */
async function isAstray(node: AgentContext, dev: string): Promise<boolean> {
  const steps = listWanted(node, dev).filter((step) => 'dev' in step && step.dev === dev)
  const links = steps.some(({ op }) => op === 'add-vxlan')
    ? await observeTunnels(node.run, [dev])
    : await observeLinks([dev])
  if (!links.has(dev)) return true
  const whole = steps.flatMap((step) => (step.op === 'stop-offload' ? [step.dev] : []))
  const [addresses, offloads] = await Promise.all([
    readIpv6Addresses(),
    readOffloads(node.run, whole),
  ])
  const observed = { links, addresses, offloads, filters: new Map<string, never>() }
  return steps.length === 0 || diff(steps, observed, node.classifier).length > 0
}
