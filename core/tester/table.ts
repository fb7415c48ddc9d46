// Verdicts as text: a row per frame class, a column per cable and direction.
import { toPrintable } from '../printable.ts'
import type { RowVerdict } from './verdict.ts'

export interface VerdictColumn {
  readonly title: string
  readonly verdicts: readonly RowVerdict[]
}

/** A table for a terminal, then a line for each row that was not delivered. */
export function renderVerdicts(columns: readonly VerdictColumn[]): string {
  const names = [...new Set(columns.flatMap(({ verdicts }) => verdicts.map(({ name }) => name)))]
  const nameWidth = Math.max(...names.map((name) => name.length))
  const line = (name: string, cells: readonly string[]): string =>
    [name.padEnd(nameWidth), ...cells.map((cell, at) => cell.padEnd(widthOf(columns[at])))]
      .join('  ')
      .trimEnd()
  const rows = names.map((name) =>
    line(
      name,
      columns.map(({ verdicts }) => renderCell(verdicts.find((verdict) => verdict.name === name))),
    ),
  )
  const faults = columns.flatMap(({ title, verdicts }) =>
    verdicts
      .filter(({ outcome }) => outcome !== 'delivered')
      .map(({ name, fault }) => toPrintable(`${title}: ${name}: ${fault}`)),
  )
  const titles = columns.map(({ title }) => toPrintable(title))
  return [line('frame class', titles), ...rows, ...(faults.length > 0 ? ['', ...faults] : [])].join(
    '\n',
  )
}

function widthOf(column: VerdictColumn | undefined): number {
  return Math.max(toPrintable(column?.title ?? '').length, 'delivered'.length)
}

function renderCell(verdict: RowVerdict | undefined): string {
  if (verdict === undefined) return '-'
  const isGood = verdict.outcome === 'delivered' || verdict.outcome === 'too long'
  return isGood ? verdict.outcome : verdict.outcome.toUpperCase()
}
