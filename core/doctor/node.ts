// What is wrong on one node: its agent, and its agent's documents against sandboxes and the wires' claims.
import {
  findWire,
  isAbsenceKnown,
  type DoctorFacts,
  type NodeSurvey,
  type SurveyedAttachment,
} from './facts.ts'
import { newFinding, type Finding } from './finding.ts'
import type { WireAttachment } from '../attach/attachment.ts'
import { holdsEnd, isTarget } from '../wire/ends.ts'
import { ENDS_PER_WIRE, describeEnd, toAttachmentKey, toWireKey } from '../wire/wire.ts'

/** A DEL's word to the store takes no longer while the store answers. */
const LEAVING_SECONDS = 60
/** An ADD that waits for a DHCP server is killed by its runtime before that. */
const ADDING_SECONDS = 600

export function findInNode(
  facts: DoctorFacts,
  node: string,
  survey: NodeSurvey,
): readonly Finding[] {
  const { refusal } = survey
  return [
    ...(refusal === null || refusal === undefined
      ? []
      : [
          newFinding(
            'agent-unable',
            `The agent on ${node} can plug nothing in or out: ${refusal}`,
            `give it what it lacks: room on that disk, its store, or a new start (its log says more); what is plugged in carries frames meanwhile`,
            { node },
          ),
        ]),
    ...survey.unreadable.map((what) =>
      newFinding('unreadable', `${what} (on ${node})`, 'mend the document, or remove it', { node }),
    ),
    ...survey.attachments.flatMap((one) => findInAttachment(facts, node, one)),
    ...findOrphanClaims(facts, node, survey),
    ...(survey.hasKubelet === false
      ? [
          newFinding(
            'no-kubelet',
            `The agent on ${node} sees no kubelet.sock in the kubelet's folder "device-plugins": VMs by macvtap get no device there`,
            "let deploy/'s volumes name the folder that the kubelet uses: deploy/README.md",
            { node, level: 'hint' },
          ),
        ]
      : []),
    ...(facts.agents !== undefined &&
    survey.hasKubelet === null &&
    survey.attachments.some(hasDevice)
      ? [
          newFinding(
            'no-device-plugin',
            `The agent on ${node} hands out no macvtaps, and VMs by macvtap run there: they go on, and do not start again`,
            'apply deploy/ with its component "macvtap": docs/macvtap.md',
            { node, level: 'hint' },
          ),
        ]
      : []),
  ]
}

function hasDevice({ attachment }: SurveyedAttachment): boolean {
  return attachment.kind === 'tap' && attachment.index !== undefined
}

const RESTART = 'the agent there forgets it at its next look; else let it start again'

function findInAttachment(
  facts: DoctorFacts,
  node: string,
  { attachment, isSandboxThere, ageSeconds }: SurveyedAttachment,
): readonly Finding[] {
  const { phase } = attachment
  const isWire = attachment.kind === 'wire'
  const who = isWire
    ? `${attachment.holder} ${attachment.ifname}`
    : `tap ${attachment.tap} of container ${attachment.containerID}`
  const place = { node, wire: isWire ? toWireKey(attachment.wire) : null }
  const wire = isWire ? ` (wire ${toWireKey(attachment.wire)})` : ''
  if (phase === 'leaving')
    return ageSeconds < LEAVING_SECONDS
      ? []
      : [
          newFinding(
            'leaving-long',
            `${who}${wire} was deleted on ${node}, and the store has not been told`,
            'nothing to do where the store takes documents again: the agent there goes on trying, and its log says why it could not',
            place,
          ),
        ]
  if (!isSandboxThere)
    return [
      newFinding('sandbox-gone', `The sandbox of ${who}${wire} is gone on ${node}`, RESTART, place),
    ]
  if (phase === 'adding')
    return ageSeconds < ADDING_SECONDS
      ? []
      : [
          newFinding(
            'adding-long',
            `${who}${wire} is being added on ${node}, and never came to its end`,
            'let the agent there start again, which takes it back',
            place,
          ),
        ]
  return isWire && phase === 'ready' ? findUnclaimed(facts, node, attachment) : []
}

function findUnclaimed(
  facts: DoctorFacts,
  node: string,
  attachment: WireAttachment,
): readonly Finding[] {
  const { holder, ifname } = attachment
  const key = toWireKey(attachment.wire)
  const wire = findWire(facts, key)
  const isKnown = wire !== undefined || isAbsenceKnown(facts, key)
  if (!isKnown || holdsEnd(wire, attachment) || isTarget(wire, attachment)) return []
  return [
    newFinding(
      'not-claimed',
      `${holder} ${ifname} on ${node} is plugged in, and wire ${key} does not name it`,
      (wire?.ends.length ?? 0) < ENDS_PER_WIRE
        ? 'the agent there claims it at its next look; else let it start again'
        : `both ends are taken, by ${wire?.ends.map(describeEnd).join(' and ')}: unplug one of the three`,
      { node, wire: key },
    ),
  ]
}

function findOrphanClaims(
  facts: DoctorFacts,
  node: string,
  survey: NodeSurvey,
): readonly Finding[] {
  const known = new Set(
    survey.attachments.flatMap(({ attachment }) =>
      attachment.kind === 'wire'
        ? [`${toWireKey(attachment.wire)} ${toAttachmentKey(attachment)}`]
        : [],
    ),
  )
  // A document that cannot be read may be the one.
  if (survey.unreadable.length > 0) return []
  return facts.wires.flatMap((wire) => {
    const key = toWireKey(wire)
    const isKnown = (claim: { containerID: string; ifname: string }): boolean =>
      known.has(`${key} ${toAttachmentKey(claim)}`)
    const claims = [...wire.ends, ...wire.standbys].filter(
      (one) => one.node === node && !isKnown(one),
    )
    const displaced = wire.displaced.filter((one) => one.node === node && !isKnown(one))
    const edit = `kubectl edit wires.l2wire.dev ${wire.name} -n ${wire.namespace}`
    return [
      ...claims.map((end) =>
        newFinding(
          'claim-stray',
          `Wire ${key} has a claim of ${describeEnd(end)} on ${node}, which the agent there knows nothing of`,
          `the agent there gives it back at its next look; else start ${end.holder} again, which takes it over, or take it out: ${edit}`,
          { node, wire: key },
        ),
      ),
      ...displaced.map((one) =>
        newFinding(
          'displaced-stray',
          `Wire ${key} notes ${toAttachmentKey(one)} on ${node} as displaced, which the agent there knows nothing of`,
          `the agent there takes the note out at its next look; else take it out: ${edit}`,
          { node, wire: key },
        ),
      ),
    ]
  })
}
