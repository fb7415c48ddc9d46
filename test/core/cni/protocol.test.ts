import { expect } from 'chai'
import { describe, it } from 'mocha'

import { CniError, DecodeError } from '../../../core/errors.ts'
import {
  CONFIG_BYTES_MAX,
  decodeIpamAnswer,
  decodeRequest,
  decodeResponse,
  expectShortConfig,
  IPAM_QUESTION,
  isGcLine,
  isIpamQuestion,
} from '../../../core/cni/protocol.ts'

const ARGS = { command: 'DEL', containerID: 'c1', netns: '', ifname: 'eth1', args: '', path: '' }
const GOOD = JSON.stringify({ protocol: 1, args: { ...ARGS, more: 1 }, config: { name: 'w' } })

function toLine(command: string, configBytes: number): string {
  const frame = JSON.stringify({ pad: '' }).length
  const config = { pad: 'x'.repeat(configBytes - frame) }
  return JSON.stringify({ protocol: 1, args: { ...ARGS, command }, config })
}

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
  for (const command of ['ADD', 'DEL', 'CHECK'])
    it(`refuses a ${command} whose configuration is too long, before it is decoded`, () => {
      expect(() => expectShortConfig(toLine(command, CONFIG_BYTES_MAX))).to.not.throw()
      expect(() => expectShortConfig(toLine(command, CONFIG_BYTES_MAX + 1)))
        .to.throw(CniError, `it has ${CONFIG_BYTES_MAX + 1} bytes`)
        .with.property('code', 6)
    })
  it('counts bytes, takes no text for the key before a configuration, and lets a GC be long', () => {
    const config = { pad: 'é'.repeat(CONFIG_BYTES_MAX / 2) }
    const args = { ...ARGS, args: 'a="config":' }
    const line = JSON.stringify({ protocol: 1, args, config })
    const { length } = Buffer.from(JSON.stringify(config))
    expect(() => expectShortConfig(line)).to.throw(`it has ${length} bytes`)
    expect(() => expectShortConfig(toLine('GC', 1_000_000))).to.not.throw()
  })
  it('takes no other line for a GC', () => {
    expect(isGcLine(toLine('GC', 100))).to.equal(true)
    const config = { pad: '"protocol":1,"args":{"command":"GC"' }
    for (const line of [
      toLine('ADD', 100),
      JSON.stringify({ config: { command: 'GC' }, protocol: 1, args: ARGS }),
      JSON.stringify({ protocol: 1, args: ARGS, config }),
    ])
      expect(isGcLine(line), line).to.equal(false)
  })
  it('refuses an error without code', () => {
    const line = '{"protocol":1,"error":{"message":"x"}}'
    expect(() => decodeIpamAnswer(line)).to.throw(DecodeError)
  })
})
