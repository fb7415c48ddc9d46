import { expect } from 'chai'
import { describe, it } from 'mocha'

import { DecodeError } from '../../core/errors.ts'
import { findMuteFault } from '../../core/mute.ts'

const OPTIONS = { fh: '800::1', flowid: '1:1', match: { value: '0', mask: '0' } }
const THROUGH = {
  protocol: 'all',
  pref: 1,
  kind: 'u32',
  options: { ...OPTIONS, input_dev: 'tap0' },
}
const newDrop = (k: number, isVerdict = true): object => ({
  protocol: 'all',
  pref: 2,
  kind: 'bpf',
  options: {
    handle: '0x1',
    ...(isVerdict ? { 'direct-action': true } : {}),
    bytecode: { length: 1, insns: [{ code: 6, jt: 0, jf: 0, k }] },
  },
})

describe('findMuteFault()', () => {
  for (const [name, filters, want] of [
    [
      'a mute pod link',
      [{ protocol: 'all', pref: 1, kind: 'u32' }, THROUGH, newDrop(2)],
      undefined,
    ],
    ['one without filters', [], /"eth0" is not mute/],
    ['one that lets all pass', [THROUGH, newDrop(0)], /"eth0" is not mute/],
    ['one whose program only classifies', [THROUGH, newDrop(2, false)], /"eth0" is not mute/],
    ['one that is mute to its tap, too', [newDrop(2)], /mute to "tap0", too/],
    [
      'one that lets a device that is gone pass',
      [{ ...THROUGH, options: OPTIONS }, newDrop(2)],
      /mute to "tap0", too/,
    ],
    [
      'one where something is ahead of the drop',
      [THROUGH, { ...THROUGH, options: { ...OPTIONS, fh: '800::801' } }, newDrop(2)],
      /"eth0" is not mute/,
    ],
  ] as const)
    it(`judges ${name}`, () => {
      const fault = findMuteFault(JSON.stringify(filters), 'eth0', 'tap0')
      if (want === undefined) expect(fault).to.equal(undefined)
      else expect(fault).to.match(want)
    })
  it('refuses what is no list', () => {
    expect(findMuteFault('', 'eth0', 'tap0')).to.match(/not mute/)
    expect(() => findMuteFault('{}', 'eth0', 'tap0')).to.throw(DecodeError)
  })
})
