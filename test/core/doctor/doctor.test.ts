import { expect } from 'chai'
import { describe, it } from 'mocha'

import { findFaults } from '../../../core/doctor.ts'
import { decodeSurvey, type DoctorFacts, type SurveyedLink } from '../../../core/doctor-facts.ts'
import { keepSettled } from '../../../core/finding.ts'
import { toTunnelDeviceName } from '../../../core/name.ts'
import type { Wire } from '../../../core/wire.ts'
import { newClaim, toHost, TUNNEL } from '../view/samples.ts'
import {
  A,
  acrossWire,
  aloneWire,
  B,
  changeSurvey,
  localWire,
  NEAR,
  newAttachment,
  newDoctorFacts,
  newHostEnd,
  newSurvey,
  newSurveyed,
  newTunnel,
  NOW,
} from './samples.ts'

const across = newDoctorFacts(acrossWire)
const local = newDoctorFacts(localWire)
const alone = newDoctorFacts(aloneWire)
const none: Wire = { ...acrossWire, ends: [], tunnelNodes: [], vni: undefined, reports: [] }
const unplugged: Wire = {
  ...acrossWire,
  isUnplugged: true,
  vni: undefined,
  tunnelNodes: [],
  reports: acrossWire.reports.map((report) => ({ ...report, state: 'waiting' })),
}
const [bDown] = [newClaim(2, { isUp: false })]
const farDown: Wire = { ...acrossWire, ends: [A, bDown] }

const changeLinks = (
  facts: DoctorFacts,
  change: (link: SurveyedLink) => readonly SurveyedLink[],
): DoctorFacts => changeSurvey(facts, ({ links }) => ({ links: links.flatMap(change) }))
const changeFirst = (facts: DoctorFacts, more: Partial<SurveyedLink>): DoctorFacts =>
  changeLinks(facts, (link) => [link.name === toHost(A) ? { ...link, ...more } : link])
const changeTunnel = (more: Partial<SurveyedLink>): DoctorFacts =>
  changeLinks(across, (link) => [link.kind === 'tunnel' ? { ...link, ...more } : link])
const addLink = (facts: DoctorFacts, link: SurveyedLink): DoctorFacts =>
  changeSurvey(facts, ({ links }) => ({ links: [...links, link] }))
const addAttachment = (facts: DoctorFacts, ...more: Parameters<typeof newSurveyed>): DoctorFacts =>
  changeSurvey(facts, ({ attachments }) => ({
    attachments: [...attachments, newSurveyed(...more)],
  }))
const withWire = (facts: DoctorFacts, more: Partial<Wire>): DoctorFacts => ({
  ...facts,
  wires: facts.wires.map((wire) => ({ ...wire, ...more })),
})

const vxlan = { vni: 4096, local: A.address, remote: B.address, port: 14789 }
const old = newClaim(1, { containerID: 'old' })
const oldEnd = newHostEnd(old, [])
const tap = {
  version: 1,
  kind: 'tap',
  containerID: 'c1',
  ifname: 'tap1',
  netns: { path: '/run/netns/c1', inode: 1, bootId: 'b' },
  network: 'x',
  phase: 'ready',
  podLink: 'eth0',
  tap: 'tap0',
  mtuBytes: 1500,
} as const
const surveyedTap = { attachment: tap, isSandboxThere: true, hasTap: true, ageSeconds: 9 }
const otherClaim = { vni: 77, wire: { namespace: 'lab', name: 'gone' }, sinceMs: NOW - 120_000 }

interface Row {
  readonly name: string
  readonly facts: DoctorFacts
  readonly kinds: readonly string[]
  readonly words?: readonly string[]
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

const nodeRows: readonly Row[] = [
  {
    name: 'a document of an attachment that cannot be read hides what it is about',
    facts: changeSurvey(across, () => ({
      unreadable: ['Cannot decode "x.json"'],
      attachments: [],
    })),
    kinds: ['unreadable'],
    words: ['x.json', 'n1'],
  },
  {
    name: 'a DEL that the store was never told of',
    facts: addAttachment(across, old, { isSandboxThere: false, ageSeconds: 61 }, 'leaving'),
    kinds: ['leaving-long'],
  },
  {
    name: 'an ADD that never ended',
    facts: addAttachment(across, old, { ageSeconds: 601 }, 'adding'),
    kinds: ['adding-long'],
  },
  {
    name: 'a sandbox that is gone',
    facts: changeSurvey(alone, () => ({
      attachments: [newSurveyed(A, { isSandboxThere: false })],
      links: [],
    })),
    kinds: ['sandbox-gone'],
    words: ['pod/h1 eth1', 'lab/r1-h1', 'n1'],
  },
  {
    name: 'a tap that is gone',
    facts: changeSurvey(across, ({ attachments }) => ({
      attachments: [...attachments, { ...surveyedTap, hasTap: false }],
    })),
    kinds: ['tap-gone'],
    words: ['tap0', 'c1'],
  },
  {
    name: 'a macvtap whose device is gone',
    facts: changeSurvey(across, ({ attachments }) => ({
      attachments: [
        ...attachments,
        {
          ...surveyedTap,
          attachment: {
            ...tap,
            attach: 'macvtap',
            index: 70_000_001,
            devicePath: '/run/tap70000001',
          },
          hasDevice: false,
        },
      ],
    })),
    kinds: ['device-gone'],
    words: ['/run/tap70000001', 'tap0', 'c1', 'start its virtual machine again'],
  },
  {
    name: 'a pod link that others speak on, too',
    facts: changeSurvey(across, ({ attachments }) => ({
      attachments: [...attachments, { ...surveyedTap, muteFault: '"eth0" is not mute' }],
    })),
    kinds: ['not-mute'],
    words: ['"eth0" is not mute', 'tap0', 'c1'],
  },
  {
    name: 'a host end that is gone',
    facts: changeLinks(alone, () => []),
    kinds: ['host-end-gone'],
    words: [toHost(A), 'start pod/h1 again'],
  },
  {
    name: 'an attachment that its wire does not name',
    facts: withWire(alone, { ends: [], isUnplugged: true }),
    kinds: ['not-claimed'],
    words: ['claims it'],
  },
  {
    name: 'an attachment that two others have shut out',
    facts: addLink(
      changeSurvey(across, ({ attachments }) => ({
        attachments: [
          ...attachments,
          { ...newSurveyed(old), attachment: newAttachment(old, { holder: 'pod/h3' }) },
        ],
      })),
      oldEnd,
    ),
    kinds: ['not-claimed'],
    words: ['pod/h3', 'both ends are taken, by pod/h1 eth1 and pod/h2 eth1'],
  },
  {
    name: 'an end that its node knows nothing of',
    facts: changeSurvey(alone, () => ({ attachments: [], links: [] })),
    kinds: ['claim-stray'],
    words: ['pod/h1 eth1', 'n1'],
  },
  {
    name: 'a displaced sandbox that its node knows nothing of',
    facts: withWire(across, { displaced: [{ containerID: 'x', ifname: 'eth1', node: 'n1' }] }),
    kinds: ['displaced-stray'],
    words: ['x@eth1'],
  },
]

const kernelRows: readonly Row[] = [
  {
    name: 'a host end of nobody',
    facts: addLink(across, oldEnd),
    kinds: ['host-end-stray'],
    words: [`ip link del dev ${oldEnd.name}`, 'n1'],
  },
  {
    name: 'a host end that is down',
    facts: changeFirst(local, { isUp: false }),
    kinds: ['device-down'],
    words: [`ip link set dev ${toHost(A)} up`],
  },
  {
    name: 'a host end that is up alone',
    facts: changeFirst(alone, { isUp: true }),
    kinds: ['device-up'],
    words: ['nobody is at the other end'],
  },
  {
    name: 'a host end that is up though the cable is out',
    facts: changeFirst(newDoctorFacts(unplugged), { isUp: true }),
    kinds: ['device-up'],
    words: ['the cable is taken out'],
  },
  {
    name: 'a host end that is up though the far end is down',
    facts: newDoctorFacts(farDown),
    kinds: ['device-up'],
    words: ['the far end is down'],
  },
  {
    name: 'an older sandbox that still leads somewhere',
    facts: addLink(addAttachment(across, old, {}, 'released'), newHostEnd(old, [TUNNEL])),
    kinds: ['device-up', 'redirect'],
    words: [`leads to ${TUNNEL} on n1, expected nowhere`],
  },
  {
    name: 'a redirect to the wrong device',
    facts: changeFirst(local, { redirects: ['eth0'] }),
    kinds: ['redirect'],
    words: [`to eth0 on n1, expected ${toHost(NEAR)}`],
  },
  {
    name: 'a redirect to a device that is gone',
    facts: changeFirst(local, { redirects: ['*'] }),
    kinds: ['redirect'],
    words: ['to a device that is gone'],
  },
  {
    name: 'no redirect',
    facts: changeFirst(local, { redirects: [] }),
    kinds: ['redirect'],
    words: ['leads nowhere'],
  },
  {
    name: 'a cable that is out and leads elsewhere',
    facts: changeFirst(newDoctorFacts(unplugged), { redirects: ['eth0'] }),
    kinds: ['redirect'],
  },
  {
    name: 'a tunnel of no wire',
    facts: changeSurvey(
      addLink(across, {
        ...newTunnel(A, B),
        name: toTunnelDeviceName('lab/x'),
        alias: 'l2wire lab/x vni 4096 port 14789 local 192.0.2.1 remote 192.0.2.2',
      }),
      () => ({}),
    ),
    kinds: ['tunnel-stray'],
    words: [`ip link del dev ${toTunnelDeviceName('lab/x')}`],
  },
  {
    name: 'a tunnel that its wire does not know of on this node',
    facts: withWire(across, { tunnelNodes: ['n2'] }),
    kinds: ['tunnel-stray'],
  },
  {
    name: 'a tunnel with another VNI',
    facts: changeSurvey(changeTunnel({ vxlan: { ...vxlan, vni: 5 } }), () => ({
      peers: ['192.0.2.2 5'],
    })),
    kinds: ['tunnel-astray'],
    words: ['VNI 5, expected', 'VNI 4096'],
  },
  {
    name: 'a tunnel to another node',
    facts: changeSurvey(changeTunnel({ vxlan: { ...vxlan, remote: '192.0.2.9' } }), () => ({
      peers: ['192.0.2.9 4096'],
    })),
    kinds: ['tunnel-astray'],
    words: ['192.0.2.9'],
  },
  { name: 'a tunnel that is down', facts: changeTunnel({ isUp: false }), kinds: ['device-down'] },
  {
    name: 'a tunnel that leads nowhere',
    facts: changeTunnel({ redirects: [] }),
    kinds: ['redirect'],
  },
  {
    name: 'a tunnel that is gone, and the redirect into it',
    facts: changeSurvey(
      changeLinks(across, (link) =>
        link.kind === 'tunnel' ? [] : [{ ...link, redirects: ['*'] }],
      ),
      () => ({ peers: [] }),
    ),
    kinds: ['redirect', 'no-tunnel'],
    words: [TUNNEL],
  },
  {
    name: 'a far end that is not let in',
    facts: changeSurvey(across, () => ({ peers: [] })),
    kinds: ['not-let-in'],
    words: ['192.0.2.2 sends with VNI 4096'],
  },
  {
    name: 'somebody let in without a tunnel',
    facts: changeSurvey(across, ({ peers }) => ({ peers: [...peers, '2001:db8::9 9'] })),
    kinds: ['peer-stray'],
    words: ["nft delete element inet l2wire peers6 '{ 2001:db8::9 . 9 }'"],
  },
  {
    name: 'no table at all',
    facts: changeSurvey(across, () => ({ peers: [], hasTable: false })),
    kinds: ['no-guard', 'not-let-in'],
  },
  {
    name: "somebody else's device with a name like ours",
    facts: changeSurvey(across, () => ({ foreign: ['lw0123456789abc'] })),
    kinds: ['foreign-device'],
  },
]

const levelOf = (facts: DoctorFacts): readonly string[] =>
  findFaults(facts).map(({ level }) => level)

describe('findFaults()', () => {
  for (const [title, rows] of [
    ['leaves alone', wellRows],
    ['finds in the store', storeRows],
    ['finds in the state directory', nodeRows],
    ['finds in the kernel', kernelRows],
  ] as const)
    describe(title, () => {
      for (const { name, facts, kinds, words = [] } of rows)
        it(name, () => {
          const findings = findFaults(facts)
          expect(findings.map(({ kind }) => kind)).to.deep.equal(kinds)
          const text = findings.map(({ what, cure }) => `${what}. ${cure}`).join('\n')
          for (const word of words) expect(text).to.include(word)
        })
    })

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
