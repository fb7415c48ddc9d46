// The nftables table and its permissions, made again where somebody flushed or changed them: without the table
// the tunnels' port is open to all, without its permission a tunnel is deaf.
import { setTimeout as sleep } from 'node:timers/promises'

import type { ObservedTable } from '../../core/observe/node.ts'
import { toTunnelDeviceName } from '../../core/name.ts'
import type { GuardPortStep, PeerStep, Step } from '../../core/steps/step.ts'
import { listPeers, listPeersBeside } from '../../core/wire/tunnel.ts'
import { toWireKey } from '../../core/wire/wire.ts'
import { applyRemoval, applySteps } from '../../kernel/apply.ts'
import { observeTunnels } from '../../kernel/observe/links.ts'
import { readHops } from '../../kernel/peers.ts'
import { readTable } from '../../kernel/observe/node.ts'
import type { AgentContext } from '../context.ts'

/** At most so often: a flush is an event for each rule, so is our own mending, and others may fight over it. */
const APART_MS = 100

/** Mends the table whenever it is called, one at a time. onGap is told where wires may lack a permission. */
export function newTableMender(node: AgentContext, onGap: (reason: string) => void): () => void {
  let isMending = false
  let isLost = false
  const mendAll = async (): Promise<void> => {
    isMending = true
    while (isLost) {
      isLost = false
      try {
        if (await mendTable(node)) onGap('the nftables table was gone')
      } catch (error) {
        node.log.error({ err: error }, 'cannot mend the nftables table')
        onGap('the nftables table may be gone')
      }
      await sleep(APART_MS, undefined, { ref: false })
    }
    isMending = false
  }
  return () => {
    isLost = true
    // At once: until the table is there the tunnels let in anybody.
    if (!isMending) void mendAll()
  }
}

/** As mendTable, after a look at everything, which sees to the wires that lack a permission. */
export async function mendRules(node: AgentContext, seen: ObservedTable): Promise<void> {
  if ((await wantGuard(node, seen)).length > 0) await mendTable(node)
}

/** What makes the table and its rules, less the peers, as they should be. */
export async function wantGuard(
  { run, underlay, checksPath }: AgentContext,
  table: ObservedTable,
): Promise<readonly GuardPortStep[]> {
  if (underlay === undefined) return []
  const hops = await readHops(run, underlay.address)
  const isSame = [...hops].sort().join() === [...table.hops].sort().join()
  if (table.hasTable && (table.checksPath || !checksPath) && isSame) return []
  const { port } = underlay
  return [{ op: 'guard-port', netns: undefined, port, checksPath, hops: [...hops] }]
}

/** Resolves to whether the table itself, or its rules, had to be made again. */
export async function mendTable(node: AgentContext): Promise<boolean> {
  if (node.underlay === undefined) return false
  const [table, needed] = await Promise.all([readTable(node.run), readNeeded(node)])
  const guard = await wantGuard(node, table)
  const missing = [...needed].filter(([peer]) => !table.peers.has(peer))
  const hasRules = guard.length === 0
  // Making it is an event as well: what is as it should be is left alone.
  if (hasRules && missing.length === 0) return false
  node.log.warn({ hasRules, peers: missing.length }, 'the nftables table was changed, it is mended')
  const allow = missing.map(([, step]) => step)
  // One transaction: no wire that works is shut out for the time between.
  await applySteps(node.run, node.classifier, [...guard, ...allow])
  // A tunnel may have been closed meanwhile, and its permission taken back before it was put back here.
  const still = await readNeeded(node)
  const closed = missing.flatMap(([peer, step]): readonly Step[] =>
    still.has(peer) ? [] : [{ ...step, op: 'forbid-peer' }],
  )
  await applyRemoval(node.run, node.classifier, closed)
  return !table.hasTable
}

// By the devices of wires that have documents here: what else is there is a stray. And who is let in beside.
async function readNeeded({
  run,
  state,
  wanted,
}: AgentContext): Promise<ReadonlyMap<string, PeerStep>> {
  const wires = state.listAll().flatMap((one) => (one.kind === 'wire' ? [toWireKey(one.wire)] : []))
  const tunnels = await observeTunnels(run, [...new Set(wires)].map(toTunnelDeviceName))
  return new Map([...listPeers(tunnels), ...listPeersBeside(tunnels, wanted)])
}
