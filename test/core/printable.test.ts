import { expect } from 'chai'
import fc from 'fast-check'
import { describe, it } from 'mocha'

import { toPrintable, toPrintableJson } from '../../core/printable.ts'

/** What a terminal obeys, a log line ends at, or nobody sees; written without the module's own pattern. */
function isUnprintable(code: number): boolean {
  return (
    code < 0x20 ||
    (code >= 0x7f && code <= 0x9f) ||
    (code >= 0xd800 && code <= 0xdfff) ||
    [0xad, 0x61c, 0x180e, 0x2028, 0x2029, 0xfeff].includes(code) ||
    (code >= 0x200b && code <= 0x200f) ||
    (code >= 0x202a && code <= 0x202e) ||
    (code >= 0x2060 && code <= 0x206f) ||
    (code >= 0xe0000 && code <= 0xe007f)
  )
}

/** Any text: lone halves of surrogate pairs, too. */
const ANY_TEXT = fc
  .array(
    fc.oneof(
      fc.integer({ min: 0, max: 0xff }),
      fc.integer({ min: 0x2000, max: 0x2070 }),
      fc.integer({ min: 0, max: 0x10ffff }),
    ),
  )
  .map((codes) => codes.map((code) => String.fromCodePoint(code)).join(''))

describe('toPrintable()', () => {
  const rows = [
    {
      what: 'an escape sequence',
      text: '\u001B]0;title\u0007',
      want: String.raw`\x1b]0;title\x07`,
    },
    { what: 'line ends', text: 'a\r\nb\tc', want: String.raw`a\r\nb\tc` },
    { what: 'the controls of C1', text: '\u009B31m\u0085', want: String.raw`\x9b31m\x85` },
    {
      what: 'bidi marks',
      text: 'a\u202Eb\u2066c\u061C',
      want: String.raw`a\u{202e}b\u{2066}c\u{61c}`,
    },
    {
      what: 'what has no width',
      text: 'a\u200Bb\uFEFFc\u3164',
      want: String.raw`a\u{200b}b\u{feff}c\u{3164}`,
    },
    { what: 'tags beyond the first plane', text: 'a\u{E0041}', want: String.raw`a\u{e0041}` },
    { what: 'halves of a pair', text: 'a\uD800b\uDC00', want: String.raw`a\u{d800}b\u{dc00}` },
    { what: 'separators', text: '\u2028\u2029', want: String.raw`\u{2028}\u{2029}` },
  ]
  for (const { what, text, want } of rows)
    it(`shows ${what}`, () => {
      expect(toPrintable(text)).to.equal(want)
    })

  it('leaves what people read as it is', () => {
    for (const text of ['vm/r1 eth1', 'Zürich, 東京, Москва', '😀', String.raw`C:\x1b`, 'n\u0303'])
      expect(toPrintable(text)).to.equal(text)
  })

  it('leaves nothing that is not seen, and its own answer as it is', () => {
    fc.assert(
      fc.property(ANY_TEXT, (text) => {
        const said = toPrintable(text)
        expect(
          Array.from(said).filter((char) => isUnprintable(char.codePointAt(0) ?? 0)),
        ).to.deep.equal([])
        expect(toPrintable(said)).to.equal(said)
      }),
    )
  })
})

describe('toPrintableJson()', () => {
  it('says the same in characters that show', () => {
    fc.assert(
      fc.property(ANY_TEXT, ANY_TEXT, (key, text) => {
        const value = { key, text, list: [text] }
        const json = toPrintableJson(JSON.stringify(value, undefined, 2))
        expect(JSON.parse(json)).to.deep.equal(value)
        const bad = Array.from(json).filter(
          (char) => char !== '\n' && isUnprintable(char.codePointAt(0) ?? 0),
        )
        expect(bad).to.deep.equal([])
      }),
    )
  })
})
