import { expect } from 'chai'
import { describe, it } from 'mocha'

import { DecodeError } from '../../../core/errors.ts'
import { decodeAnswer, decodeRequest } from '../../../core/tester/station-line.ts'

describe('decodeRequest()', () => {
  for (const request of [
    { op: 'nic' },
    { op: 'capture' },
    { op: 'frames' },
    { op: 'send', pcap: 'aa' },
  ])
    it(`takes ${request.op}`, () => {
      expect(decodeRequest(JSON.stringify(request))).to.deep.equal(request)
    })
  for (const line of [
    '',
    'x',
    '[]',
    '{}',
    '{"op":"dance"}',
    '{"op":"send"}',
    '{"op":"send","pcap":1}',
  ])
    it(`refuses ${line === '' ? 'nothing' : line}`, () => {
      expect(() => decodeRequest(line)).to.throw(DecodeError)
    })
})

describe('decodeAnswer()', () => {
  for (const answer of [{ ok: true }, { ok: true, pcap: '' }, { ok: false, fault: 'no' }])
    it(`takes ${JSON.stringify(answer)}`, () => {
      expect(decodeAnswer(JSON.stringify(answer))).to.deep.equal(answer)
    })
  for (const line of ['', 'null', '{}', '{"ok":1}', '{"ok":false}', '{"ok":false,"fault":1}'])
    it(`refuses ${line === '' ? 'nothing' : line}`, () => {
      expect(() => decodeAnswer(line)).to.throw(DecodeError)
    })
})
