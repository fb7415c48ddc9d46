import { expect } from 'chai'
import { describe, it } from 'mocha'

import { decodeSocketPath, refuseSocket } from '../../../core/cni/socket.ts'
import { catchRefusal } from '../samples.ts'

describe('decodeSocketPath()', () => {
  for (const path of ['/x', `/${'x'.repeat(106)}`, '/ä b/agent.sock'])
    it(`takes ${path.slice(0, 20)}`, () => {
      expect(decodeSocketPath(path, 'X', 4)).to.equal(path)
    })
  for (const path of ['', 'x', './x', `/${'x'.repeat(107)}`, `/${'ä'.repeat(54)}`, '/x\ny', '/x\0'])
    it(`refuses ${JSON.stringify(path).slice(0, 20)}, and says whose it is`, () => {
      const { code, message } = catchRefusal(() => decodeSocketPath(path, 'X', 4))
      expect(code).to.equal(4)
      expect(message).to.include('X').and.include('107')
    })
})

describe('refuseSocket()', () => {
  it('passes a network without one', () => {
    refuseSocket({ name: 'w' })
  })
  for (const socket of ['/run/l2wire/agent.sock', '', null, undefined, 0, {}])
    it(`refuses ${JSON.stringify({ socket })} with error 7 and the remedy`, () => {
      const { code, message } = catchRefusal(() => refuseSocket({ socket }))
      expect(code).to.equal(7)
      expect(message).to.include('Take it out').and.include('install --socket')
    })
})
