import { expect } from 'chai'
import { describe, it } from 'mocha'

import { parseHops } from '../../../core/observe/route-hops.ts'

const ONE = '2001:db8::/64 dev u0 proto kernel metric 256 pref medium'
const SEVERAL =
  '2001:db8::2 metric 1024 pref medium\\\tnexthop via fe80::1 dev u0 weight 1 \\\tnexthop via fe80::2 dev u1 weight 1 '
const GROUP =
  '2001:db8::3 nhid 10 metric 1024 pref medium\\\tnexthop via fe80::1 dev bond0.7 weight 1 \\\tnexthop dev b@c weight 1 onlink'

describe('parseHops()', () => {
  const rows: readonly (readonly [string, string, readonly string[]])[] = [
    ['nothing', '', []],
    ['a route of one hop', `${ONE}\n`, []],
    ['a route of one hop, written as several', ONE.replace('dev u0', '\\\tnexthop dev u0'), []],
    ['a route of two hops among others', `${ONE}\n${SEVERAL}\n${ONE}\n`, ['u0', 'u1']],
    ['no name that is more than one to nft', SEVERAL.replace('u0', 'u"0').replace('u1', 'u*'), []],
    ['a group of hops, and a device of an odd name', GROUP, ['bond0.7', 'b@c']],
  ]
  for (const [what, lines, want] of rows)
    it(`reads ${what}`, () => {
      expect([...parseHops(lines)]).to.deep.equal(want)
    })
})
