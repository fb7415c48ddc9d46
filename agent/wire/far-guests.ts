// The far end of a wire whose VM migrates hears by itself that the guest has come: the kernel counts what comes from the
// target's node. So the wire follows its guest while the store is away.
import { setTimeout as sleep } from 'node:timers/promises'

import {
  diffCounters,
  isCounted,
  renderCounting,
  REMOVE_COUNTING,
  type Counter,
} from '../../core/steps/arrivals.ts'
import { renderCauses } from '../../core/errors.ts'
import { toTunnelDeviceName } from '../../core/name.ts'
import { toGuestName } from '../../core/wire/suppose.ts'
import { toAttachmentKey, toWireKey } from '../../core/wire/wire.ts'
import { readCounters } from '../../kernel/observe/arrivals.ts'
import { readReceived } from '../../kernel/observe/links.ts'
import type { AgentContext } from '../context.ts'
import type { AwaitedGuest } from './awaited.ts'
import { hear } from './heard.ts'
import { reconcileKnown } from './reconcile.ts'

/** How often a tunnel that a guest may come by is asked whether it has received anything: a file of /sys, no process. */
const ASK_MS = 20
/** How much less often for each guest that is waited for, so that many cost no more than a few. */
const EACH_MS = 1
/** How soon the counters are read again, which takes a process: frames of the source come by that tunnel, too. */
const READ_MS = 500

/** Until disposed. The first look also removes counters that an earlier agent left. */
export function followFarGuests(node: AgentContext): Disposable {
  const stopped = new AbortController()
  if (node.underlay !== undefined) void follow(node, node.underlay.port, stopped.signal)
  return { [Symbol.dispose]: () => stopped.abort() }
}

async function follow(node: AgentContext, port: number, stopped: AbortSignal): Promise<void> {
  let failure: string | undefined
  let before: string | undefined
  while (!stopped.aborted) {
    const traffic = await readTraffic(node)
    const isNews = traffic !== before
    try {
      if (isNews) await look(node, port)
      failure = undefined
      before = traffic
    } catch (error) {
      const reason = renderCauses(error)
      if (reason !== failure) node.log.warn({ reason }, 'cannot hear which guests have come')
      failure = reason
      before = undefined
    }
    // What could not be removed is removed by the next look.
    const isIdle = traffic === '' && node.awaited.list().length === 0 && failure === undefined
    if (isIdle) await node.awaited.untilAny()
    else await sleep(isNews ? READ_MS : toPauseMs(node), undefined, { ref: false })
  }
}

function toPauseMs({ awaited }: AgentContext): number {
  return ASK_MS + EACH_MS * awaited.list().length
}

/** Who is waited for, and what has come by their tunnels: while that stays the same there is nothing to be heard. */
async function readTraffic(node: AgentContext): Promise<string> {
  const counts = node.awaited.list().map(async (guest) => {
    const received = await readReceived(toTunnelDeviceName(toWireKey(guest.wire)))
    return `${toGuestName(guest)} ${received}`
  })
  return (await Promise.all(counts)).join()
}

async function look(node: AgentContext, port: number): Promise<void> {
  const guests = node.awaited.list()
  const observed = await readCounters(node.run)
  for (const guest of guests) if (isCounted(toCounter(guest), observed)) await followTo(node, guest)
  const still = node.awaited.list().map(toCounter)
  const { made, gone } = diffCounters(still, observed)
  const lines = still.length === 0 ? REMOVE_COUNTING : renderCounting(port, made, gone)
  if (made.length + gone.length > 0)
    await node.run(['nft', '-f', '-'], { input: `${lines.join('\n')}\n` })
}

function toCounter(guest: AwaitedGuest): Counter {
  return { address: guest.address, vni: guest.vni, guest: toGuestName(guest) }
}

/** By the document that was read last: the store may be away, and the target's node writes the claim. */
async function followTo(node: AgentContext, guest: AwaitedGuest): Promise<void> {
  const { wire, address } = guest
  const facts = { end: toAttachmentKey(guest), wire: toWireKey(wire), address }
  await node.turns.wire(wire, async () => {
    // The store may have been quicker, or the target gone.
    if (!node.awaited.list().some((one) => toGuestName(one) === toGuestName(guest))) return
    hear(node, wire, guest)
    await reconcileKnown(node, wire)
    node.log.info(facts, "a guest has come to the far node, its wire's end here leads there")
  })
}
