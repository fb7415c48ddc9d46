// kubectl-l2wire doctor: whether stores, agents and kernels hold just what the wires need, and whether the
// ways between nodes carry them. It changes nothing.
import { setTimeout as sleep } from 'node:timers/promises'

import type { Command } from 'commander'

import { findAll } from '../../core/doctor/doctor.ts'
import type { DoctorFacts, NodeVisit } from '../../core/doctor/facts.ts'
import { listPaths, type NodePath, type PathMeasure } from '../../core/doctor/path.ts'
import { CommandError, DecodeError } from '../../core/errors.ts'
import { keepSettled } from '../../core/doctor/finding.ts'
import { renderCheckup, toCheckup } from '../../core/view/checkup.ts'
import { CliError } from '../cli-error.ts'
import { measurePaths } from './measure-paths.ts'
import { newOutputOption, printLines, printValue, type OutputFormat } from '../output.ts'
import type { Inventory, Place } from '../place/place.ts'
import { addPlaceOptions, newPlace, type PlaceFlags } from '../place/place-options.ts'
import { withProgress } from '../progress.ts'
import { newSwitchOption } from '../switch-option.ts'

/** 0 all is as it should be, 1 something is wrong, 2 not everything could be looked at. */
const EXIT_WRONG = 1
const EXIT_UNSEEN = 2

/** What is under way at the first look is over at the second. */
const SETTLE_MS = 1500

interface DoctorFlags extends PlaceFlags {
  readonly node?: string
  readonly measure: 'true' | 'false'
  readonly output?: OutputFormat
}

export function addDoctorCommand(program: Command): void {
  const command = program
    .command('doctor')
    .description(
      'compare stores, agents and kernels; measure the ways between nodes; name the remedy',
    )
    .option('--node <name>', 'only what concerns this node')
    .addOption(newSwitchOption('measure', 'measure the ways between nodes'))
    .addOption(newOutputOption())
  addPlaceOptions(command)
    .addHelpText(
      'after',
      `
Without --namespace it looks at the wires of all namespaces. It changes nothing, and no frame of it
gets into a wire.

Exit code: 0 all is as it should be, 1 something is wrong, 2 not everything could be looked at.`,
    )
    .action(runDoctor)
}

async function runDoctor(flags: DoctorFlags): Promise<void> {
  try {
    process.exitCode = await examine(flags)
  } catch (error) {
    // For whom watches the exit code: nothing was found wrong, nothing was seen to be right.
    if ([CliError, CommandError, DecodeError].some((kind) => error instanceof kind))
      process.exitCode = EXIT_UNSEEN
    throw error
  }
}

interface Look {
  readonly inventory: Inventory
  readonly facts: DoctorFacts
}

async function examine(flags: DoctorFlags): Promise<number> {
  const place = newPlace(flags)
  const { namespace, node } = flags
  const look = async (): Promise<Look> => {
    const inventory = await place.takeInventory(namespace)
    const visits = await place.visit(inventory, node)
    return { inventory, facts: { ...inventory, namespace, visits, nowMs: Date.now() } }
  }
  const { inventory, facts, findings } = await withProgress('looking at the nodes', async () => {
    const first = await look()
    const found = findAll(first.facts, node)
    if (found.length === 0) return { ...first, findings: found }
    await sleep(SETTLE_MS)
    const second = await look()
    return { ...second, findings: keepSettled(found, findAll(second.facts, node)) }
  })
  const measured = await withProgress('measuring the ways between nodes', async () =>
    measure(place, flags, facts),
  )
  const checkup = toCheckup(
    { wireCount: facts.wires.length, visits: facts.visits },
    findings,
    measured.paths,
    {
      unknown: [...inventory.unknown, ...measured.unknown],
      notes: [...inventory.notes, ...measured.notes],
    },
  )
  if (flags.output === undefined) printLines(renderCheckup(checkup).split('\n'))
  else await printValue(checkup, flags.output)
  if (checkup.findings.some(({ level }) => level === 'wrong')) return EXIT_WRONG
  return checkup.isClean ? 0 : EXIT_UNSEEN
}

interface Measured {
  readonly paths: readonly PathMeasure[]
  readonly unknown: readonly string[]
  readonly notes: readonly string[]
}

async function measure(place: Place, flags: DoctorFlags, facts: DoctorFacts): Promise<Measured> {
  const nothing = { paths: [], unknown: [], notes: [] }
  const { node } = flags
  const all = listPaths(facts.wires).filter(
    ({ from, to }) => node === undefined || from === node || to === node,
  )
  if (all.length === 0 || flags.measure === 'false') return nothing
  if (!place.hasRemoteNodes) {
    const note = 'The ways between nodes: without a cluster only this machine is within reach'
    return { ...nothing, notes: [note] }
  }
  // With --node the far ones were not visited, and may be asked all the same.
  const isAsked = (name: string): boolean =>
    facts.agents?.some((agent) => agent.node === name && agent.isReady) ?? false
  const paths = all.filter(({ from, to }) => isAsked(from) && isAsked(to))
  const unseen = all.filter((path) => !paths.includes(path))
  const unknown = unseen.map(
    ({ from, to }) => `The way from ${from} to ${to}: no agent that is ready is on both`,
  )
  try {
    return { ...nothing, unknown, paths: await measureAll(place, paths, facts.visits) }
  } catch (error) {
    if (!(error instanceof CliError)) throw error
    return { ...nothing, unknown: [...unknown, `The ways between nodes: ${error.message}`] }
  }
}

const DEFAULT_PORT = 14_789

async function measureAll(
  place: Place,
  paths: readonly NodePath[],
  visits: readonly NodeVisit[],
): Promise<readonly PathMeasure[]> {
  const ports = visits.flatMap(({ survey }) => survey?.port ?? [])
  return paths.length === 0 ? [] : measurePaths(paths, ports[0] ?? DEFAULT_PORT, place.toNodeArgv)
}
