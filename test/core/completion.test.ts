import { expect } from 'chai'
import { describe, it } from 'mocha'

import { findOffer, renderOffer, type CompletedCommand } from '../../core/completion.ts'

const option = (
  long: string,
  short?: string,
  choices: readonly string[] = [],
  takesValue = true,
) => ({
  long,
  short,
  description: `about ${long}`,
  takesValue,
  choices,
})

const commands: readonly CompletedCommand[] = [
  {
    name: 'get',
    description: 'list wires',
    options: [
      option('namespace', '-n'),
      option('output', '-o', ['json', 'yaml']),
      option('all-namespaces', '-A', [], false),
    ],
    argumentNames: ['wire'],
    argumentChoices: [],
    isVariadic: true,
  },
  {
    name: 'completion',
    description: 'for shells',
    options: [],
    argumentNames: ['shell'],
    argumentChoices: ['bash', 'zsh'],
    isVariadic: false,
  },
]

const rows: readonly {
  words: readonly string[]
  offered?: readonly string[]
  lookup?: string
  flags?: Readonly<Record<string, string>>
  prefix?: string
  typed?: string
}[] = [
  { words: [], offered: ['get', 'completion'] },
  { words: [''], offered: ['get', 'completion'] },
  { words: ['g'], offered: ['get'] },
  { words: ['juggle', ''] },
  { words: ['get', ''], lookup: 'wire' },
  { words: ['get', 'r1', ''], lookup: 'wire' },
  {
    words: ['get', '-'],
    offered: ['--namespace', '-n', '--output', '-o', '--all-namespaces', '-A'],
  },
  { words: ['get', '--n'], offered: ['--namespace'], typed: '--n' },
  { words: ['get', '-A', '--a'], flags: { 'all-namespaces': '' }, typed: '--a' },
  { words: ['get', '-n', 'la'], lookup: 'namespace', typed: 'la' },
  { words: ['get', '-n', 'lab', ''], lookup: 'wire', flags: { namespace: 'lab' } },
  { words: ['get', '--namespace=lab', ''], lookup: 'wire', flags: { namespace: 'lab' } },
  { words: ['get', '-o', ''], offered: ['json', 'yaml'] },
  { words: ['get', '-o', 'j'], offered: ['json'], typed: 'j' },
  { words: ['get', '--output=y'], offered: ['yaml'], prefix: '--output=', typed: 'y' },
  { words: ['get', '--none=y'], prefix: '--none=', typed: 'y' },
  { words: ['get', '--unknown', ''], lookup: 'wire' },
  { words: ['completion', ''], offered: ['bash', 'zsh'] },
  { words: ['completion', 'bash', ''] },
]

describe('findOffer()', () => {
  for (const { words, offered = [], lookup, flags = {}, prefix = '', typed } of rows)
    it(words.join(' ') || '(nothing)', () => {
      const offer = findOffer(commands, words)
      expect(offer.candidates.map(({ word }) => word)).to.deep.equal(offered)
      expect(offer.lookup).to.equal(lookup)
      expect(offer.flags).to.deep.equal(flags)
      expect(offer.prefix).to.equal(prefix)
      if (typed !== undefined) expect(offer.typed).to.equal(typed)
    })

  it('knows the arguments that are there', () => {
    expect(findOffer(commands, ['get', 'r1', '-o', 'json', 'r2', '']).operands).to.deep.equal([
      'r1',
      'r2',
    ])
  })
})

describe('renderOffer()', () => {
  const candidates = [
    { word: 'get', description: 'list wires' },
    { word: 'r1', description: '' },
  ]
  it('is what kubectl reads of its plugins', () => {
    expect(renderOffer(candidates, '', false)).to.equal('get\tlist wires\nr1\n:4\n')
    expect(renderOffer([], '', true)).to.equal(':0\n')
    expect(renderOffer(candidates, '--x=', false)).to.equal('--x=get\tlist wires\n--x=r1\n:4\n')
  })
})
