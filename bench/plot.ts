// A line plot as SVG text: points in, document out. It brings its own background, and the colours of
// both a light and a dark page.

export interface Series {
  readonly name: string
  readonly points: readonly (readonly [x: number, y: number])[]
}

export interface Plot {
  readonly title: string
  readonly xLabel: string
  readonly yLabel: string
  readonly series: readonly Series[]
}

const WIDTH = 720
const HEIGHT = 400
const BOX = { left: 70, right: 700, top: 76, bottom: 345 }
const TICKS = 5
/** Told from one another without colour, too. */
const MARKS: readonly ((x: number, y: number) => string)[] = [
  (x, y) => `<circle class="mark" cx="${x}" cy="${y}" r="4.5"/>`,
  (x, y) => `<rect class="mark" x="${x - 4}" y="${y - 4}" width="8" height="8"/>`,
  (x, y) => `<path class="mark" d="M${x},${y - 5.5}l5.5,5.5l-5.5,5.5l-5.5,-5.5z"/>`,
]
const LIGHT = toStyle('#ffffff', '#1f2328', '#d1d9e0', '#59636e', ['#0a58ca', '#bc4c00', '#1a7f37'])
const DARK = toStyle('#0d1117', '#f0f6fc', '#30363d', '#9198a1', ['#6cb2ff', '#ffa657', '#56d364'])
const STYLE = `
  text { font: 13px sans-serif } .title { font: 15px sans-serif } .line { fill: none; stroke-width: 2 }
  ${LIGHT}
  @media (prefers-color-scheme: dark) { ${DARK} }
`

// Each colour in its place: what draws SVG outside of browsers knows no variables.
function toStyle(
  page: string,
  ink: string,
  grid: string,
  axis: string,
  series: readonly string[],
): string {
  const colours = series.map(
    (colour, at) => `.s${at} .line { stroke: ${colour} } .s${at} .mark { fill: ${colour} }`,
  )
  return [
    `.page { fill: ${page} } text { fill: ${ink} } .grid { stroke: ${grid} } .axis { stroke: ${axis} }`,
    ...colours,
  ].join(' ')
}

/** Throws RangeError for more series than there are marks, or none with a point. */
export function renderPlot({ title, xLabel, yLabel, series }: Plot): string {
  const points = series.flatMap((one) => one.points)
  if (series.length > MARKS.length || points.length === 0)
    throw new RangeError(
      `Cannot plot ${series.length} series of ${points.length} points: expected 1 to ${MARKS.length} series with points`,
    )
  const xs = listTicks(Math.max(...points.map(([x]) => x)))
  const ys = listTicks(Math.max(...points.map(([, y]) => y)))
  const toX = newScale(xs.at(-1) ?? 1, BOX.left, BOX.right)
  const toY = newScale(ys.at(-1) ?? 1, BOX.bottom, BOX.top)
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${HEIGHT}" role="img" aria-label="${escape(title)}">`,
    `<style>${STYLE}</style>`,
    `<rect class="page" width="${WIDTH}" height="${HEIGHT}"/>`,
    text('title', BOX.left, 26, 'start', title),
    ...series.map((one, at) => renderName(one, at)),
    ...ys.flatMap((y) => [
      line(y === 0 ? 'axis' : 'grid', BOX.left, toY(y), BOX.right, toY(y)),
      text('', BOX.left - 8, toY(y) + 4, 'end', renderNumber(y)),
    ]),
    ...xs.map((x) => text('', toX(x), BOX.bottom + 20, 'middle', renderNumber(x))),
    line('axis', BOX.left, BOX.top, BOX.left, BOX.bottom),
    text('', (BOX.left + BOX.right) / 2, HEIGHT - 14, 'middle', xLabel),
    `<g transform="rotate(-90 18 ${middle()})">${text('', 18, middle(), 'middle', yLabel)}</g>`,
    ...series.map((one, at) => renderSeries(one, at, toX, toY)),
    '</svg>\n',
  ].join('\n')
}

type Scale = (value: number) => number

function newScale(most: number, from: number, to: number): Scale {
  return (value) => Math.round((from + (value / most) * (to - from)) * 10) / 10
}

/** From nought to just beyond the most, in steps that people count in. */
function listTicks(most: number): readonly number[] {
  if (most <= 0) return [0, 1]
  const rough = most / TICKS
  const power = 10 ** Math.floor(Math.log10(rough))
  const step = ([1, 2, 5, 10].find((times) => times * power >= rough) ?? 10) * power
  return Array.from({ length: Math.ceil(most / step - 1e-9) + 1 }, (_, at) => at * step)
}

function renderNumber(value: number): string {
  return String(Number(value.toPrecision(6)))
}

function renderSeries({ points }: Series, at: number, toX: Scale, toY: Scale): string {
  const places = points.map(([x, y]) => [toX(x), toY(y)] as const)
  const path = places.map(([x, y]) => `${x},${y}`).join(' ')
  const marks = places.map(([x, y]) => renderMark(at, x, y)).join('')
  return `<g class="s${at}"><polyline class="line" points="${path}"/>${marks}</g>`
}

function renderName({ name }: Series, at: number): string {
  const x = BOX.left + at * 215
  return `<g class="s${at}">${renderMark(at, x + 5, 47)}${text('', x + 17, 51, 'start', name)}</g>`
}

function renderMark(at: number, x: number, y: number): string {
  return MARKS[at]?.(x, y) ?? ''
}

function middle(): number {
  return (BOX.top + BOX.bottom) / 2
}

function line(kind: string, x1: number, y1: number, x2: number, y2: number): string {
  return `<line class="${kind}" x1="${x1}" y1="${y1}" x2="${x2}" y2="${y2}"/>`
}

function text(kind: string, x: number, y: number, anchor: string, words: string): string {
  return `<text class="${kind}" x="${x}" y="${y}" text-anchor="${anchor}">${escape(words)}</text>`
}

function escape(words: string): string {
  return words.replace(/[&<>"]/g, (sign) => `&#${sign.charCodeAt(0)};`)
}
