import { expect } from 'chai'
import { describe, it } from 'mocha'

import { findClosest } from '../../core/closest.ts'

const known = ['r1-r2', 'r1-h1', 'uplink']
const rows = [
  { word: 'r1-r3', want: 'r1-r2' },
  { word: 'r1h1', want: 'r1-h1' },
  { word: 'uplnik', want: 'uplink' },
  { word: 'downlink', want: undefined },
  { word: 'x', want: undefined },
  { word: '', want: undefined },
]

describe('findClosest()', () => {
  for (const { word, want } of rows)
    it(`"${word}" is ${want ?? 'like none'}`, () => {
      expect(findClosest(word, known)).to.equal(want)
    })
})
