// What the doctor says: as a value of a stable shape for programs, and as text for people.
import { findOnPath, type PathMeasure } from '../doctor/path.ts'
import type { NodeVisit } from '../doctor/facts.ts'
import type { Finding } from '../doctor/finding.ts'
import { toPrintable } from '../printable.ts'
import { renderTable, wrapText } from './table.ts'

/** What `doctor -o json` prints. Keys are only ever added. */
export interface Checkup {
  /** Whether nothing is wrong, and everything could be looked at. */
  readonly isClean: boolean
  readonly looked: {
    readonly wires: number
    readonly nodes: readonly string[]
  }
  readonly findings: readonly Finding[]
  readonly paths: readonly PathMeasure[]
  /** What could not be looked at, and why. */
  readonly unknown: readonly string[]
  /** What was left out, and need not be known. */
  readonly notes: readonly string[]
}

export function toCheckup(
  looked: { readonly wireCount: number; readonly visits: readonly NodeVisit[] },
  settled: readonly Finding[],
  paths: readonly PathMeasure[],
  said: Pick<Checkup, 'unknown' | 'notes'>,
): Checkup {
  const findings = [...settled, ...paths.flatMap(findOnPath)]
  const unknown = [...looked.visits.flatMap(listUnseen), ...said.unknown]
  return {
    isClean: unknown.length === 0 && !findings.some(({ level }) => level === 'wrong'),
    looked: {
      wires: looked.wireCount,
      nodes: looked.visits.flatMap(({ node, survey }) => (survey === undefined ? [] : [node])),
    },
    findings,
    paths,
    unknown,
    notes: said.notes,
  }
}

function listUnseen({ node, survey, reason }: NodeVisit): readonly string[] {
  if (survey === undefined) return [`Node ${node} could not be looked at: ${reason}`]
  const { version, findings, unseen = [] } = survey
  const all =
    findings === undefined
      ? [`devices are not compared with wires: an agent of release ${version} cannot be asked`]
      : unseen
  return all.map((what) => `On node ${node} ${what}`)
}

const COLUMNS = 100

export function renderCheckup(checkup: Checkup): string {
  const { findings, looked, paths, unknown, notes, isClean } = checkup
  const of = (level: Finding['level']): readonly string[] =>
    findings.filter((finding) => finding.level === level).flatMap(renderFinding)
  const nodes = looked.nodes.length === 1 ? 'node' : 'nodes'
  const wires = looked.wires === 1 ? 'wire' : 'wires'
  const sections = [
    [
      `Looked at ${looked.wires} ${wires} and ${looked.nodes.length} ${nodes}${looked.nodes.length === 0 ? '' : `: ${looked.nodes.join(', ')}`}`,
    ],
    toSection('What is wrong', of('wrong')),
    toSection('Hints', of('hint')),
    toSection('Ways between nodes', renderPaths(paths)),
    toSection('Not known', unknown.flatMap(renderPoint)),
    toSection('Left out', notes.flatMap(renderPoint)),
    isClean ? ['All is as it should be.'] : [],
  ]
  return sections
    .filter((lines) => lines.length > 0)
    .map((lines) => lines.map(toPrintable).join('\n'))
    .join('\n\n')
}

function toSection(title: string, lines: readonly string[]): readonly string[] {
  return lines.length === 0 ? [] : [`${title}:`, ...lines.map((line) => `  ${line}`.trimEnd())]
}

/** With its remedy. */
export function renderFinding({ what, remedy }: Finding): readonly string[] {
  return [
    ...renderPoint(what),
    ...wrapText(`Remedy: ${remedy}`, COLUMNS - 4).map((line) => `  ${line}`),
  ]
}

/** A line of a list, however long. */
export function renderPoint(text: string): readonly string[] {
  return wrapText(text, COLUMNS - 4).map((line, at) => `${at === 0 ? '-' : ' '} ${line}`)
}

function renderPaths(paths: readonly PathMeasure[]): readonly string[] {
  if (paths.length === 0) return []
  const port = paths[0]?.port ?? 0
  return renderTable(
    ['FROM', 'TO', `UDP ${port}`, 'PATH MTU', 'LINK MTU', 'FRAGMENTS'],
    paths.map((path) => [
      path.from,
      path.to,
      path.isOpen ? 'open' : 'closed',
      path.pathMtuBytes === null ? '-' : String(path.pathMtuBytes),
      String(path.linkMtuBytes),
      path.hasFragments === null ? '-' : path.hasFragments ? 'pass' : 'lost',
    ]),
  )
}
