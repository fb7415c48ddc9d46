// The plots that the benchmarks write.
import { expect } from 'chai'
import { describe, it } from 'mocha'

import { renderPlot } from '../bench/plot.ts'

const PLOT = { title: 'a < b', xLabel: 'wires', yLabel: 'seconds' }

function listNumbers(svg: string, pattern: RegExp): readonly number[] {
  return [...svg.matchAll(pattern)].map((match) => Number(match[1]))
}

describe('renderPlot', () => {
  it('puts points where the axes say they are', () => {
    const points = [
      [0, 0],
      [50, 2],
      [100, 4],
    ] as const
    const svg = renderPlot({ ...PLOT, series: [{ name: 'time', points }] })
    const line = / points="([^"]+)"/.exec(svg)?.[1] ?? ''
    const [origin, middle, last] = line.split(' ').map((place) => place.split(',').map(Number))
    const [left = 0, bottom = 0] = origin ?? []
    const [right = 0, top = 0] = last ?? []
    expect(middle).to.deep.equal([(left + right) / 2, (bottom + top) / 2])
    // The last tick of each axis is the last point's place.
    const labels = /<text class="" x="([\d.]+)" y="[\d.]+" text-anchor="middle">100</g
    expect(listNumbers(svg, labels)).to.deep.equal([right])
  })

  it('counts in steps that people count in', () => {
    const points = [[500, 0.66]] as const
    const svg = renderPlot({ ...PLOT, series: [{ name: 'time', points }] })
    const ticks = listNumbers(svg, /text-anchor="end">([^<]+)</g)
    expect(ticks).to.deep.equal([0, 0.2, 0.4, 0.6, 0.8])
  })

  it('spells text as XML wants it', () => {
    const svg = renderPlot({ ...PLOT, series: [{ name: '"a" & b', points: [[1, 1]] }] })
    expect(svg).to.include('a &#60; b').and.include('&#34;a&#34; &#38; b')
  })

  it('refuses what it cannot draw', () => {
    const one = { name: 'time', points: [[1, 1]] as const }
    expect(() => renderPlot({ ...PLOT, series: [one, one, one, one] })).to.throw('1 to 3 series')
    expect(() => renderPlot({ ...PLOT, series: [] })).to.throw('0 series of 0 points')
  })
})
