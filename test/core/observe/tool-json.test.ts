import { expect } from 'chai'
import fc from 'fast-check'
import { describe, it } from 'mocha'

import { CommandError, DecodeError } from '../../../core/errors.ts'
import { isUnseen, parseNftObjects, parseToolList } from '../../../core/observe/tool-json.ts'

const LO = { ifindex: 1, ifname: 'lo', flags: ['UP'] }

/** As iproute2 6.1 does: control characters that JSON has no short escape for stay as they are. */
function printAsIproute2(value: unknown): string {
  return JSON.stringify(value).replace(
    /\\\\|\\u00([01][\da-f])/g,
    (escape, hex: string | undefined) =>
      hex === undefined ? escape : String.fromCharCode(Number.parseInt(hex, 16)),
  )
}

describe('parseToolList()', () => {
  it('reads whatever is in a string', () => {
    const text = fc.string({ unit: 'binary' })
    fc.assert(
      fc.property(text, text, (ifalias, ifname) => {
        const links = [LO, { ifindex: 2, ifname, ifalias }, { ifindex: 3, ifname: 'eth1' }]
        expect(parseToolList(printAsIproute2(links), 'ip')).to.deep.equal(links)
      }),
    )
  })

  const rows = [
    { what: 'nothing at all', text: ' \n', want: [] },
    { what: 'a list without anything', text: '[]', want: [] },
    { what: 'what a filter hid', text: '[{},{"a":1},{}]', want: [{ a: 1 }] },
    {
      what: 'every control character',
      text: '[{"a":"\u0001\n\t\u001B\u0085"}]',
      want: [{ a: '\u0001\n\t\u001B\u0085' }],
    },
    {
      what: 'escapes that JSON has not',
      text: String.raw`[{"a":"it\'s \x \u12 \u0041 \\ \""}]`,
      want: [{ a: String.raw`it's x u12 A \ "` }],
    },
  ]
  for (const { what, text, want } of rows)
    it(`reads ${what}`, () => {
      expect(parseToolList(text, 'ip')).to.deep.equal(want)
    })

  it('passes over a device that cannot be read, and tells of it', () => {
    const lo = JSON.stringify(LO)
    for (const broken of [
      '{"ifindex":2,"ifname":"x",kind of {"[}',
      '{"ifindex":2,"a":}',
      '{"ifindex":2',
    ]) {
      const told: DecodeError[] = []
      const text = `[${lo},{},${broken},{"ifindex":3}]\n`
      expect(parseToolList(text, 'ip', (error) => told.push(error))).to.deep.equal([
        LO,
        { ifindex: 3 },
      ])
      expect(told.map(({ path, message }) => [path, message.includes('ifindex')])).to.deep.equal([
        ['ip', true],
      ])
      expect(parseToolList(`[${broken},${lo}]`, 'ip')).to.deep.equal([LO])
      expect(parseToolList(`[${lo},${broken}]`, 'ip')).to.deep.equal([LO])
    }
  })

  it('takes nothing in a name or an alias for the beginning of a device', () => {
    const forged = [{ ...LO, ifalias: '},{"ifindex":9,"ifname":"lw0"},{' }, { ifindex: 2 }]
    const text = printAsIproute2(forged).replace('"ifindex":2', '"ifindex":2,nonsense')
    expect(parseToolList(text, 'ip')).to.deep.equal([forged[0]])
  })

  it('refuses what is no list, or cannot be read at all', () => {
    for (const text of ['{}', '1', 'Usage: ip', '[{"ifindex":1', '[1', '{"a":'])
      expect(() => parseToolList(text, 'ip'), text).to.throw(DecodeError, 'ip')
  })
})

describe('parseNftObjects()', () => {
  it('reads the objects of nft', () => {
    expect(parseNftObjects('{"nftables":[{"table":{"comment":"a\u001Bb"}}]}', 'nft')).to.deep.equal(
      [{ table: { comment: 'a\u001Bb' } }],
    )
  })
  it('refuses what has none', () => {
    for (const text of ['', '{}', '[]', '{"nftables":{}}', 'x'])
      expect(() => parseNftObjects(text, 'nft'), text).to.throw(DecodeError, 'nftables')
  })
})

describe('isUnseen()', () => {
  it('is what a tool refused, or said in no way that can be read', () => {
    expect(isUnseen(new CommandError(['ip'], { exitCode: 1, stderr: '' }))).to.equal(true)
    expect(isUnseen(new DecodeError('ip', '', 'JSON'))).to.equal(true)
    expect(isUnseen(new TypeError('x'))).to.equal(false)
  })
})
