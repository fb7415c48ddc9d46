import { expect } from 'chai'
import { describe, it } from 'mocha'

import { lacksPathCheck } from '../../../core/steps/nft-complaint.ts'

const FIB = 'add rule inet l2wire input udp dport 14789 fib saddr . iif oif missing counter drop'
const DROP = 'add rule inet l2wire input udp dport 14789 counter drop'

const complain = (why: string, line: string, at = '6:44-72'): string =>
  `/dev/stdin:${at}: Error: ${why}\n${line}\n${' '.repeat(43)}${'^'.repeat(29)}\n`

describe('lacksPathCheck()', () => {
  const lacking = [
    ['an expression it does not have', 'Could not process rule: No such file or directory'],
    ['one it does not have for the family', 'Could not process rule: Operation not supported'],
  ] as const
  for (const [what, why] of lacking)
    it(`sees ${what}`, () => {
      expect(lacksPathCheck(complain(why, FIB))).to.equal(true)
    })

  const others: readonly (readonly [string, string])[] = [
    ['silence', ''],
    ['no permission', complain('Could not process rule: Operation not permitted', FIB)],
    ['a kernel without memory', complain('Could not process rule: Cannot allocate memory', FIB)],
    ['a busy kernel', complain('Could not process rule: Device or resource busy', FIB)],
    ['a chain that is gone', complain('No such file or directory', FIB)],
    ['another rule', complain('Could not process rule: No such file or directory', DROP)],
    [
      'a kernel that lacks more than that',
      complain('Could not process rule: Operation not supported', FIB) +
        complain('Could not process rule: Operation not supported', DROP, '9:1-56'),
    ],
    [
      'nft that is cut off',
      'netlink: Error: cache initialization failed: Operation not permitted\n',
    ],
    ['a child that does not start', 'spawn nft ENOENT'],
  ]
  for (const [what, said] of others)
    it(`takes ${what} for something else`, () => {
      expect(lacksPathCheck(said)).to.equal(false)
    })
})
