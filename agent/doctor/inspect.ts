// One wire on this node, for describe: its devices with what they have counted, and what is other than it should be.
import { setTimeout as sleep } from 'node:timers/promises'

import { renderCauses } from '../../core/errors.ts'
import { toHostEndName, toTunnelDeviceName } from '../../core/name.ts'
import type { EndInspection, WireInspection } from '../../core/observe/inspection.ts'
import { toWireKey, type EndClaim, type WireId } from '../../core/wire/wire.ts'
import { inspectDevice } from '../../kernel/observe/inspect.ts'
import type { AgentContext } from '../context.ts'
import { listTapsOn } from '../attach/mend-tap.ts'
import { observeAll } from '../wire/survey.ts'
import { compareTaps, compareWire, isMadeTap } from './compare.ts'

/** How long to wait for a change of the wire that is under way. After that the wire is read in the middle of it. */
const PATIENCE_MS = 2_000

/** Throws what store or kernel refuse. */
export async function inspectWire(node: AgentContext, id: WireId): Promise<WireInspection> {
  let reading: Promise<WireInspection> | undefined
  const read = async (): Promise<WireInspection> => {
    reading ??= readWire(node, id)
    return reading
  }
  await Promise.race([node.turns.wire(id, read), sleep(PATIENCE_MS, undefined, { ref: false })])
  return read()
}

async function readWire(node: AgentContext, id: WireId): Promise<WireInspection> {
  const { run, state, name } = node
  const unseen: string[] = []
  const observed = await observeAll(node, (error) => unseen.push(renderCauses(error)))
  const wire = await node.store.read(id)
  const { findings } = await compareWire(node, id, wire, observed)
  const taps = await compareTaps(
    node,
    state.listOf(id).flatMap((end) => listTapsOn(node, end).filter(isMadeTap)),
  )
  const own = (wire?.ends ?? []).filter((end) => end.node === name)
  return {
    node: name,
    ends: await Promise.all(own.map(async (end) => inspectEnd(node, end))),
    tunnel: await inspectDevice(run, undefined, toTunnelDeviceName(toWireKey(id))),
    findings: [...findings, ...taps.findings],
    unseen: [...unseen, ...taps.unseen],
  }
}

async function inspectEnd(
  node: AgentContext,
  { containerID, ifname }: EndClaim,
): Promise<EndInspection> {
  const { run, state } = node
  const known = state.find({ containerID, ifname })
  const attachment = known?.kind === 'wire' ? known : undefined
  const [tap] = attachment === undefined ? [] : listTapsOn(node, attachment)
  const inside = async (dev: string | undefined): Promise<EndInspection['podEnd']> =>
    attachment === undefined || dev === undefined
      ? null
      : inspectDevice(run, attachment.netns.path, dev)
  return {
    containerID,
    ifname,
    netns: attachment?.netns.path ?? null,
    hostEnd: await inspectDevice(run, undefined, toHostEndName(containerID, ifname)),
    podEnd: await inside(ifname),
    tap: await inside(tap?.tap),
    offload: attachment === undefined ? null : (attachment.offload ?? true),
  }
}
