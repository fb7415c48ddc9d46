// Every document that somebody else writes (an agent of another release, another node's kubectl-l2wire, a store),
// with all of its keys.
import { expect } from 'chai'
import { describe, it } from 'mocha'

import {
  decodeAttachment,
  type TapAttachment,
  type WireAttachment,
} from '../../core/attach/attachment.ts'
import { decodeResponse, PROTOCOL, type CniResponse } from '../../core/cni/protocol.ts'
import {
  decodeNodeDiff,
  decodeSurvey,
  type NodeSurvey,
  type SurveyedAttachment,
} from '../../core/doctor/facts.ts'
import type { Finding } from '../../core/doctor/finding.ts'
import {
  decodeProberAnswer,
  decodeShots,
  type ProberReport,
  type Shot,
} from '../../core/doctor/prober-line.ts'
import type { NicRoute } from '../../core/net/route.ts'
import {
  decodeInspection,
  type Device,
  type EndInspection,
  type WireInspection,
} from '../../core/observe/inspection.ts'
import type { VmNetwork } from '../../core/podnetwork/vm-network.ts'
import {
  decodeAnswer,
  decodeRequest,
  type StationAnswer,
  type StationRequest,
} from '../../core/tester/station-line.ts'
import { decodeWireFields, decodeWireId } from '../../core/wire/document.ts'
import type { EndClaim, NodeReport, Wire } from '../../core/wire/wire.ts'
import { testDocument } from './document-suite.ts'

function below(path: string, keys: readonly string[]): readonly string[] {
  return keys.map((key) => `${path}.${key}`)
}

const COMMON = {
  version: 1,
  containerID: 'c1',
  ifname: 'net1',
  netns: { path: '/run/netns/c1', inode: 4711, bootId: 'b' },
  network: 'w',
  phase: 'ready',
  mtuBytes: 1500,
} as const

const ROUTE: Required<NicRoute> = {
  dst: '0.0.0.0/0',
  gw: '10.0.0.1',
  mtu: 1450,
  advmss: 1400,
  priority: 1,
  table: 254,
  scope: 0,
}
const ROUTE_OPTIONAL = ['gw', 'mtu', 'advmss', 'priority', 'table', 'scope']

const WIRE: Required<WireAttachment> = {
  ...COMMON,
  kind: 'wire',
  wire: { namespace: 'lab', name: 'w' },
  holder: 'vm/r1',
  node: 'n1',
  mac: '02:00:00:00:00:01',
  maxFrameBytes: 9216,
  vni: 4711,
  offload: false,
  carrier: 'vm',
  pod: 'virt-launcher-r1',
  isTarget: true,
  subjects: [{ apiVersion: 'v1', kind: 'Pod', namespace: 'lab', name: 'h1', uid: 'u' }],
  addressing: { ips: [{ address: '10.0.0.2/24', gateway: '10.0.0.1' }], routes: [ROUTE] },
  isRenewed: true,
  hostDevice: 'lw1',
}
const WIRE_OPTIONAL = [
  'vni',
  'offload',
  'carrier',
  'pod',
  'isTarget',
  'subjects',
  'addressing',
  'isRenewed',
  'addressing.ips[0].gateway',
  ...below('addressing.routes[0]', ROUTE_OPTIONAL),
]

const VM_NETWORK: Required<VmNetwork> = {
  mac: '02:00:00:00:00:02',
  mtuBytes: 1450,
  hostname: 'r1',
  ipv4: '10.0.0.2/24',
  ipv6: 'fd00::2/64',
  routes: [ROUTE],
  router: { linkLocal: 'fe80::1', mac: '02:00:00:00:00:03' },
  silent: { addresses: ['169.254.1.1'], mac: '02:00:00:00:00:04' },
  nameservers: ['10.96.0.10'],
  searches: ['svc.cluster.local'],
  dhcpOptions: [{ code: 66, text: 'tftp', addresses: ['10.0.0.3'] }],
}

const TAP: Required<TapAttachment> = {
  ...COMMON,
  kind: 'tap',
  podLink: 'eth0',
  tap: 'tap0',
  attach: 'macvtap',
  index: 7,
  devicePath: '/dev/tap7',
  isMultiQueue: true,
  podLinkMtuBytes: 9216,
  isMuted: true,
  lease: VM_NETWORK,
}
const TAP_OPTIONAL = [
  'attach',
  'index',
  'devicePath',
  'isMultiQueue',
  'podLinkMtuBytes',
  'isMuted',
  'lease',
  ...below('lease', ['hostname', 'ipv4', 'ipv6', 'router', 'silent', 'dhcpOptions']),
  ...below('lease.dhcpOptions[0]', ['text', 'addresses']),
  ...below('lease.routes[0]', ROUTE_OPTIONAL),
]

const VXLAN = { vni: 4711, local: '192.0.2.1', remote: '192.0.2.2', port: 14789 }

const FINDING: Finding = {
  kind: 'redirect',
  level: 'wrong',
  node: 'n1',
  wire: null,
  what: '"lw1" leads to ""',
  remedy: 'wait',
}

const SURVEYED: Required<SurveyedAttachment> = {
  attachment: WIRE,
  isSandboxThere: true,
  ageSeconds: 1.5,
}

const SURVEY: Required<NodeSurvey> = {
  version: '0.4.0',
  refusal: null,
  attachments: [SURVEYED, { ...SURVEYED, attachment: TAP }],
  unreadable: ['Cannot decode'],
  unseen: ['nft'],
  findings: [FINDING],
  port: 14789,
  hasKubelet: null,
}

const DEVICE: Required<Device> = {
  name: 'lx1',
  isUp: true,
  hasCarrier: false,
  mac: '02:00:00:00:00:01',
  mtuBytes: 9216,
  received: { frames: 12, bytes: 1200, dropped: 0 },
  sent: { frames: 7, bytes: 700, dropped: 0 },
  redirect: { target: 'lw1', frames: 12, dropped: 3 },
  vxlan: VXLAN,
  below: 'eth1',
}

const END: Required<EndInspection> = {
  containerID: 'c1',
  ifname: 'eth1',
  netns: '/run/netns/c1',
  hostEnd: DEVICE,
  podEnd: { ...DEVICE, redirect: null, vxlan: null, below: null },
  tap: null,
  offload: true,
}

const INSPECTION: Required<WireInspection> = {
  node: 'n1',
  ends: [END, { ...END, netns: null, hostEnd: null, podEnd: null, tap: DEVICE, offload: null }],
  tunnel: DEVICE,
  findings: [FINDING],
  unseen: ['a device'],
}

const REPORT: Required<NodeReport> = {
  node: 'n1',
  state: 'failed',
  ends: ['c1@eth1'],
  message: 'no device',
  code: 100,
  guests: [{ end: 'c1@eth1', reason: 'Shown', message: 'as it is' }],
}

const CLAIM: Required<EndClaim> = {
  holder: 'vm/r1',
  containerID: 'c1',
  ifname: 'eth1',
  node: 'n1',
  address: '192.0.2.1',
  pod: 'r1',
  isUp: true,
  mtuBytes: 1500,
}

const STORED: Required<Wire> = {
  namespace: 'lab',
  name: 'w',
  ends: [CLAIM],
  isUnplugged: false,
  standbys: [{ ...CLAIM, containerID: 'c2', node: 'n2', isTarget: true }],
  displaced: [{ containerID: 'c0', ifname: 'eth1', node: 'n0' }],
  vni: 4711,
  tunnelNodes: ['n1'],
  reports: [REPORT],
}

const RESPONSE: Required<CniResponse> = { protocol: PROTOCOL, output: {}, isError: true }
const SEND: StationRequest = { op: 'send', pcap: 'aa' }
const DONE: StationAnswer = {
  ok: true,
  nic: { mac: '02:00:00:00:00:01', mtuBytes: 1500, isUp: true },
  pcap: '',
}
const SHOTS: readonly Required<Shot>[] = [
  {
    from: 'n1',
    to: 'n2',
    fromAddress: '192.0.2.1',
    toAddress: '192.0.2.2',
    vni: 4711,
    token: 7,
    sizes: [128],
  },
]
const HEARD: Required<ProberReport> = { mtuBytes: 1500, nft: '{}' }

function readAttachment(json: string): unknown {
  return decodeAttachment(JSON.parse(json), 'c1.json')
}

function readWire(json: string): unknown {
  const value = JSON.parse(json)
  return { ...decodeWireId(value ?? {}, 'w'), ...decodeWireFields(value, 'w') }
}

describe('an attachment of a wire', () => {
  testDocument({ sample: WIRE, decode: readAttachment, optional: WIRE_OPTIONAL })
})

describe('an attachment of a VM', () => {
  testDocument({ sample: TAP, decode: readAttachment, optional: TAP_OPTIONAL })
})

describe('a survey', () => {
  const optional = [
    'refusal',
    'findings',
    'unseen',
    'port',
    'hasKubelet',
    ...[WIRE_OPTIONAL, TAP_OPTIONAL].flatMap((keys, at) =>
      below(`attachments[${at}].attachment`, keys),
    ),
  ]
  testDocument({ sample: SURVEY, decode: (json) => decodeSurvey(json, 'survey'), optional })
})

describe("an agent's findings", () => {
  const sample = { findings: [FINDING], unseen: ['a device'], port: 14_789 }
  testDocument({ sample, decode: (json) => decodeNodeDiff(JSON.parse(json), '') })
})

describe('an inspection', () => {
  const devices = ['ends[0].hostEnd', 'ends[0].podEnd', 'ends[1].tap', 'tunnel']
  const optional = [
    ...[0, 1].map((at) => `ends[${at}].offload`),
    ...devices.map((device) => `${device}.below`),
  ]
  testDocument({
    sample: INSPECTION,
    decode: (json) => decodeInspection(JSON.parse(json), ''),
    optional,
  })
})

describe('a wire in a store', () => {
  const optional = [
    'vni',
    'isUnplugged',
    'standbys',
    'displaced',
    'tunnelNodes',
    'reports',
    ...below('ends[0]', ['pod', 'isUp']),
    ...below('standbys[0]', ['pod', 'isUp', 'isTarget']),
    ...below('reports[0]', ['message', 'code', 'guests', 'guests[0].message']),
  ]
  testDocument({ sample: STORED, decode: readWire, optional, isRestDropped: true })
})

describe("an agent's answer", () => {
  testDocument({ sample: RESPONSE, decode: decodeResponse, optional: ['output'] })
})

describe("a station's request", () => {
  testDocument({ sample: SEND, decode: decodeRequest, isRestDropped: true })
})

describe("a station's answer", () => {
  testDocument({ sample: DONE, decode: decodeAnswer, optional: ['nic', 'pcap'] })
})

describe("a station's refusal", () => {
  testDocument({ sample: { ok: false, fault: 'no' }, decode: decodeAnswer })
})

describe("a prober's request", () => {
  testDocument({ sample: SHOTS, decode: decodeShots })
})

describe("a prober's answer", () => {
  testDocument({ sample: HEARD, decode: decodeProberAnswer })
  it('may be why there is none', () => {
    const refusal = { ok: false, fault: 'no nft' }
    expect(decodeProberAnswer(JSON.stringify(refusal))).to.deep.equal(refusal)
  })
})
