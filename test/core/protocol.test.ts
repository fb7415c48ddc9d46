import { expect } from 'chai'
import { describe, it } from 'mocha'

import { CniError, DecodeError } from '../../core/errors.ts'
import {
  decodeIpamAnswer,
  decodeRequest,
  decodeResponse,
  IPAM_QUESTION,
  isIpamQuestion,
} from '../../core/protocol.ts'

const ARGS = { command: 'DEL', containerID: 'c1', netns: '', ifname: 'eth1', args: '', path: '' }
const GOOD = JSON.stringify({ protocol: 1, args: { ...ARGS, more: 1 }, config: { name: 'w' } })

describe('protocol', () => {
  for (const args of [
    {},
    { command: 'GC', path: '' },
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
    expect(isIpamQuestion(JSON.stringify(IPAM_QUESTION))).to.equal(true)
    expect(isIpamQuestion('{"protocol":1,"isError":false}')).to.equal(false)
    for (const answer of [
      { protocol: 1, result: { ips: [] } },
      { protocol: 1, error: { code: 11, message: 'later' } },
      { protocol: 1, error: { code: 7, message: 'no', details: 'because' } },
    ])
      expect(decodeIpamAnswer(JSON.stringify(answer))).to.deep.equal(answer)
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
      expect(() => decodeIpamAnswer(line)).to.throw(DecodeError)
    })
  it('refuses an error without code', () => {
    const line = '{"protocol":1,"error":{"message":"x"}}'
    expect(() => decodeIpamAnswer(line)).to.throw(DecodeError)
  })
})
