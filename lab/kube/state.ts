// The files of a running cluster: a folder of the checkout, and cgroups named after it. There is one cluster
// per checkout, and clusters of several checkouts do not meet.
import { access, mkdir, readFile, rename, writeFile } from 'node:fs/promises'
import { join } from 'node:path'

import { sha256Hex } from '../../core/hash.ts'
import { LAB_DIRECTORY } from '../lab-directory.ts'
import { newPlan, type ClusterPlan } from './plan.ts'

/** The cluster's own, in addition to its nodes' disks: keys and certificates, logs, the objects. */
export const STATE = join(LAB_DIRECTORY, 'kube')

/** Below the root of each hierarchy. All processes of the cluster are in it. */
export const CGROUP = `l2w-kube-${sha256Hex(STATE, 8)}`

/** Decided when the cluster is made, and then fixed. */
export interface ClusterState {
  readonly nodes: number
  readonly hasIpv6: boolean
  /** Of KubeVirt. */
  readonly version: string
  /** Machine-wide switches and their earlier values. */
  readonly sysctls: Readonly<Record<string, string>>
}

const FILE = join(STATE, 'state.json')

export async function readState(): Promise<ClusterState | undefined> {
  try {
    return JSON.parse(await readFile(FILE, 'utf8')) as ClusterState
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw error
  }
}

/** Throws if there is no cluster. */
export async function readPlan(): Promise<ClusterPlan> {
  const state = await readState()
  if (state === undefined)
    throw new Error(`No cluster in ${STATE}, expected one of make cluster-up`)
  return newPlan(state.nodes, state.hasIpv6)
}

/** Keeps the decisions of an earlier start. */
export async function ensureState(decide: () => Promise<ClusterState>): Promise<ClusterState> {
  const there = await readState()
  if (there !== undefined) return there
  const state = await decide()
  await mkdir(STATE, { recursive: true, mode: 0o700 })
  // Written whole or not at all, because the machine's earlier values cannot be read again later.
  await writeFile(`${FILE}.new`, JSON.stringify(state, null, 2))
  await rename(`${FILE}.new`, FILE)
  return state
}

export async function machineHasIpv6(): Promise<boolean> {
  return access('/proc/net/if_inet6').then(
    () => true,
    () => false,
  )
}

/** A folder for each node and for the fabric, with its disk and its logs. */
export const MACHINES = join(STATE, 'machines')

export function toMachineFolder(name: string): string {
  return join(MACHINES, name)
}

export function toLogFile(machine: string, daemon: string): string {
  return join(toMachineFolder(machine), 'log', `${daemon}.log`)
}

/** On PATH of cluster-shell and of the nodes. */
export const BIN = join(STATE, 'bin')
export const KEYS = join(STATE, 'keys')
export const KUBECONFIG = join(STATE, 'admin.kubeconfig')
