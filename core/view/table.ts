// Columns as kubectl prints them: capitals on top, three blanks between, nothing at a line's end.

import { toPrintable } from '../printable.ts'

const GAP = '   '

/** Cells are text that others wrote: what does not show in them is escaped, before they are as wide as they are. */
export function renderTable(
  titles: readonly string[],
  cells: readonly (readonly string[])[],
): readonly string[] {
  const rows = cells.map((row) => row.map(toPrintable))
  const widths = titles.map((title, at) =>
    Math.max(title.length, ...rows.map((row) => row[at]?.length ?? 0)),
  )
  return [titles, ...rows].map((row) =>
    row
      .map((cell, at) => cell.padEnd(widths[at] ?? 0))
      .join(GAP)
      .trimEnd(),
  )
}

/** Text, what does not show in it escaped, in lines of at most so many columns; a longer word gets a line of its own. */
export function wrapText(text: string, columns: number): readonly string[] {
  const lines: string[] = []
  for (const word of text
    .split(/\s+/)
    .filter((one) => one !== '')
    .map(toPrintable)) {
    const last = lines.at(-1)
    if (last !== undefined && last.length + 1 + word.length <= columns)
      lines[lines.length - 1] = `${last} ${word}`
    else lines.push(word)
  }
  return lines
}

/** "12s", "5m", "3h", "2d": kubectl's way to say how long ago. */
export function renderAge(milliseconds: number): string {
  const seconds = Math.max(0, Math.floor(milliseconds / 1000))
  if (seconds < 120) return `${seconds}s`
  const minutes = Math.floor(seconds / 60)
  if (minutes < 120) return `${minutes}m`
  const hours = Math.floor(minutes / 60)
  return hours < 48 ? `${hours}h` : `${Math.floor(hours / 24)}d`
}
