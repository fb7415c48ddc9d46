import { expect } from 'chai'
import { describe, it } from 'mocha'

import { renderAge, renderTable, wrapText } from '../../../core/view/table.ts'

describe('renderTable()', () => {
  it('lines columns up, and leaves nothing at the end of a line', () => {
    expect(
      renderTable(
        ['NAME', 'VNI', 'MTU'],
        [
          ['a-long-name', '', '1500'],
          ['b', '4096', ''],
        ],
      ),
    ).to.deep.equal(['NAME          VNI    MTU', 'a-long-name          1500', 'b             4096'])
  })
})

describe('wrapText()', () => {
  const rows = [
    { text: 'one two three', columns: 7, want: ['one two', 'three'] },
    { text: 'a-word-too-long-for-it b', columns: 5, want: ['a-word-too-long-for-it', 'b'] },
    { text: '  blanks \n and lines ', columns: 80, want: ['blanks and lines'] },
    { text: '', columns: 80, want: [] },
  ]
  for (const { text, columns, want } of rows)
    it(JSON.stringify(text), () => {
      expect(wrapText(text, columns)).to.deep.equal(want)
    })
})

describe('renderAge()', () => {
  const rows = [
    [-5, '0s'],
    [119, '119s'],
    [120, '2m'],
    [7199, '119m'],
    [7200, '2h'],
    [172_799, '47h'],
    [172_800, '2d'],
  ] as const
  for (const [seconds, want] of rows)
    it(`${seconds} s is ${want}`, () => {
      expect(renderAge(seconds * 1000)).to.equal(want)
    })
})
