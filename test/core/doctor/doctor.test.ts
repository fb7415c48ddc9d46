import { expect } from 'chai'
import { describe, it } from 'mocha'

import { findFaults } from '../../../core/doctor.ts'
import { decodeSurvey, type DoctorFacts } from '../../../core/doctor-facts.ts'
import { keepSettled } from '../../../core/finding.ts'
import {
  across,
  local,
  alone,
  none,
  unplugged,
  farDown,
  changeFirst,
  addLink,
  addAttachment,
  withWire,
  old,
  oldEnd,
  surveyedTap,
  otherClaim,
  type Row,
  describeRows,
} from './changes.ts'
import { acrossWire, changeSurvey, newDoctorFacts, newSurvey, NOW } from './samples.ts'

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
    name: 'a far end that is down, and this host end too',
    facts: changeFirst(newDoctorFacts(farDown), { isUp: false }),
    kinds: [],
  },
  {
    name: 'an older sandbox that lost its end and waits for its DEL',
    facts: addLink(addAttachment(across, old, {}, 'released'), oldEnd),
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

const levelOf = (facts: DoctorFacts): readonly string[] =>
  findFaults(facts).map(({ level }) => level)

describe('findFaults()', () => {
  describeRows('leaves alone', wellRows)
  describeRows('finds in the store', storeRows)

  it('takes a hint for no fault', () => {
    expect(levelOf(changeSurvey(across, () => ({ foreign: ['lw0123456789abc'] })))).to.deep.equal([
      'hint',
    ])
    expect(levelOf(changeSurvey(across, () => ({ version: '9' })))).to.deep.equal(['hint'])
    expect(levelOf(addLink(across, oldEnd))).to.deep.equal(['wrong'])
  })

  it('keeps to a node', () => {
    const facts = changeFirst(local, { redirects: [] })
    expect(findFaults(facts, 'n1')).to.have.length(1)
    expect(findFaults(facts, 'n2')).to.deep.equal([])
  })

  it('keeps to a namespace, and to what is of every one', () => {
    const facts = changeSurvey(changeFirst(local, { redirects: [] }), () => ({
      peers: ['192.0.2.9 9'],
    }))
    expect(findFaults({ ...facts, namespace: 'lab' }).map(({ kind }) => kind)).to.deep.equal([
      'redirect',
      'peer-stray',
    ])
  })
})

describe('keepSettled()', () => {
  it('keeps what both looks saw', () => {
    const one = findFaults(changeFirst(local, { redirects: [] }))
    const other = findFaults(changeFirst(local, { redirects: ['eth0'] }))
    expect(keepSettled(one, [...one, ...other])).to.deep.equal(one)
    expect(keepSettled(one, other)).to.deep.equal([])
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
