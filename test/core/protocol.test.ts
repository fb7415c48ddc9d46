import { expect } from 'chai'
import { describe, it } from 'mocha'

import { CniError, DecodeError } from '../../core/errors.ts'
import { decodeRequest, decodeResponse } from '../../core/protocol.ts'

const ARGS = { command: 'DEL', containerID: 'c1', netns: '', ifname: 'eth1', args: '', path: '' }
const GOOD = JSON.stringify({ protocol: 1, args: { ...ARGS, more: 1 }, config: { name: 'w' } })

describe('protocol', () => {
  for (const args of [
    {},
    { command: 'GC' },
    { ...ARGS, containerID: '../x' },
    { ...ARGS, ifname: 5 },
  ])
    it(`holds ${JSON.stringify(args)} to the table of the environment`, () => {
      const line = JSON.stringify({ protocol: 1, args, config: {} })
      expect(() => decodeRequest(line))
        .to.throw(CniError)
        .with.property('code', 4)
    })

  it('takes what it knows', () => {
    expect(decodeRequest(GOOD)).to.deep.equal({ ...JSON.parse(GOOD), args: ARGS })
    expect(decodeResponse('{"protocol":1,"isError":false}')).to.include({ isError: false })
  })
  const bad = [
    '',
    '{',
    '7',
    '{}',
    '{"protocol":2,"args":{},"config":{}}',
    '{"protocol":1}',
    '{"protocol":1,"args":{}}',
  ]
  for (const line of bad)
    it(`refuses ${JSON.stringify(line)}`, () => {
      expect(() => decodeRequest(line)).to.throw(DecodeError)
      expect(() => decodeResponse(line)).to.throw(DecodeError)
    })
})
