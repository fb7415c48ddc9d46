// Heeds the kernel: whatever happens to a device of ours, or to the pod's side of one, is a look at its
// wire. Events are hints; what is true is read when looking.
import type { LinkEvent } from '../core/kernel-event.ts'
import { toWireKey } from '../core/wire.ts'
import { observeLinks, readIfindex } from '../kernel/links.ts'
import { watchKernel } from '../kernel/monitor.ts'
import type { Looks } from './looks.ts'
import type { Node } from './node.ts'

/** An interface that is set down and up again within this time was not down: a cable is not that quick. */
const SETTLE_MS = 100

export interface Heeding extends AsyncDisposable {
  /** Learns which devices are ours: from then on their events are told from others'. */
  readonly learn: () => Promise<void>
}

/** onGap is told when events may be lost: then everything is to be looked at. */
export async function heedKernel(
  node: Node,
  looks: Looks,
  onGap: (reason: string) => void,
): Promise<Heeding> {
  // By the kernel's number: what a pod's side of a veth names its other end by.
  const hostEnds = new Map<number, string>()

  const look = (dev: string, afterMs = SETTLE_MS): void => {
    const wire = node.state.findWire(dev)
    if (wire !== undefined) looks.seldom(wire, 'redirects', afterMs)
  }
  const suspects = new Set<string>()
  // Most of what happens to our devices is our own doing: what is as it should be once it has settled
  // needs no look.
  const suspect = (dev: string): void => {
    if (suspects.has(dev)) return
    suspects.add(dev)
    const check = async (): Promise<void> => {
      suspects.delete(dev)
      const link = (await observeLinks([dev])).get(dev)
      if (link === undefined || link.isUp !== node.wantedUp.get(dev)) look(dev)
    }
    setTimeout(() => {
      const wire = node.state.findWire(dev)
      // In the wire's turn: what is wanted by a look that is under way is not done yet.
      const checked = wire === undefined ? check() : node.queue(toWireKey(wire), check)
      checked.catch(() => look(dev))
    }, SETTLE_MS).unref()
  }
  const hearOurs = ({ name, ifindex, isDeleted }: LinkEvent): void => {
    const before = hostEnds.get(ifindex)
    if (isDeleted) hostEnds.delete(ifindex)
    // Renamed: it is missed under its old name.
    if (before !== undefined && before !== name) suspect(before)
    if (node.state.findWire(name) === undefined) return
    if (isDeleted) {
      node.owners.delete(name)
      node.leads.forget(name)
    } else hostEnds.set(ifindex, name)
    suspect(name)
  }
  // By host end, what its pod's side has last said of itself while that differs, or did, from what is known.
  const unsettled = new Map<string, boolean>()
  const settle = (name: string): void => {
    const compare = async (): Promise<void> => {
      const isUp = unsettled.get(name)
      unsettled.delete(name)
      if (isUp === undefined || node.owners.get(name) === isUp) return
      node.owners.delete(name)
      look(name, 0)
    }
    const wire = node.state.findWire(name)
    // In the wire's turn: a look that is under way may go by what has been in between.
    void (wire === undefined ? compare() : node.queue(toWireKey(wire), compare))
  }
  const hearPods = ({ peer, isUp, isDeleted }: LinkEvent): void => {
    const name = peer === undefined ? undefined : hostEnds.get(peer.ifindex)
    if (name === undefined) return
    const known = node.owners.get(name)
    if (!isDeleted && typeof known === 'boolean') {
      if (!unsettled.has(name) && known !== isUp) setTimeout(() => settle(name), SETTLE_MS).unref()
      if (unsettled.has(name) || known !== isUp) unsettled.set(name, isUp)
      return
    }
    // What was read inside the pod, or is being read, is out of date.
    unsettled.delete(name)
    node.owners.delete(name)
    look(name)
  }
  const learn = async (): Promise<void> => {
    for (const attachment of node.state.listAll()) {
      if (attachment.kind !== 'wire') continue
      const ifindex = await readIfindex(attachment.hostDevice)
      if (ifindex !== undefined) hostEnds.set(ifindex, attachment.hostDevice)
    }
  }
  const monitors = await watchKernel({
    onLink: (event) => {
      if (event.nsid === 'current') hearOurs(event)
      else hearPods(event)
    },
    onFilterLoss: (dev) => {
      node.leads.forget(dev)
      look(dev)
    },
    onGap: (reason) => {
      node.owners.clear()
      node.leads.forgetAll()
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
