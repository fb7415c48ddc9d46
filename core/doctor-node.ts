// What is wrong on one node: its agent's documents against its sandboxes, the wires' claims, and the
// devices that each attachment needs.
import {
  findWire,
  isAbsenceKnown,
  type DoctorFacts,
  type NodeSurvey,
  type SurveyedAttachment,
} from './doctor-facts.ts'
import { newFinding, type Finding } from './finding.ts'
import type { WireAttachment } from './attachment.ts'
import { describeEnd, ENDS_PER_WIRE, holdsEnd, toAttachmentKey, toWireKey } from './wire.ts'

/** A DEL's word to the store takes no longer while the store answers. */
const LEAVING_SECONDS = 60
/** An ADD that waits for a DHCP server is killed by its runtime before that. */
const ADDING_SECONDS = 600

export function findAttachmentFaults(
  facts: DoctorFacts,
  node: string,
  survey: NodeSurvey,
): readonly Finding[] {
  return [
    ...survey.unreadable.map((what) =>
      newFinding('unreadable', `${what} (on ${node})`, 'mend the document, or remove it', { node }),
    ),
    ...survey.attachments.flatMap((one) => findOneFault(facts, node, survey, one)),
    ...findStrayClaims(facts, node, survey),
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
  ]
}

const MENDED = 'the agent there mends it at its next look; else let it start again'
const RESTART = 'the agent there forgets it at its next look; else let it start again'

function findOneFault(
  facts: DoctorFacts,
  node: string,
  survey: NodeSurvey,
  { attachment, isSandboxThere, hasTap, hasDevice, muteFault, ageSeconds }: SurveyedAttachment,
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
            'see in the log of the agent there why the store does not answer',
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
  if (isWire) return findEndFaults(facts, node, survey, attachment)
  const fix = 'start its virtual machine again'
  if (hasTap === false)
    return [newFinding('tap-gone', `The ${who} is not there on ${node}`, fix, place)]
  if (hasDevice === false) {
    const what = `The device ${attachment.devicePath ?? ''} of ${who} does not lead to it on ${node}`
    return [newFinding('device-gone', what, fix, place)]
  }
  if (muteFault === null || muteFault === undefined) return []
  const what = `Beside the ${who} on ${node}: ${muteFault}`
  return [newFinding('not-mute', what, MENDED, place)]
}

function findEndFaults(
  facts: DoctorFacts,
  node: string,
  survey: NodeSurvey,
  attachment: WireAttachment,
): readonly Finding[] {
  const { holder, ifname, hostDevice, phase } = attachment
  const key = toWireKey(attachment.wire)
  const place = { node, wire: key }
  const findings: Finding[] = []
  if (!survey.links.some(({ name }) => name === hostDevice))
    findings.push(
      newFinding(
        'host-end-gone',
        `The host end ${hostDevice} of ${holder} ${ifname} (wire ${key}) is not there on ${node}`,
        `start ${holder} again`,
        place,
      ),
    )
  const wire = findWire(facts, key)
  const isKnown = wire !== undefined || isAbsenceKnown(facts, key)
  if (phase === 'ready' && isKnown && !holdsEnd(wire, attachment))
    findings.push(
      newFinding(
        'not-claimed',
        `${holder} ${ifname} on ${node} is plugged in, and wire ${key} does not name it`,
        (wire?.ends.length ?? 0) < ENDS_PER_WIRE
          ? 'the agent there claims it at its next look; else let it start again'
          : `both ends are taken, by ${wire?.ends.map(describeEnd).join(' and ')}: unplug one of the three`,
        place,
      ),
    )
  return findings
}

function findStrayClaims(facts: DoctorFacts, node: string, survey: NodeSurvey): readonly Finding[] {
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
    const ends = wire.ends.filter((end) => end.node === node && !isKnown(end))
    const displaced = wire.displaced.filter((one) => one.node === node && !isKnown(one))
    const edit = `kubectl edit wires.l2wire.dev ${wire.name} -n ${wire.namespace}`
    return [
      ...ends.map((end) =>
        newFinding(
          'claim-stray',
          `Wire ${key} has an end for ${describeEnd(end)} on ${node}, which the agent there knows nothing of`,
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
