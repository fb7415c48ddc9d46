import { expect } from 'chai'
import { describe, it } from 'mocha'

import { renderList, toListedWire } from '../../../core/view/list.ts'
import { newClaim, newFacts } from './samples.ts'

const { wire } = newFacts([newClaim(1), newClaim(2)])
const { wire: alone } = newFacts([newClaim(1)])

describe('renderList()', () => {
  it('prints what kubectl get wires does', () => {
    expect(renderList([wire, alone], { hasNamespaces: false, hasMessages: false })).to.deep.equal([
      'NAME    STATE       ENDS                       NODES    VNI    MTU',
      'r1-h1   Connected   pod/h1 eth1, pod/h2 eth1   n1, n2   4096   1450',
      'r1-h1   Waiting     pod/h1 eth1                n1              1450',
    ])
  })

  it('says whose and why when asked', () => {
    const [titles, row] = renderList([alone], { hasNamespaces: true, hasMessages: true })
    expect(titles).to.match(/^NAMESPACE +NAME .* MESSAGE$/)
    expect(row).to.match(/^lab +r1-h1 .* only pod\/h1 eth1 is plugged in$/)
  })
})

describe('toListedWire()', () => {
  it('has every key, also where there is nothing to say', () => {
    expect(toListedWire(alone)).to.deep.equal({
      namespace: 'lab',
      name: 'r1-h1',
      state: 'Waiting',
      message: 'only pod/h1 eth1 is plugged in',
      ends: [{ holder: 'pod/h1', ifname: 'eth1', node: 'n1' }],
      vni: null,
      mtu: '1450',
    })
  })
})
