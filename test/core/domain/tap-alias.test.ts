import { expect } from 'chai'
import { describe, it } from 'mocha'

import {
  findJoined,
  isMark,
  isOurAlias,
  NETWORK_DATA_MARK,
  renderAlias,
  renderMark,
} from '../../../core/domain/tap-alias.ts'
import { toPodLinkName } from '../../../core/name.ts'

describe("a tap's alias", () => {
  it('names its pod link', () => {
    for (const podLink of ['eth0', 'ovn-udn1', toPodLinkName('ge0')]) {
      const alias = renderAlias('macvtap', podLink)
      expect([findJoined(alias), isOurAlias(alias), isMark(alias)]).to.eql([podLink, true, false])
      expect([isMark(renderMark(podLink)), isOurAlias(renderMark(podLink))]).to.eql([true, true])
    }
  })
  it('is a mark alone where KubeVirt gives the link its name', () => {
    expect(renderMark('eth0')).to.equal(NETWORK_DATA_MARK)
    expect(renderMark(toPodLinkName('ge0'))).to.equal(NETWORK_DATA_MARK)
    expect(findJoined(NETWORK_DATA_MARK)).to.equal(undefined)
    expect(findJoined(renderMark('ovn-udn1'))).to.equal('ovn-udn1')
  })
  it("is not somebody else's", () => {
    for (const alias of ['', 'a tap of eth0'])
      expect([findJoined(alias), isOurAlias(alias), isMark(alias)]).to.eql([
        undefined,
        false,
        false,
      ])
  })
})
