// Everything of ours on this node, read at once: what its kernel has, in as many processes for a thousand wires as for
// one, and which wires there are to compare it with.
import {
  findOrphans,
  listUnknownTunnels,
  NO_ORPHANS,
  type Orphans,
} from '../../core/wire/orphans.ts'
import type { NodeObservation } from '../../core/observe/node.ts'
import type { Skip } from '../../core/observe/tool-json.ts'
import { toTunnelDeviceName } from '../../core/name.ts'
import { isMute, listWhole } from '../../core/wire/plan.ts'
import { listNodes, toWireKey, type Wire, type WireId } from '../../core/wire/wire.ts'
import { observeNode } from '../../kernel/observe/node.ts'
import type { AgentContext } from '../context.ts'

/** The kernel comes before the store: what is made after this has a document by then, and is no orphan. */
export async function observeAll(node: AgentContext, skip: Skip): Promise<NodeObservation> {
  const ends = node.state.listAll().filter((one) => one.kind === 'wire')
  const mute = ends
    .filter((end) => isMute([end]))
    .flatMap(({ hostDevice, wire }) => [hostDevice, toTunnelDeviceName(toWireKey(wire))])
  return observeNode(node.run, { skip, whole: listWhole(ends), mute })
}

export interface Listed {
  readonly id: WireId
  readonly wire: Wire | undefined
}

export interface WireSurvey {
  /** The wires that this node has anything of. */
  readonly listed: readonly Listed[]
  readonly orphans: Orphans
}

/** Throws what the store refuses. */
export async function surveyWires(
  node: AgentContext,
  observed: NodeObservation,
): Promise<WireSurvey> {
  const { wires, isComplete } = await listStored(node)
  const listed = listWires(node, observed, wires)
  const ids = [...listed.values()].map(({ id }) => id)
  const claimed = await listClaimed(node, listUnknownTunnels(observed, ids))
  for (const id of claimed ?? []) listed.set(toWireKey(id), { id, wire: undefined })
  // What cannot be read may be what stands behind a device.
  const isKnown = isComplete && claimed !== undefined && !node.state.hasUnreadable()
  const attachments = node.state.listAll()
  const orphans = isKnown
    ? findOrphans({ seen: observed, attachments, wires, claimed, node: node.name })
    : NO_ORPHANS
  return { listed: [...listed.values()], orphans }
}

interface Stored {
  readonly wires: readonly Wire[]
  /** Whether all of them could be read. */
  readonly isComplete: boolean
}

async function listStored(node: AgentContext): Promise<Stored> {
  let isComplete = true
  const wires = await node.store.list((error) => {
    isComplete = false
    node.log.error({ err: error }, 'cannot read a wire, it is left alone')
  })
  return { wires, isComplete }
}

/**
 * The wires that these tunnels were made for: those that were deleted while nobody was here, and whose VNIs
 * are still claimed. Undefined where nobody can say.
 */
async function listClaimed(
  node: AgentContext,
  tunnels: readonly string[],
): Promise<readonly WireId[] | undefined> {
  if (tunnels.length === 0) return []
  try {
    const claims = await node.store.listVnis()
    return claims
      .map(({ wire }) => wire)
      .filter((wire) => tunnels.includes(toTunnelDeviceName(toWireKey(wire))))
  } catch (error) {
    node.log.error({ err: error, tunnels }, 'cannot look up whose tunnels these are')
    return undefined
  }
}

/** The wires that this node has anything of, by its own documents, the store's or its kernel. */
function listWires(
  node: AgentContext,
  { links }: NodeObservation,
  stored: readonly Wire[],
): Map<string, Listed> {
  const wires = new Map<string, Listed>()
  for (const attachment of node.state.listAll())
    if (attachment.kind === 'wire')
      wires.set(toWireKey(attachment.wire), { id: attachment.wire, wire: undefined })
  for (const wire of stored) {
    const id = { namespace: wire.namespace, name: wire.name }
    const key = toWireKey(id)
    const isHere = listNodes(wire).includes(node.name) || links.has(toTunnelDeviceName(key))
    if (wires.has(key) || isHere) wires.set(key, { id, wire })
  }
  return wires
}
