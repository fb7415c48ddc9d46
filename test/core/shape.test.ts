import { expect } from 'chai'
import { describe, it } from 'mocha'

import { DecodeError } from '../../core/errors.ts'
import {
  each,
  flag,
  known,
  list,
  nullable,
  number,
  object,
  oneOf,
  optional,
  orElse,
  parseJson,
  record,
  text,
  whole,
  type Decode,
} from '../../core/shape.ts'

interface Nic {
  readonly name: string
  readonly mtu?: number
}

const decodeNic = object<Nic>({ name: text, mtu: optional(number) })

describe('a decoder', () => {
  const rows: readonly {
    readonly name: string
    readonly decode: Decode<unknown>
    readonly takes: readonly unknown[]
    readonly refuses: readonly unknown[]
    readonly expected: string
  }[] = [
    {
      name: 'text',
      decode: text,
      takes: ['', 'a'],
      refuses: [1, null, undefined],
      expected: 'text',
    },
    {
      name: 'number',
      decode: number,
      takes: [0, -1.5],
      refuses: ['1', null, undefined],
      expected: 'a number',
    },
    {
      name: 'flag',
      decode: flag,
      takes: [true, false],
      refuses: ['true', 0, null, undefined],
      expected: 'true or false',
    },
    {
      name: 'record',
      decode: record,
      takes: [{}, { a: 1 }],
      refuses: [[], null, 'x', undefined],
      expected: 'a JSON object',
    },
    {
      name: 'whole',
      decode: whole(1, 3, 'one to three'),
      takes: [1, 3],
      refuses: [0, 4, 1.5, '2', undefined],
      expected: 'one to three',
    },
    {
      name: 'oneOf, of several',
      decode: oneOf('a', 'b'),
      takes: ['a', 'b'],
      refuses: ['c', ['a'], undefined],
      expected: 'one of a, b',
    },
    {
      name: 'oneOf, of one',
      decode: oneOf('vm'),
      takes: ['vm'],
      refuses: ['pod', undefined],
      expected: '"vm"',
    },
    {
      name: 'list',
      decode: list(text),
      takes: [[], ['a']],
      refuses: [{}, 'a', null, undefined],
      expected: 'a list',
    },
    {
      name: 'nullable',
      decode: nullable(text),
      takes: [null, 'a'],
      refuses: [1, undefined],
      expected: 'text',
    },
    {
      name: 'optional',
      decode: optional(text),
      takes: [undefined, 'a'],
      refuses: [1, null],
      expected: 'text',
    },
    {
      name: 'object',
      decode: decodeNic,
      takes: [{ name: 'a' }, { name: 'a', mtu: 1, newer: [] }],
      refuses: [[], 'x', null, undefined],
      expected: 'a JSON object',
    },
  ]
  for (const { name, decode, takes, refuses, expected } of rows)
    it(`${name} takes what it says, and nothing else`, () => {
      for (const value of takes) expect(decode(value, 'x')).to.deep.equal(value)
      for (const value of refuses)
        expect(() => decode(value, 'x'), JSON.stringify(value))
          .to.throw(DecodeError, `expected ${expected}`)
          .with.property('path', 'x')
    })

  it('names the field at fault, however deep', () => {
    const decode = object<{ readonly nics: readonly Nic[] }>({ nics: list(decodeNic) })
    const value = { nics: [{ name: 'a' }, { name: 'b', mtu: '1' }] }
    for (const [path, named] of [
      ['', 'nics[1].mtu'],
      ['answer', 'answer.nics[1].mtu'],
      ['/x.json: ', '/x.json: nics[1].mtu'],
    ] as const)
      expect(() => decode(value, path))
        .to.throw(DecodeError)
        .with.property('path', named)
    expect(() => decode(7, '/x.json: '))
      .to.throw()
      .with.property('path', '/x.json')
  })

  it('leaves a key out that is not there, or fills it', () => {
    const decode = object<{ readonly a?: string; readonly b: number }>({
      a: optional(text),
      b: orElse(number, 5),
    })
    expect(decode({}, '')).to.deep.equal({ b: 5 })
    const keyed = known<{ readonly a: string | undefined }>({ a: orElse(text, undefined) })
    expect(keyed({ newer: 1 }, '')).to.deep.equal({ a: undefined })
  })

  it('is no way into a prototype', () => {
    const value: unknown = JSON.parse('{"name":"a","__proto__":{"mtu":1}}')
    expect(decodeNic(value, '').mtu).to.equal(undefined)
    expect(() => decodeNic(JSON.parse('{"__proto__":{"name":"a"}}'), '')).to.throw(DecodeError)
  })
})

describe('an object', () => {
  it('that lacks a field, or has another one, does not compile', () => {
    const decoders = [
      // @ts-expect-error -- no mtu
      object<Nic>({ name: text }),
      // @ts-expect-error -- a name is text
      object<Nic>({ name: number, mtu: optional(number) }),
      // @ts-expect-error -- a name must be there
      object<Nic>({ name: optional(text), mtu: optional(number) }),
      // @ts-expect-error -- an MTU need not be there
      object<Nic>({ name: text, mtu: number }),
      // @ts-expect-error -- the MTU is not null
      object<Nic>({ name: text, mtu: optional(nullable(number)) }),
      // @ts-expect-error -- nobody asks for it
      object<Nic>({ name: text, mtu: optional(number), mac: text }),
      // @ts-expect-error -- of two one is missing
      object<{ readonly a: string; readonly b: string }>(each(text, 'a')),
      // @ts-expect-error -- another one
      object<{ readonly state: 'up' }>({ state: oneOf('up', 'down') }),
    ]
    expect(decoders).to.have.length(8)
  })
})

describe('parseJson()', () => {
  it('keeps what JSON.parse() says', () => {
    expect(parseJson('{"a":[1]}', 'x', 'JSON')).to.deep.equal({ a: [1] })
    expect(() => parseJson('{', 'x', 'a survey as JSON'))
      .to.throw(DecodeError, 'it is "{", expected a survey as JSON')
      .with.property('cause')
      .instanceOf(SyntaxError)
  })
})
