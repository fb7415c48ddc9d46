// What of a wire on this node is not as it should be, for callers that only ask: this claims, reports and mends nothing.
import type { Observation } from '../../core/observe/observation.ts'
import { diff } from '../../core/steps/diff.ts'
import type { Step } from '../../core/steps/step.ts'
import { findTunnel, findWays, toWireGoal } from '../../core/wire/goal.ts'
import { toWirePart } from '../../core/wire/part.ts'
import { wantWire } from '../../core/wire/plan.ts'
import type { Wire, WireId } from '../../core/wire/wire.ts'
import type { AgentContext } from '../context.ts'
import { suppose } from './heard.ts'
import { readPodEndStates } from './pod-end-state.ts'

export interface WireDiff {
  /** All that makes the wire as it should be. */
  readonly wanted: readonly Step[]
  /** What of it is still to be done. */
  readonly left: readonly Step[]
}

/** By a look at all of it. An end whose devices are gone counts as unplugged. */
export async function diffWire(
  node: AgentContext,
  id: WireId,
  stored: Wire | undefined,
  observed: Observation,
): Promise<WireDiff> {
  const { links } = observed
  const wire = suppose(node, id, stored)
  const part = toWirePart(wire, node.state.listOf(id), node.name)
  const plugged = part.ends.filter(({ hostDevice }) => links.has(hostDevice))
  const { far, end } = findWays({ wire, part, plugged, links, node: node.name })
  const tunnel = findTunnel(wire, end, far, node.underlay)
  const podEndStates = await readPodEndStates(node, plugged, links)
  const facts = { id, wire, part, plugged, node: node.name, links, tunnel }
  const wanted = wantWire(toWireGoal({ ...facts, isUp: (one) => podEndStates.get(one) ?? true }))
  return { wanted, left: diff(wanted, observed, node.classifier) }
}
