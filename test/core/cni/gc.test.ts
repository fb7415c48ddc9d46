import { expect } from 'chai'
import { describe, it } from 'mocha'

import { decodeGcList } from '../../../core/cni/gc.ts'
import { CniError } from '../../../core/errors.ts'

const KEY = 'cni.dev/valid-attachments'
const COMMON = { name: 'w', type: 'l2wire' }
const ONE = { containerID: 'c1', ifname: 'eth1' }

function listValid(config: object): readonly string[] | undefined {
  const { valid } = decodeGcList({ ...COMMON, ...config })
  return valid === undefined ? undefined : [...valid]
}

describe('what a GC says', () => {
  const rows: readonly { name: string; config: object; valid: readonly string[] | undefined }[] = [
    { name: 'a list', config: { [KEY]: [ONE] }, valid: ['c1@eth1'] },
    { name: 'an empty list', config: { [KEY]: [] }, valid: [] },
    { name: "Go's empty list", config: { [KEY]: null }, valid: [] },
    { name: 'nothing', config: {}, valid: undefined },
    {
      name: 'the list under the name it had first',
      config: { 'cni.dev/attachments': [ONE] },
      valid: ['c1@eth1'],
    },
    {
      name: 'both names',
      config: { [KEY]: [ONE], 'cni.dev/attachments': [] },
      valid: ['c1@eth1'],
    },
  ]
  for (const { name, config, valid } of rows)
    it(`${name}: ${JSON.stringify(valid)}`, () => {
      expect(listValid(config)).to.deep.equal(valid)
      expect(decodeGcList({ ...COMMON, ...config })).to.include({ network: 'w', type: 'l2wire' })
    })

  const bad: readonly { config: object; words: string }[] = [
    { config: { name: 5, [KEY]: [] }, words: '"name"' },
    { config: { type: undefined, [KEY]: [] }, words: '"type"' },
    { config: { [KEY]: {} }, words: 'a list' },
    { config: { [KEY]: [ONE, 'c2'] }, words: `${KEY}[1]` },
    { config: { [KEY]: [{ containerID: 'c1' }] }, words: `${KEY}[0]` },
  ]
  for (const { config, words } of bad)
    it(`refuses ${JSON.stringify(config)}`, () => {
      expect(() => listValid(config))
        .to.throw(CniError)
        .that.satisfies(({ code, message }: CniError) => code === 7 && message.includes(words))
    })
})
