// What is named elsewhere, at the full length that it may have: nothing that is made of it is longer than its place, or is
// taken for something else.
import { basename } from 'node:path'

import { expect } from 'chai'
import fc from 'fast-check'
import { describe, it } from 'mocha'

import { MTU_MAX } from '../../core/net/address.ts'
import type { WireAttachment } from '../../core/attach/attachment.ts'
import { BOUNDS } from '../../core/bounds.ts'
import { findJoined, isOurAlias, renderAlias } from '../../core/domain/tap-alias.ts'
import { toMarkKey } from '../../core/guest/carrier.ts'
import {
  isDeviceName,
  toFoundTapName,
  toHostEndName,
  toPodLinkName,
  toServerNames,
  toTunnelDeviceName,
} from '../../core/name.ts'
import { toPeerKey, type Observation } from '../../core/observe/observation.ts'
import { diff } from '../../core/steps/diff.ts'
import { listNotices } from '../../core/wire/notice.ts'
import { toDocumentFile, toPathBelow } from '../../core/path-below.ts'
import { toAlias } from '../../core/wire/plan.ts'
import { toMessage } from '../../core/printable.ts'
import { toNoteFile } from '../../core/attach/release-note.ts'
import { listPeers, wantTunnel, type Tunnel } from '../../core/wire/tunnel.ts'
import { VNI_MAX } from '../../core/wire/vni.ts'
import { decodeWireFields, decodeWireId } from '../../core/wire/document.ts'
import { fromWireObject, toWireObject } from '../../core/wire/object.ts'
import { toAttachmentKey, toWireKey, type EndClaim, type Wire } from '../../core/wire/wire.ts'
import { toTemporaryName } from '../../store/new-file.ts'
import { expectWithin, readSchema, type Schema } from './crd-schema.ts'
import { newObservation } from './samples.ts'

/** RFC 1123, each label of it. */
const SUBDOMAIN = /^(?=.{1,253}$)[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/
/** Of a label's or annotation's key, what is behind the "/". */
const KEY_NAME = /^[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$/

/** Of full length, or a little shorter: of letters, or of what makes a name awkward to cut. */
function anyName(most: number, inner: string): fc.Arbitrary<string> {
  const middle = (length: number): fc.Arbitrary<string> =>
    fc
      .array(fc.constantFrom(...inner.split('')), { minLength: length, maxLength: length })
      .map((chars) => chars.join(''))
  return fc
    .integer({ min: most - 60, max: most })
    .chain((length) => fc.tuple(middle(Math.max(0, length - 2)), fc.boolean()))
    .map(([text, isPlain]) => `a${isPlain ? text.replaceAll(/[^a-z]/g, 'b') : text}z`)
}

const NOWHERE = { address: '192.0.2.1' }
const WORD = 'abzAZ09_.-'
const anyId = fc.record({
  namespace: anyName(63, 'abz09-'),
  name: fc.oneof(anyName(128, WORD), anyName(128, 'abz09-')),
})
const IFNAME = 'i'.repeat(BOUNDS.ifname.maxLength)
const kinds = ['vm/', 'pod/', 'deployment/', '']

function anyEnd(letter: string): fc.Arbitrary<EndClaim> {
  return fc
    .record({
      kind: fc.constantFrom(...kinds),
      name: anyName(253, 'abz09-'),
      containerID: anyName(BOUNDS.containerID.maxLength, WORD),
      node: anyName(253, 'abz09-'),
      isIpv6: fc.boolean(),
    })
    .map(({ kind, name, containerID, node, isIpv6 }) => ({
      holder: `${kind}${name}`,
      containerID: `${letter}${containerID.slice(1)}`,
      ifname: IFNAME,
      node: `${letter}${node.slice(1)}`,
      address: isIpv6 ? `2001:db8:1111:2222:3333:4444:5555:666${letter}` : '198.51.100.201',
      mtuBytes: MTU_MAX,
      pod: name,
      isUp: false,
    }))
}

const anyWire = fc.tuple(anyId, anyEnd('a'), anyEnd('b')).map(([id, a, b]): Wire => ({
  ...id,
  ends: [a, b],
  isUnplugged: false,
  standbys: [],
  displaced: [],
  vni: VNI_MAX,
  tunnelNodes: [a.node, b.node],
  reports: [a, b].map(({ node }) => ({
    node,
    state: 'failed',
    ends: [a, b].map(toAttachmentKey).sort(),
    message: 'm'.repeat(9_000),
  })),
}))

function toTunnelOf(wire: Wire): Tunnel {
  const [{ address: local } = NOWHERE, { address } = NOWHERE] = wire.ends
  const isSame = local.includes(':') === address.includes(':')
  const wireKey = toWireKey(wire)
  return {
    device: toTunnelDeviceName(wireKey),
    wireKey,
    vni: VNI_MAX,
    local,
    remote: isSame ? address : local,
    others: [],
    port: 65_535,
    mtuBytes: MTU_MAX,
  }
}

/** The file, and what its writers put beside it, have room in a folder. */
function expectFile(file: string): void {
  expect(Buffer.byteLength(basename(toTemporaryName(toPathBelow('/x', file))))).to.be.below(256)
}

function expectAlias(alias: string): void {
  expect(Buffer.byteLength(alias)).to.be.below(256)
  expect(alias)
    .to.match(/^[ -~]+$/)
    .and.not.match(/["'\\#]/)
}

/** Its device, as these steps make it. */
function makeTunnel(tunnel: Tunnel): Observation {
  const { device: name, mtuBytes, vni, local, remote, port } = tunnel
  const [alias = ''] = wantTunnel(tunnel).flatMap((step) =>
    step.op === 'set-link' ? [step.alias ?? ''] : [],
  )
  const vxlan = { vni, local, remote, port }
  return newObservation([{ name, mtuBytes, alias, kind: 'vxlan', vxlan }])
}

describe('names of full length', () => {
  it('make an object that the API server takes, and that is read back', async () => {
    const schema = await readSchema('wires')
    fc.assert(
      fc.property(anyWire, (wire) => {
        const object = toWireObject(wire, undefined, new Date(0))
        expect(object.metadata.name).to.match(SUBDOMAIN)
        for (const label of Object.keys(object.metadata.labels ?? {}))
          expect(label.split('/')[1]).to.match(KEY_NAME)
        expectWithin(schema, { spec: object.spec, status: object.status })
        const read = fromWireObject(JSON.parse(JSON.stringify(object)))
        expect({ ...read, reports: [] }).to.deep.equal({ ...wire, reports: [] })
      }),
    )
  })

  it('make a document in a folder, which is read back', () => {
    fc.assert(
      fc.property(anyWire, (wire) => {
        const document = JSON.parse(JSON.stringify(wire)) as Wire & Schema
        const read = { ...decodeWireId(document, 'w'), ...decodeWireFields(document, 'w') }
        expect(read).to.deep.equal(wire)
        expectFile(`${wire.namespace}.${wire.name}.json`)
        expectFile(`${wire.namespace}.${wire.name}.json.lock`)
        for (const end of wire.ends) {
          expectFile(`${toAttachmentKey(end)}.json`)
          expectFile(`${toNoteFile(end)}.unreadable`)
          expectFile(toDocumentFile(end.node, '.json'))
        }
        const [one, other] = wire.ends.map(({ node }) => toDocumentFile(node, '.json'))
        expect(one).to.not.equal(other)
      }),
    )
  })

  it('make devices that the kernel takes, each with a wire in its alias', () => {
    fc.assert(
      fc.property(anyWire, (wire) => {
        const key = toWireKey(wire)
        for (const { containerID, ifname, holder } of wire.ends) {
          const alias = toAlias({ wire, holder, ifname } as unknown as WireAttachment)
          expectAlias(alias)
          expect(alias.startsWith(`l2wire ${key} `), alias).to.equal(true)
          expect(isDeviceName(toHostEndName(containerID, ifname))).to.equal(true)
        }
        expect(isDeviceName(toTunnelDeviceName(key))).to.equal(true)
        for (const podLink of [toPodLinkName(wire.name), IFNAME]) {
          const tap = toFoundTapName(podLink)
          const { server, peer } = toServerNames(tap)
          for (const name of [podLink, tap, server, peer]) expect(isDeviceName(name)).to.equal(true)
          const alias = renderAlias('macvtap', podLink)
          expectAlias(alias)
          expect(isOurAlias(alias)).to.equal(true)
          expect(findJoined(renderAlias('tap', podLink))).to.equal(podLink)
        }
      }),
    )
  })

  it('make a tunnel that is known again, and told from that of any other wire', () => {
    fc.assert(
      fc.property(anyWire, anyWire, (wire, other) => {
        const tunnel = toTunnelOf(wire)
        const observed = makeTunnel(tunnel)
        expectAlias(observed.links.get(tunnel.device)?.alias ?? '')
        expect(diff(wantTunnel(tunnel), observed, 'bpf')).to.deep.equal([])
        expect([...listPeers(observed.links).keys()]).to.deep.equal([
          toPeerKey(tunnel.remote, VNI_MAX),
        ])
        const another = { ...tunnel, wireKey: toWireKey(other) }
        if (another.wireKey !== tunnel.wireKey)
          expect(diff(wantTunnel(another), observed, 'bpf')).to.not.deep.equal([])
      }),
    )
  })

  it('make messages of events that the API server takes', () => {
    fc.assert(
      fc.property(anyWire, (wire) => {
        const [report] = wire.reports
        if (report === undefined) return
        for (const state of ['failed', 'joined'] as const)
          for (const { message } of listNotices(wire, { ...report, state })) {
            expect(Buffer.byteLength(toMessage(message))).to.be.below(1025)
          }
      }),
    )
  })

  it('make keys of annotations that the API server takes', () => {
    fc.assert(
      fc.property(anyName(253, 'abz09-_'), (nic) => {
        for (const length of [1, 50, 51, 253])
          expect(toMarkKey(nic.slice(0, length)).split('/')[1]).to.match(KEY_NAME)
      }),
    )
  })
})
