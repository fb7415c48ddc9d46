// The CNI_* variables, decoded by one table: variable x verbs that need it x what it must look like.
// CNI SPEC.md 1.1.0, "Section 2: Execution Protocol", "Parameters".
import { BOUNDS, isWithin, type Bound } from '../bounds.ts'
import { CNI_CODE, CniError, renderValue } from '../errors.ts'
import { isDeviceName } from '../name.ts'
import { CNI_COMMANDS, isCniCommand, type CniCommand } from './version.ts'

export interface CniArgs {
  readonly command: CniCommand
  /** Empty where the verb does not take it. */
  readonly containerID: string
  /** Path of the network namespace; empty on a DEL whose namespace is gone. */
  readonly netns: string
  readonly ifname: string
  /** CNI_ARGS as it came: "KEY=VALUE;KEY=VALUE". */
  readonly args: string
  /** Folders to search for plugins we delegate to. */
  readonly path: string
}

type Env = Readonly<Record<string, string | undefined>>

interface Variable {
  readonly name: string
  readonly field: Exclude<keyof CniArgs, 'command'>
  readonly requiredBy: readonly CniCommand[]
  readonly isValid: (value: string) => boolean
  readonly expected: string
}

const ARGS = /^[^=;]+=[^;]*(;[^=;]+=[^;]*)*;?$/
// eslint-disable-next-line no-control-regex -- control characters are what it looks for
const UNSAFE_IN_PATH = /[\u0000-\u001f\u007f"'\\ ]/

const VARIABLES: readonly Variable[] = [
  {
    name: 'CNI_CONTAINERID',
    field: 'containerID',
    requiredBy: ['ADD', 'DEL', 'CHECK'],
    isValid: (value) => isWithin(BOUNDS.containerID, value),
    expected: BOUNDS.containerID.expected,
  },
  {
    name: 'CNI_NETNS',
    field: 'netns',
    // CNI spec, "DEL": CNI_NETNS is optional there.
    requiredBy: ['ADD', 'CHECK'],
    isValid: (value) => value.startsWith('/') && !UNSAFE_IN_PATH.test(value),
    expected: 'an absolute path without white space, quotes or control characters',
  },
  {
    name: 'CNI_IFNAME',
    field: 'ifname',
    requiredBy: ['ADD', 'DEL', 'CHECK'],
    isValid: isDeviceName,
    expected: BOUNDS.ifname.expected,
  },
  {
    name: 'CNI_ARGS',
    field: 'args',
    requiredBy: [],
    isValid: (value) => ARGS.test(value),
    expected: 'KEY=VALUE pairs separated by ";"',
  },
  {
    name: 'CNI_PATH',
    field: 'path',
    requiredBy: ['GC'],
    isValid: () => true,
    expected: 'folders',
  },
]

/** Reads the verb and its arguments. Throws CniError 4, which names every variable at fault. */
export function decodeEnv(env: Env): CniArgs {
  const command = env['CNI_COMMAND']
  if (!isCniCommand(command)) {
    throw new CniError(
      CNI_CODE.INVALID_ENVIRONMENT,
      `Cannot read CNI_COMMAND: it is ${renderValue(command)}, expected one of ${CNI_COMMANDS.join(', ')}`,
    )
  }
  const faults: string[] = []
  const args = { command, containerID: '', netns: '', ifname: '', args: '', path: '' }
  if (command === 'VERSION') return args
  for (const variable of VARIABLES) {
    const value = env[variable.name] ?? ''
    if (value === '') {
      if (variable.requiredBy.includes(command)) faults.push(`${variable.name} is missing`)
    } else if (!variable.isValid(value)) {
      // CNI spec, "DEL": it should complete even where things are amiss; these two it can do without.
      if (command === 'DEL' && !variable.requiredBy.includes('DEL')) continue
      faults.push(`${variable.name} is ${renderValue(value)}, expected ${variable.expected}`)
    } else {
      args[variable.field] = value
    }
  }
  if (faults.length > 0) {
    throw new CniError(
      CNI_CODE.INVALID_ENVIRONMENT,
      `Cannot run ${command} with this environment: ${faults.join('; ')}`,
    )
  }
  return args
}

/** CNI_ARGS as a map; the last of two equal keys wins, as in the reference library. */
export function parseCniArgs(args: string): ReadonlyMap<string, string> {
  const pairs = args.split(';').filter((pair) => pair !== '')
  return new Map(
    pairs.map((pair) => {
      const at = pair.indexOf('=')
      return [pair.slice(0, at), pair.slice(at + 1)]
    }),
  )
}

/** The pod an ADD is for. A runtime without Kubernetes names none: its wires are in "default". */
export interface PodRef {
  readonly namespace: string
  readonly name: string | undefined
}

/** K8S_POD_NAMESPACE and K8S_POD_NAME of CNI_ARGS. Throws CniError 4. */
export function decodePodRef(args: string): PodRef {
  const pairs = parseCniArgs(args)
  const read = (key: string, bound: Bound): string | undefined => {
    const value = pairs.get(key) ?? ''
    if (value === '') return undefined
    if (isWithin(bound, value)) return value
    throw new CniError(
      CNI_CODE.INVALID_ENVIRONMENT,
      `Cannot use CNI_ARGS: ${key} is ${renderValue(value)}, expected ${bound.expected}`,
    )
  }
  return {
    namespace: read('K8S_POD_NAMESPACE', BOUNDS.namespace) ?? 'default',
    name: read('K8S_POD_NAME', BOUNDS.subdomain),
  }
}
