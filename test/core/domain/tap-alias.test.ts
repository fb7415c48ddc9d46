import { expect } from 'chai'
import { describe, it } from 'mocha'

import { isOurTap } from '../../../core/attach/tap.ts'
import { findJoined, isOurAlias, renderAlias } from '../../../core/domain/tap-alias.ts'
import { toPodLinkName } from '../../../core/name.ts'

describe("a tap's alias", () => {
  it('names its pod link', () => {
    for (const podLink of ['eth0', 'ovn-udn1', toPodLinkName('ge0')]) {
      const alias = renderAlias('macvtap', podLink)
      expect([findJoined(alias), isOurAlias(alias)]).to.eql([podLink, true])
    }
  })
  for (const { alias, podLink } of [
    { alias: 'l2wire network-data', podLink: undefined },
    { alias: 'l2wire network-data of ovn-udn1', podLink: 'ovn-udn1' },
  ])
    it(`is ours as agents up to 0.3.0 wrote it: ${alias}`, () => {
      expect(isOurTap({ alias })).to.equal(true)
      expect(findJoined(alias)).to.equal(podLink)
    })
  it("is not somebody else's", () => {
    for (const alias of ['', 'a tap of eth0', 'l2wire'])
      expect([findJoined(alias), isOurAlias(alias)]).to.eql([undefined, false])
  })
})
