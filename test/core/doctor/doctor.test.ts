import { expect } from 'chai'
import { describe, it } from 'mocha'

import { findAll } from '../../../core/doctor/doctor.ts'
import { decodeSurvey, type DoctorFacts } from '../../../core/doctor/facts.ts'
import { keepSettled, newFinding } from '../../../core/doctor/finding.ts'
import { toAttachmentKey, type NodeReport } from '../../../core/wire/wire.ts'
import {
  across,
  local,
  alone,
  none,
  unplugged,
  addAttachment,
  withWire,
  old,
  surveyedTap,
  otherClaim,
  type Row,
  describeRows,
} from './changes.ts'
import { A, acrossWire, changeSurvey, newDoctorFacts, newSurvey, NOW } from './samples.ts'

const FAILED: NodeReport = {
  node: 'n1',
  state: 'failed',
  ends: [toAttachmentKey(A)],
  message: 'this is a bug',
}

const wellRows: readonly Row[] = [
  { name: 'a wire across nodes', facts: across, kinds: [] },
  { name: 'a wire on one node', facts: local, kinds: [] },
  { name: 'an end alone', facts: alone, kinds: [] },
  { name: 'a cable that is taken out', facts: newDoctorFacts(unplugged), kinds: [] },
  {
    name: 'a cable that is taken out before anybody plugs in',
    facts: newDoctorFacts({ ...none, isUnplugged: true }),
    kinds: [],
  },
  {
    name: 'an older sandbox that lost its end and waits for its DEL',
    facts: addAttachment(across, old, {}, 'released'),
    kinds: [],
  },
  {
    name: 'a DEL whose word is on its way to the store',
    facts: addAttachment(across, old, { isSandboxThere: false, ageSeconds: 5 }, 'leaving'),
    kinds: [],
  },
  {
    name: 'an ADD under way',
    facts: addAttachment(across, old, { ageSeconds: 5 }, 'adding'),
    kinds: [],
  },
  {
    name: 'a tap',
    facts: changeSurvey(across, ({ attachments }) => ({
      attachments: [...attachments, surveyedTap],
    })),
    kinds: [],
  },
  {
    name: 'a VNI claim that its wire is about to note',
    facts: {
      ...across,
      vniClaims: [...(across.vniClaims ?? []), { ...otherClaim, sinceMs: NOW - 1000 }],
    },
    kinds: [],
  },
  {
    name: 'a report about ends that are no more',
    facts: withWire(alone, { reports: [{ ...FAILED, ends: ['old@eth1'] }] }),
    kinds: [],
  },
  {
    name: 'an agent that can do its work',
    facts: changeSurvey(across, () => ({ refusal: null })),
    kinds: [],
  },
  {
    name: 'what may not be read is not missed',
    facts: { ...across, vniClaims: undefined, nodeNames: undefined, agents: undefined },
    kinds: [],
  },
  {
    name: 'wires of another namespace are not missed where only one was read',
    facts: { ...across, namespace: 'other', wires: [], vniClaims: [] },
    kinds: [],
  },
]

const storeRows: readonly Row[] = [
  {
    name: 'a document of a wire that cannot be read',
    facts: { ...across, unreadable: ['Cannot decode "lab.x.json"'] },
    kinds: ['unreadable'],
    words: ['lab.x.json'],
  },
  {
    name: 'a wire that nobody needs',
    facts: newDoctorFacts(none),
    kinds: ['wire-stray'],
    words: ['lab/r1-h1', 'kubectl delete wires.l2wire.dev r1-h1 -n lab'],
  },
  {
    name: 'an end on a node that does not exist',
    facts: { ...across, nodeNames: ['n1'] },
    kinds: ['node-gone'],
    words: ['an end and a tunnel on node n2'],
  },
  {
    name: 'a sandbox that stands by on a node that does not exist',
    facts: withWire(across, { standbys: [{ ...old, node: 'n9', isTarget: false }] }),
    kinds: ['node-gone'],
    words: ['a sandbox that stands by on node n9'],
  },
  {
    name: 'a migration that is under way',
    facts: withWire(addAttachment(across, old, {}), { standbys: [{ ...old, isTarget: true }] }),
    kinds: ['migration'],
    words: ['pod/h1 eth1 of wire lab/r1-h1 stands by on node n1', 'nothing to do'],
  },
  {
    name: 'a displaced sandbox on a node that does not exist',
    facts: withWire(across, { displaced: [{ containerID: 'x', ifname: 'eth1', node: 'n9' }] }),
    kinds: ['node-gone'],
    words: ['a displaced sandbox on node n9'],
  },
  {
    name: 'a node that could not join',
    facts: withWire(across, {
      reports: acrossWire.reports.map((report) =>
        report.node === 'n1' ? { ...report, state: 'failed', message: 'no room' } : report,
      ),
    }),
    kinds: ['not-joined'],
    words: ['n1', 'no room', 'describe r1-h1 -n lab'],
  },
  {
    name: 'an end alone that its node could not bring to where it should be',
    facts: withWire(alone, { reports: [FAILED] }),
    kinds: ['failed'],
    words: ['Node n1', 'lab/r1-h1', 'this is a bug', 'describe r1-h1 -n lab'],
  },
  {
    name: 'a cable that could not be taken out',
    facts: withWire(newDoctorFacts(unplugged), {
      reports: unplugged.reports.map((report) =>
        report.node === 'n2' ? { ...report, state: 'failed', message: 'no room' } : report,
      ),
    }),
    kinds: ['failed'],
    words: ['Node n2', 'no room'],
  },
  {
    name: 'a VNI that nobody uses',
    facts: { ...across, vniClaims: [...(across.vniClaims ?? []), otherClaim] },
    kinds: ['vni-stray'],
    words: ['VNI 77', 'lab/gone', 'kubectl delete vniclaims.l2wire.dev 77'],
  },
  {
    name: 'a VNI that is used without a claim',
    facts: { ...across, vniClaims: [] },
    kinds: ['vni-unclaimed'],
    words: ['4096'],
  },
  {
    name: 'no agent on a node with ends',
    facts: { ...across, agents: (across.agents ?? []).slice(0, 1) },
    kinds: ['no-agent'],
    words: ['n2'],
  },
  {
    name: 'an agent that is not ready',
    facts: {
      ...across,
      agents: (across.agents ?? []).map((agent) => ({ ...agent, isReady: agent.node !== 'n2' })),
    },
    kinds: ['no-agent'],
    words: ['agent-n2', 'not ready'],
  },
  {
    name: 'agents of two releases',
    facts: changeSurvey(across, () => ({ version: '0.1.0' })),
    kinds: ['versions-differ'],
    words: ['0.1.0 on n1; 0.2.0 on n2'],
  },
]

const FOUND = [
  newFinding('redirect', '"lw1" leads', 'wait', { node: 'n1', wire: 'lab/r1-h1' }),
  newFinding('foreign-device', 'Device lw0', 'nothing', { node: 'n1', level: 'hint' }),
  newFinding('peer-stray', 'is let in', 'forbid it', { node: 'n1' }),
] as const
const found = changeSurvey(across, () => ({ findings: FOUND }))

const kindsOf = (facts: DoctorFacts): readonly string[] => findAll(facts).map(({ kind }) => kind)
const levelOf = (facts: DoctorFacts): readonly string[] => findAll(facts).map(({ level }) => level)

describe('findAll()', () => {
  describeRows('leaves alone', wellRows)
  describeRows('finds in the store', storeRows)

  it('tells what agents find, and takes a hint for nothing wrong', () => {
    expect(kindsOf(found)).to.deep.equal(['redirect', 'foreign-device', 'peer-stray'])
    expect(levelOf(found)).to.deep.equal(['wrong', 'hint', 'wrong'])
    expect(levelOf(changeSurvey(across, () => ({ version: '9' })))).to.deep.equal(['hint'])
  })

  it('keeps to a node', () => {
    expect(findAll(found, 'n1')).to.have.length(3)
    expect(findAll(found, 'n2')).to.deep.equal([])
  })

  it('keeps to a namespace, and to what is of every one', () => {
    expect(kindsOf({ ...found, namespace: 'lab' })).to.deep.equal(kindsOf(found))
    const other = newFinding('redirect', '"lw2" leads', 'wait', { node: 'n1', wire: 'other/w' })
    const both = changeSurvey(found, ({ findings = [] }) => ({ findings: [...findings, other] }))
    expect(kindsOf({ ...both, namespace: 'lab' })).to.deep.equal(kindsOf(found))
  })
})

describe('keepSettled()', () => {
  it('keeps what both looks saw', () => {
    const [one, other] = FOUND
    expect(keepSettled([one], [one, other])).to.deep.equal([one])
    expect(keepSettled([one], [other])).to.deep.equal([])
  })
})

describe('decodeSurvey()', () => {
  it('reads what survey prints', () => {
    const survey = newSurvey(acrossWire, 'n1')
    expect(decodeSurvey(JSON.stringify(survey), 'survey')).to.deep.equal(survey)
  })
  const refusals = [
    'nonsense',
    '[]',
    '{"version":"1"}',
    JSON.stringify({ ...newSurvey(acrossWire, 'n1'), version: 1 }),
  ]
  for (const text of refusals)
    it(`refuses ${text.slice(0, 20)}`, () => {
      expect(() => decodeSurvey(text, 'survey on n1')).to.throw('survey on n1')
    })
})
