// One measurement against what it should be. Figures of one run only: machines differ, ratios hold.

export interface Row {
  readonly name: string
  /** The figure, with its unit. */
  readonly measured: string
  /** What it should be; empty where nothing is asked of it. */
  readonly want: string
  /** Undefined where nothing is asked of it. */
  readonly met: boolean | undefined
}

/** A ratio that should be at least, or at most, this. */
export function toRatioRow(
  name: string,
  ratio: number,
  want: { readonly atLeast: number } | { readonly atMost: number },
): Row {
  const isLower = 'atLeast' in want
  const limit = isLower ? want.atLeast : want.atMost
  // Judged as it is shown: a second run changes what comes behind.
  const measured = ratio.toFixed(2)
  return {
    name,
    measured,
    want: `${isLower ? '>=' : '<='} ${limit}`,
    met: isLower ? Number(measured) >= limit : Number(measured) <= limit,
  }
}

export function toFigureRow(name: string, measured: string): Row {
  return { name, measured, want: '', met: undefined }
}

/** Half of the values are below it. */
export function getMedian(values: readonly number[]): number {
  return getQuantile(values, 0.5)
}

export function getMean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length
}

/** The least of the values that this share of them, 0 to 1, does not exceed: nearest rank. */
export function getQuantile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((x, y) => x - y)
  return sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)] ?? Number.NaN
}

export function renderRows(title: string, rows: readonly Row[]): string {
  const cells = rows.map((row) => [
    row.name,
    row.measured,
    row.want,
    row.met === undefined ? '' : row.met ? 'met' : 'MISSED',
  ])
  const widths = [0, 1, 2].map((column) =>
    Math.max(...cells.map((line) => line[column]?.length ?? 0)),
  )
  const lines = cells.map((line) =>
    line
      .map((cell, column) => cell.padEnd(widths[column] ?? 0))
      .join('  ')
      .trimEnd(),
  )
  return [`\n${title}`, ...lines].join('\n')
}
