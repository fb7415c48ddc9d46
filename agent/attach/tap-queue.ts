// Reconciles what VMs have in their launchers: all of them at the agent's start and every few minutes, and one
// soon after the kernel told that a tap or a pod link of it is not as it should be. Of filters that go in
// another namespace nobody tells.
import type { TapAttachment } from '../../core/attach/attachment.ts'
import type { LinkEvent } from '../../core/observe/kernel-event.ts'
import { newLimit } from '../../core/limit.ts'
import { parseLinks } from '../../core/observe/links.ts'
import { getOurKind } from '../../core/observe/node.ts'
import { listHooks } from '../../core/attach/tap.ts'
import { isAsMade } from '../../core/attach/as-made.ts'
import { isSameNetns } from '../../kernel/netns.ts'
import { observeNetns } from '../../kernel/observe/netns.ts'
import { isAstray, mendTap } from './mend-tap.ts'
import type { AgentContext } from '../context.ts'

/** How many launchers are looked at together: each takes a process or more. */
const AT_ONCE = 4
/** What is set and set again within this time is one change. */
const SETTLE_MS = 100
/** A launcher that something happens to all the time is looked at this often at most. */
const APART_MS = 1_000

export interface TapQueue extends Disposable {
  /** Never throws: what cannot be looked at is logged, and does not keep the others waiting. */
  readonly lookAtAll: () => Promise<void>
  /** Learns by which numbers the kernel's events name the sandboxes that are there. Throws CommandError. */
  readonly learnAll: () => Promise<void>
  /** Learns it of the one that a host end leads to. */
  readonly learn: (nsid: number, hostEnd: string) => void
  /** What happens in another namespace. */
  readonly hear: (event: LinkEvent) => void
}

export function newTapQueue(node: AgentContext): TapQueue {
  const sandboxes = new Map<number, string>()
  const waiting = new Map<string, NodeJS.Timeout>()
  const lately = new Map<string, number>()
  const limit = newLimit(AT_ONCE)
  let isStopped = false

  const learn: TapQueue['learn'] = (nsid, hostEnd) => {
    const wire = node.state.findWire(hostEnd)
    const ends = wire === undefined ? [] : node.state.listOf(wire)
    const end = ends.find((one) => one.hostDevice === hostEnd)
    if (end !== undefined) sandboxes.set(nsid, end.containerID)
  }
  const look = async (taps: readonly TapAttachment[]): Promise<void> =>
    limit.inside(async () => {
      try {
        if (isStopped) return
        for (const tap of await listSuspects(node, taps)) await tryMend(node, tap)
      } catch (error) {
        const facts = { netns: taps[0]?.netns.path, taps: taps.map(({ tap }) => tap) }
        node.log.error({ err: error, ...facts }, 'cannot look at a launcher')
      }
    })
  const schedule = (containerID: string): void => {
    if (isStopped || waiting.has(containerID)) return
    const since = performance.now() - (lately.get(containerID) ?? -APART_MS)
    const timer = setTimeout(
      () => {
        waiting.delete(containerID)
        lately.set(containerID, performance.now())
        setTimeout(() => lately.delete(containerID), APART_MS).unref()
        void look(listMadeTaps(node).filter((one) => one.containerID === containerID))
      },
      Math.max(SETTLE_MS, APART_MS - since),
    )
    waiting.set(containerID, timer.unref())
  }
  return {
    lookAtAll: async () => {
      const launchers = Map.groupBy(
        listMadeTaps(node),
        ({ netns }) => `${netns.inode} ${netns.path}`,
      )
      await Promise.all([...launchers.values()].map(look))
    },
    learnAll: async () => {
      for (const link of parseLinks(await node.run(['ip', '-j', '-d', 'link', 'show'])).values())
        if (getOurKind(link) === 'host-end' && link.peer?.nsid !== undefined)
          learn(link.peer.nsid, link.name)
    },
    learn,
    hear: (event) => {
      const containerID = event.nsid === 'current' ? undefined : sandboxes.get(event.nsid)
      if (containerID === undefined) return
      const taps = listMadeTaps(node).filter((one) => one.containerID === containerID)
      if (taps.some((tap) => !isAsMade(tap, event))) schedule(containerID)
    },
    [Symbol.dispose]: () => {
      isStopped = true
      for (const timer of waiting.values()) clearTimeout(timer)
      waiting.clear()
    },
  }
}

// One that release 0.2.0 attached to a pod network stays as it was.
function listMadeTaps({ state }: AgentContext): readonly TapAttachment[] {
  return state
    .listAll()
    .filter((one) => one.kind === 'tap')
    .filter(({ phase, isMuted }) => phase === 'ready' && isMuted === true)
}

// One process sees what all NICs of a launcher have; what is as it should be costs no more than that. Those
// with a server have more to be asked for, and are each looked at by themselves.
async function listSuspects(
  node: AgentContext,
  taps: readonly TapAttachment[],
): Promise<readonly TapAttachment[]> {
  const [first] = taps
  if (first === undefined || !(await isSameNetns(first.netns))) return []
  const served = taps.filter(({ lease }) => lease !== undefined)
  const plain = taps.filter(({ lease }) => lease === undefined)
  if (plain.length === 0) return served
  const hooks = plain.flatMap(listHooks)
  const questions = { hooks, server: undefined, sysctls: [] }
  const seen = await observeNetns(node.run, first.netns.path, questions)
  const astray: TapAttachment[] = []
  for (const tap of plain) if (await isAstray(node, tap, seen)) astray.push(tap)
  return [...astray, ...served]
}

async function tryMend(node: AgentContext, tap: TapAttachment): Promise<void> {
  try {
    await mendTap(node, tap)
  } catch (error) {
    const facts = { tap: tap.tap, podLink: tap.podLink, netns: tap.netns.path }
    node.log.error({ err: error, ...facts }, "cannot bring a VM's tap to its ADD yet")
  }
}
