// Where wires are kept and how their nodes are reached: a folder and this machine, or a cluster. Every
// command is written once, against this.
import { findClosest } from '../../core/closest.ts'
import type { DoctorFacts, NodeVisit } from '../../core/doctor/facts.ts'
import { CommandError, renderCauses } from '../../core/errors.ts'
import { toWireKey, type EndClaim, type Wire, type WireId } from '../../core/wire/wire.ts'
import type { NodeLook, WireFacts } from '../../core/wire/facts.ts'
import { CliError } from '../cli-error.ts'

export interface Place {
  /** For people: "file:///DIR", "the cluster". */
  readonly label: string
  /** The namespace that the user means. */
  readonly readNamespace: () => Promise<string>
  /** Wires of one namespace, or of all; sorted. Documents that cannot be read are told of and left out. */
  readonly list: (options: { readonly hasAll: boolean }) => Promise<readonly Wire[]>
  /** Undefined when there is no such wire. */
  readonly read: (id: WireId) => Promise<Wire | undefined>
  /** Takes the cable out or puts it back; what is then. Undefined is a wire of which nothing is left. */
  readonly setUnplugged: (id: WireId, isUnplugged: boolean) => Promise<Wire | undefined>
  /** What to execute so that kubectl-l2wire runs on a node: further arguments follow. Throws CliError. */
  readonly toNodeArgv: (node: string) => Promise<readonly string[]>
  /** Whether what runs there finds the end's devices: not where they are on another machine. */
  readonly isWithinReach: (end: EndClaim) => boolean
  /** Each node's part of a wire, as its agent tells it. */
  readonly look: (wire: Wire) => Promise<readonly NodeLook[]>
  readonly readSurroundings: (wire: Wire) => Promise<Surroundings>
  /** Wires of one namespace, or of all, and everything else that is kept for wires. */
  readonly takeInventory: (namespace: string | undefined) => Promise<Inventory>
  /** Everything of ours on the nodes within reach, or on one of them. */
  readonly visit: (inventory: Inventory, node: string | undefined) => Promise<readonly NodeVisit[]>
  /** Whether a node other than this machine can be told what to do. */
  readonly hasRemoteNodes: boolean
}

/** What is kept for wires outside of nodes; `unknown` is what could not be read, a sentence each, `notes` what need not be. */
export type Inventory = Omit<DoctorFacts, 'namespace' | 'visits' | 'nowMs'> & {
  readonly unknown: readonly string[]
  readonly notes: readonly string[]
}

/** What there is to know around a wire; nothing without a cluster. */
export type Surroundings = Pick<WireFacts, 'gonePods' | 'events' | 'unknown'>

/** Throws CliError, which names the wires that there are. */
export async function getWire(place: Place, name: string, listed?: readonly Wire[]): Promise<Wire> {
  const wires = listed ?? (await place.list({ hasAll: false }))
  const wire = wires.find((one) => one.name === name)
  if (wire !== undefined) return wire
  const id = toWireKey({ namespace: await place.readNamespace(), name })
  const names = wires.map((one) => one.name)
  const closest = findClosest(name, names)
  const hint =
    names.length === 0
      ? 'there are none in that namespace'
      : closest === undefined
        ? `there ${names.length === 1 ? 'is' : 'are'} ${renderNames(names)}`
        : `did you mean "${closest}"?`
  throw new CliError(`There is no wire "${id}" in ${place.label}: ${hint}`)
}

const NAMES_SHOWN = 8

function renderNames(names: readonly string[]): string {
  const more = names.length - NAMES_SHOWN
  return `${names.slice(0, NAMES_SHOWN).join(', ')}${more > 0 ? ` and ${more} more` : ''}`
}

/** Arguments that name an end to the commands that run on its node. */
export function toEndArgs(ends: readonly EndClaim[]): readonly string[] {
  return ends.flatMap(({ containerID, ifname }) => ['--end', `${containerID}@${ifname}`])
}

/** Why a node could not be looked at, in a sentence. */
export function explain(error: unknown): string {
  if (error instanceof CommandError) return readOwnWords(error)
  return error instanceof CliError ? error.message : renderCauses(error)
}

/** What kubectl-l2wire on a node said, without its name in front. */
function readOwnWords(error: CommandError): string {
  const words = /^kubectl-l2wire: (.*)$/m.exec(error.stderr)?.[1]
  return words ?? error.stderr.trim().split('\n').at(-1) ?? error.message
}
