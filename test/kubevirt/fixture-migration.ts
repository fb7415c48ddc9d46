// Live migrations of a VM by KubeVirt, and what they cost those who ping it.
import { expect } from 'chai'

import type { Place } from '../../lab/kube/place.ts'
import { waitFor } from '../../lab/kube/wait.ts'
import { getMapping, type Manifest } from '../../lab/manifests.ts'
import { listLaunchers } from './fixture-guest.ts'
import type { PingWatch } from './fixture-ping-watch.ts'
import { findEnd } from './fixture-wired.ts'

/** Emulated, and beside others. */
export const MIGRATION_MS = 420_000
/** While the guest runs nowhere its pings have no answer: five seconds of it are ample, on a busy machine too. */
export const LOST_MOST = 25

interface MigrationState {
  readonly targetPod?: string
  readonly completed?: boolean
  readonly failed?: boolean
}

export interface Migrant {
  readonly readNode: () => Promise<string>
  readonly readState: () => Promise<MigrationState>
  /** Until it has succeeded or failed, and only the launcher in which the guest runs is left. */
  readonly waitUntilOver: () => Promise<void>
  /** Of each wire the node of the VM's end. */
  readonly listHolders: (wires: readonly string[]) => Promise<readonly (string | undefined)[]>
  /** Begins a migration of this name. */
  readonly begin: (name: string) => Promise<void>
  readonly readPhase: (name: string) => Promise<string>
  readonly waitForPhase: (name: string, ...phases: readonly string[]) => Promise<void>
}

export function newMigrant(place: Place, vm: string): Migrant {
  const { cluster, namespace } = place
  const readStatus = async (): Promise<Manifest> =>
    getMapping(await cluster.getObject('vmi', vm, namespace), 'status')
  const readState = async (): Promise<MigrationState> =>
    (await readStatus())['migrationState'] ?? {}
  const isOver = async (): Promise<boolean> => {
    const { completed, failed } = await readState()
    return completed === true || failed === true
  }
  const readPhase = async (name: string): Promise<string> =>
    toPhase(await cluster.getObject('vmim', name, namespace))
  return {
    readNode: async () => String((await readStatus())['nodeName']),
    readState,
    waitUntilOver: async () => {
      await waitFor('the migration is over', isOver, { timeoutMs: MIGRATION_MS })
      await waitFor('one launcher is left', async () => isAlone(place, vm), {
        timeoutMs: MIGRATION_MS,
      })
    },
    listHolders: async (wires) =>
      Promise.all(wires.map(async (wire) => (await findEnd(place, wire, `vm/${vm}`))?.node)),
    begin: async (name) =>
      cluster.apply({
        apiVersion: 'kubevirt.io/v1',
        kind: 'VirtualMachineInstanceMigration',
        metadata: { name, namespace },
        spec: { vmiName: vm },
      }),
    readPhase,
    waitForPhase: async (name, ...phases) =>
      waitFor(
        `${name} is ${phases.join(' or ')}`,
        async () => phases.includes(await readPhase(name)),
        { timeoutMs: MIGRATION_MS },
      ),
  }
}

/**
 * Removes what nobody else does: KubeVirt 1.9 tells a target whose migration is cancelled early to exit, which its
 * virt-launcher does by a panic, and the pod's other containers run on.
 */
async function isAlone(place: Place, vm: string): Promise<boolean> {
  const launchers = await listLaunchers(place, vm)
  for (const { name, exitCode = 0 } of launchers)
    if (exitCode !== 0)
      await place.kubectl('delete', 'pod', name, '--ignore-not-found', '--wait=false')
  return launchers.length === 1
}

/** Empty until KubeVirt has seen it. */
function toPhase({ status = {} }: Manifest): string {
  const { phase = '' } = status as { readonly phase?: string }
  return phase
}

/** Of each watch: how many pings were lost meanwhile. Its NIC must have kept its carrier. */
export async function measureLoss(
  watches: readonly PingWatch[],
  act: () => Promise<void>,
): Promise<readonly number[]> {
  const before = await Promise.all(
    watches.map(async (watch) => [await watch.readNewest(), await watch.readCarrierLosses()]),
  )
  await act()
  const lost: number[] = []
  for (const [at, watch] of watches.entries()) {
    const [newest = 0, carrierLosses] = before[at] ?? []
    expect(await watch.readCarrierLosses(), 'carrier losses').to.equal(carrierLosses)
    lost.push((await watch.listLostSince(newest)).length)
  }
  return lost
}

/** Of a VM's spec: it starts on this node, and may go on elsewhere. */
export function preferring(node: string): Manifest {
  const key = 'kubernetes.io/hostname'
  const preference = { matchExpressions: [{ key, operator: 'In', values: [node] }] }
  return {
    nodeSelector: {},
    affinity: {
      nodeAffinity: {
        preferredDuringSchedulingIgnoredDuringExecution: [{ weight: 100, preference }],
      },
    },
  }
}

const SLOW = 'l2w-slow'

/** A migration of this name whose memory is under way when this returns, and takes minutes. */
export async function beginSlowly(
  { cluster, namespace }: Place,
  migrant: Migrant,
  name: string,
): Promise<void> {
  await cluster.apply({
    apiVersion: 'migrations.kubevirt.io/v1alpha1',
    kind: 'MigrationPolicy',
    metadata: { name: SLOW },
    spec: {
      bandwidthPerMigration: '1Mi',
      completionTimeoutPerGiB: 3600,
      selectors: { namespaceSelector: { 'kubernetes.io/metadata.name': namespace } },
    },
  })
  await migrant.begin(name)
  await migrant.waitForPhase(name, 'Running')
}

/** Idempotent. */
export async function endSlowness({ cluster }: Place): Promise<void> {
  await cluster.kubectl(['delete', 'migrationpolicy', SLOW, '--ignore-not-found'])
}
