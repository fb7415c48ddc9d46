// What the reconciler would do on this node, for the doctor: a fresh look at everything, and every difference in words.
// It mends nothing, and waits for nobody's turn: what is under way now is over at the doctor's second look.
import type { TapAttachment } from '../../core/attach/attachment.ts'
import { newFinding, toFindings, type Finding } from '../../core/doctor/finding.ts'
import type { NodeDiff } from '../../core/doctor/facts.ts'
import { renderCauses } from '../../core/errors.ts'
import { mapLimited } from '../../core/limit.ts'
import { toHostEndName } from '../../core/name.ts'
import { getOurKind, type NodeObservation } from '../../core/observe/node.ts'
import { toPeerKey } from '../../core/observe/observation.ts'
import { isUnseen } from '../../core/observe/tool-json.ts'
import type { Step } from '../../core/steps/step.ts'
import { listDifferences, toMissing } from '../../core/steps/words.ts'
import { planOrphans, type Orphans } from '../../core/wire/orphans.ts'
import { toWireKey, type Wire, type WireId } from '../../core/wire/wire.ts'
import { isSameNetns } from '../../kernel/netns.ts'
import { compareTap } from '../attach/tap-verbs.ts'
import type { AgentContext } from '../context.ts'
import { wantGuard } from '../events/mend-nft-table.ts'
import { diffWire } from '../wire/diff.ts'
import { observeAll, surveyWires } from '../wire/survey.ts'

/** The most findings in one answer. A node with more has the same fault many times over. */
const FINDINGS_MAX = 1_000

/** Of all wires and taps of this node. Throws what store or kernel refuse. */
export async function compareNode(node: AgentContext): Promise<NodeDiff> {
  const unseen: string[] = []
  const observed = await observeAll(node, (error) =>
    unseen.push(`a device: ${renderCauses(error)}`),
  )
  const { listed, orphans } = await surveyWires(node, observed)
  const wires = await mapLimited(listed, async ({ id, wire }) =>
    compareWire(node, id, wire, observed),
  )
  const taps = await compareTaps(node, node.state.listAll().filter(isMadeTap))
  const findings = [
    ...(await compareTable(node, observed)),
    ...wires.flatMap((one) => one.findings),
    ...findOrphanDevices(node, observed, orphans, listPeers(wires.flatMap((one) => one.wanted))),
    ...findForeign(node, observed),
    ...taps.findings,
  ]
  const left = findings.length - FINDINGS_MAX
  return {
    port: node.underlay?.port ?? null,
    findings: findings.slice(0, FINDINGS_MAX),
    unseen: [
      ...(left > 0 ? [`${left} more findings, which one answer has no room for`] : []),
      ...[...unseen, ...taps.unseen].slice(0, FINDINGS_MAX),
    ],
  }
}

interface ComparedWire {
  readonly findings: readonly Finding[]
  readonly wanted: readonly Step[]
}

export async function compareWire(
  node: AgentContext,
  id: WireId,
  wire: Wire | undefined,
  observed: NodeObservation,
): Promise<ComparedWire> {
  const { wanted, left } = await diffWire(node, id, wire, observed)
  const gone = (wire?.ends ?? []).flatMap((end) => {
    const dev = toHostEndName(end.containerID, end.ifname)
    const phase = node.state.find(end)?.phase ?? 'ready'
    const isMissing = end.node === node.name && phase === 'ready' && !observed.links.has(dev)
    return isMissing ? [toMissing(dev)] : []
  })
  const key = toWireKey(id)
  const location = { node: node.name, wire: key }
  const differences = [...gone, ...listDifferences(left, observed)]
  return { findings: toFindings(differences, `Wire ${key}`, location), wanted }
}

export function isMadeTap(attachment: {
  kind: string
  phase: string
}): attachment is TapAttachment {
  return attachment.kind === 'tap' && attachment.phase === 'ready'
}

export async function compareTaps(
  node: AgentContext,
  taps: readonly TapAttachment[],
): Promise<Pick<NodeDiff, 'findings' | 'unseen'>> {
  const unseen: string[] = []
  const findings = await mapLimited(taps, async (tap): Promise<readonly Finding[]> => {
    const { containerID, netns } = tap
    if (!(await isSameNetns(netns))) return []
    const link = node.state.find({ containerID, ifname: tap.podLink })
    const wire = link?.kind === 'wire' ? toWireKey(link.wire) : null
    try {
      const subject = `Tap ${tap.tap} of container ${containerID}`
      return toFindings(await compareTap(node, tap), subject, { node: node.name, wire })
    } catch (error) {
      if (!isUnseen(error)) throw error
      // The sandbox goes while we look, or its owner made something in it that no tool can print.
      if (await isSameNetns(netns))
        unseen.push(`the sandbox of container ${containerID}: ${renderCauses(error)}`)
      return []
    }
  })
  return { findings: findings.flat(), unseen }
}

/** Of the nftables table, without which a tunnel takes what anybody sends. */
async function compareTable(
  node: AgentContext,
  observed: NodeObservation,
): Promise<readonly Finding[]> {
  const { name, underlay, checksPath } = node
  const guard = listDifferences(await wantGuard(node, observed), observed)
  const hasTunnels = [...observed.links.values()].some(({ vxlan }) => vxlan)
  return [
    ...toFindings(guard, 'The node', { node: name, wire: null }),
    ...(underlay === undefined || checksPath || !hasTunnels
      ? []
      : [
          newFinding(
            'no-path-check',
            `Node ${name} does not check that a tunnel's datagram comes by the interface that leads back to its sender: a pod that forges the far node's address and knows a VNI sends into that wire`,
            `give the kernel of ${name} nft_fib (CONFIG_NFT_FIB_INET) and let the agent there start again; or set net.ipv4.conf.all.rp_filter=1 there, and have the pod network refuse forged senders`,
            { node: name },
          ),
        ]),
  ]
}

// The permission of a tunnel that is gone is no orphan: the tunnel is about to be made again.
function findOrphanDevices(
  { name }: AgentContext,
  observed: NodeObservation,
  orphans: Orphans,
  wanted: ReadonlySet<string>,
): readonly Finding[] {
  const peers = orphans.peers.filter((peer) => !wanted.has(peer))
  return planOrphans({ ...orphans, peers }).flatMap((step) => {
    const { alias = '' } = ('dev' in step ? observed.links.get(step.dev) : undefined) ?? {}
    const wire = /^l2wire (\S+\/\S+)/.exec(alias)?.[1] ?? null
    const subject = wire === null ? 'The node' : `Wire ${wire}`
    return toFindings(listDifferences([step], observed), subject, { node: name, wire })
  })
}

function listPeers(steps: readonly Step[]): ReadonlySet<string> {
  return new Set(
    steps.flatMap((step) => (step.op === 'allow-peer' ? [toPeerKey(step.address, step.vni)] : [])),
  )
}

function findForeign({ name }: AgentContext, { links }: NodeObservation): readonly Finding[] {
  return [...links.values()]
    .filter((link) => getOurKind(link) === undefined)
    .map((link) =>
      newFinding(
        'foreign-device',
        `Device ${link.name} on ${name} is named like ours and has no alias of ours, so it is left alone`,
        'nothing to do where somebody else made it',
        { node: name, level: 'hint' },
      ),
    )
}
