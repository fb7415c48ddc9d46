import { expect } from 'chai'
import { describe, it } from 'mocha'

import { MTU_MAX, MTU_MIN } from '../../core/net/address.ts'
import { BOUNDS, isWithin, type Bound } from '../../core/bounds.ts'
import { VNI_MAX } from '../../core/wire/vni.ts'
import { ENDS_PER_WIRE } from '../../core/wire/wire.ts'
import { findSchema, listTexts, readSchema } from './crd-schema.ts'

/** Where the objects of the API have what is named elsewhere. */
const FIELDS: Readonly<Record<string, Readonly<Record<string, Bound>>>> = {
  wires: {
    'spec.name': BOUNDS.wire,
    'spec.ends[].holder': BOUNDS.holder,
    'spec.ends[].ifname': BOUNDS.ifname,
    'spec.ends[].containerID': BOUNDS.containerID,
    'spec.ends[].node': BOUNDS.node,
    'spec.ends[].pod': BOUNDS.pod,
    'spec.standbys[].holder': BOUNDS.holder,
    'spec.standbys[].ifname': BOUNDS.ifname,
    'spec.standbys[].containerID': BOUNDS.containerID,
    'spec.standbys[].node': BOUNDS.node,
    'spec.standbys[].pod': BOUNDS.pod,
    'spec.displaced[].containerID': BOUNDS.containerID,
    'spec.displaced[].ifname': BOUNDS.ifname,
    'spec.displaced[].node': BOUNDS.node,
    'spec.tunnelNodes[]': BOUNDS.node,
    'status.reports[].node': BOUNDS.node,
    'status.reports[].ends[]': BOUNDS.attachment,
    'status.reports[].guests[].end': BOUNDS.attachment,
  },
  vniclaims: {
    'spec.namespace': BOUNDS.namespace,
    'spec.wire': BOUNDS.wire,
    'spec.node': BOUNDS.subdomain,
  },
}

/** The longest of each. */
const FULL: Readonly<Record<keyof typeof BOUNDS, string>> = {
  namespace: 'n'.repeat(63),
  wire: 'W'.repeat(128),
  containerID: 'c'.repeat(200),
  holder: `virtualmachineinstanceset/${'h'.repeat(254)}`,
  ifname: `.${'i'.repeat(14)}`,
  node: 'n'.repeat(253),
  pod: 'p'.repeat(253),
  attachment: `${'c'.repeat(200)}@${'i'.repeat(15)}`,
  subdomain: 's'.repeat(253),
}

describe('BOUNDS', () => {
  for (const [plural, fields] of Object.entries(FIELDS))
    it(`are those of ${plural} at the API server`, async () => {
      const texts = listTexts(await readSchema(plural))
      const found = texts
        // What an address is the API server knows for itself.
        .filter(([path]) => path in fields || /^spec\.(?!(ends|standbys)\[\]\.address)/.test(path))
        .map(([path, { maxLength, pattern }]) => [path, { maxLength, pattern }] as const)
      const wanted = Object.entries(fields).map(([path, { maxLength, pattern }]) => [
        path,
        { maxLength, pattern: pattern.source.replaceAll('\\/', '/') },
      ])
      expect(Object.fromEntries(found)).to.deep.equal(Object.fromEntries(wanted))
    })

  it('are those of numbers and lists, too', async () => {
    const schema = await readSchema('wires')
    expect(findSchema(schema, 'spec.vni')).to.include({ minimum: 1, maximum: VNI_MAX })
    expect(findSchema(schema, 'spec.ends')).to.include({ maxItems: ENDS_PER_WIRE })
    const mtu = { minimum: MTU_MIN, maximum: MTU_MAX }
    expect(findSchema(schema, 'spec.ends[].mtu')).to.include(mtu)
  })

  for (const [name, bound] of Object.entries(BOUNDS))
    it(`let a ${name} have its full length, and no more`, () => {
      const text = FULL[name as keyof typeof BOUNDS]
      expect(text.length).to.equal(bound.maxLength)
      expect(isWithin(bound, text)).to.equal(true)
      for (const other of [`${text}a`, `${text.slice(0, -1)}\n`, '', '.', '..'])
        expect(isWithin(bound, other), JSON.stringify(other)).to.equal(false)
    })
})
