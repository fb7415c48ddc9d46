import { expect } from 'chai'
import { describe, it } from 'mocha'

import { DecodeError } from '../../core/errors.ts'
import { decodeRequest, decodeResponse } from '../../core/protocol.ts'

describe('protocol', () => {
  it('takes what it knows', () => {
    expect(decodeRequest('{"protocol":1,"args":{},"config":{}}')).to.have.property('config')
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
