import { expect } from 'chai'
import { describe, it } from 'mocha'

import { toFindings } from '../../../core/doctor/finding.ts'

const AT = { node: 'n1', wire: 'lab/w' }

describe('toFindings()', () => {
  const words = '"lw1" is down, expected it up'
  const down = { kind: 'device-down', words }
  const rows = [
    ['what the agent mends', {}, /^the agent there mends it/],
    [
      'what a command mends, too',
      { command: 'ip link set dev lw1 up' },
      /^on n1: ip link set dev lw1 up; or the agent there mends it/,
    ],
    ['what no agent mends', { remedy: 'start its VM' }, /^start its VM$/],
  ] as const
  for (const [name, more, remedy] of rows)
    it(`says what to do about ${name}`, () => {
      const [finding] = toFindings([{ ...down, ...more }], 'Wire lab/w', AT)
      expect(finding).to.include({ ...AT, level: 'wrong', kind: 'device-down' })
      expect(finding?.what).to.equal(`Wire lab/w on n1: ${words}`)
      expect(finding?.remedy).to.match(remedy)
    })
})
