import { expect } from 'chai'
import { describe, it } from 'mocha'

import { DecodeError } from '../../../core/errors.ts'
import { decodeWireFields, decodeWireId } from '../../../core/wire/document.ts'

const END = {
  holder: 'vm/r1',
  containerID: 'c1',
  ifname: 'eth1',
  node: 'n1',
  address: '192.0.2.1',
  mtuBytes: 1500,
}
const REPORT = { node: 'n1', state: 'failed', ends: ['c1@eth1'], message: 'x' }
const long = (length: number): string => 'a'.repeat(length)

describe('decodeWireId()', () => {
  it('keeps the longest names', () => {
    const id = { namespace: long(63), name: long(128) }
    expect(decodeWireId(id, 'w')).to.deep.equal(id)
  })
  for (const id of [
    {},
    { namespace: 'A', name: 'w' },
    { namespace: 'a\n', name: 'w' },
    { namespace: 'a', name: '\u001B' },
    { namespace: 'a', name: '-w' },
    { namespace: '../a', name: 'w' },
  ])
    it(`refuses ${JSON.stringify(id)}`, () => {
      expect(() => decodeWireId(id, 'w')).to.throw(DecodeError, /w: name/)
    })
})

describe('decodeWireFields()', () => {
  const kept = [
    {
      name: 'the longest names',
      end: {
        holder: `deployment/${long(253)}`,
        node: long(253),
        pod: long(253),
        containerID: long(200),
        ifname: long(15),
      },
    },
    { name: 'what a NetworkAttachmentDefinition calls its end', end: { holder: 'R_1.a-B' } },
    { name: 'every character of an interface', end: { ifname: '!$&()*+,.0;<=>?' } },
    { name: 'every other character of an interface', end: { ifname: '@A[]^_`a{|}~-Z9' } },
    { name: 'an address of IPv6', end: { address: 'fd00::1' } },
    { name: 'one of a link', end: { address: 'fe80::1%eth0' } },
  ]
  for (const { name, end } of kept)
    it(`keeps ${name}`, () => {
      const fields = {
        ends: [{ ...END, ...end }],
        displaced: [{ ...END, ...end }],
        tunnelNodes: [long(253)],
      }
      expect(decodeWireFields(fields, 'w').ends[0]).to.include({ ...END, ...end })
    })

  const HOSTILE = [
    '',
    '\u001B[31m',
    'a\nb',
    'a\r',
    'a\u202Eb',
    'a b',
    '$(id)',
    '-a',
    'a"',
    long(300),
  ]
  const fields: readonly (readonly [string, (text: string) => object])[] = [
    ['ends[0].holder', (holder) => ({ ends: [{ ...END, holder }] })],
    ['ends[0].containerID', (containerID) => ({ ends: [{ ...END, containerID }] })],
    ['ends[0].node', (node) => ({ ends: [{ ...END, node }] })],
    ['ends[0].address', (address) => ({ ends: [{ ...END, address }] })],
    ['ends[0].pod', (pod) => ({ ends: [{ ...END, pod }] })],
    [
      'displaced[0].containerID',
      (containerID) => ({ ends: [], displaced: [{ ...END, containerID }] }),
    ],
    ['displaced[0].node', (node) => ({ ends: [], displaced: [{ ...END, node }] })],
    ['tunnelNodes[0]', (node) => ({ ends: [], tunnelNodes: [node] })],
    ['reports[0].node', (node) => ({ ends: [], reports: [{ ...REPORT, node }] })],
    ['reports[0].code', (code) => ({ ends: [], reports: [{ ...REPORT, code }] })],
    ['reports[0].ends[0]', (end) => ({ ends: [], reports: [{ ...REPORT, ends: [end] }] })],
    [
      'guests[0].end',
      (end) => ({ ends: [], reports: [{ ...REPORT, guests: [{ end, reason: 'Shown' }] }] }),
    ],
  ]
  for (const [path, toFields] of fields)
    it(`refuses in ${path} what is no name`, () => {
      for (const text of HOSTILE)
        expect(() => decodeWireFields(toFields(text) as never, 'w'), JSON.stringify(text)).to.throw(
          DecodeError,
          path,
        )
    })

  // A name that a shell would take for more, or an option, the kernel takes all the same.
  for (const ifname of [
    '',
    '\u001B[31m',
    'a\nb',
    'a\u202Eb',
    'a b',
    'a"',
    "a'",
    'a\\',
    'a#b',
    'a/b',
    'a:b',
    long(16),
  ])
    it(`refuses ${JSON.stringify(ifname)} for an interface`, () => {
      const end = { ...END, ifname }
      expect(() => decodeWireFields({ ends: [end] }, 'w')).to.throw(DecodeError, 'ends[0].ifname')
      expect(() => decodeWireFields({ ends: [], displaced: [end] }, 'w')).to.throw(
        DecodeError,
        'displaced[0].ifname',
      )
    })

  it('keeps whatever a report says: its readers escape it', () => {
    const message = '\u001B[31m\n\u202E'
    expect(
      decodeWireFields({ ends: [], reports: [{ ...REPORT, message }] }, 'w').reports[0]?.message,
    ).to.equal(message)
  })
})
