// Of migrations: how far one is, as the VirtualMachineInstance has it, and the pod that its VM comes from.
import { CNI_CODE, CniError } from '../../core/errors.ts'
import {
  findSourcePodName,
  isSourcePod,
  type MigrationRef,
} from '../../core/podnetwork/migration-source.ts'
import { toMigrationState, type MigrationState } from '../../core/wire/migration.ts'
import type { KubeClient } from './client.ts'
import { callApi, getStatus } from './errors.ts'

const KIND = { group: 'kubevirt.io', version: 'v1', plural: 'virtualmachineinstances' }
const MIGRATIONS = 'virtualmachineinstancemigrations'

/** Throws CniError 11 or 109. */
export type ReadMigration = (
  vmi: { readonly namespace: string; readonly name: string },
  target: { readonly pod: string; readonly node: string },
) => Promise<MigrationState>

export function newMigrationReader({ custom, server }: KubeClient): ReadMigration {
  return async (vmi, { pod, node }) => {
    const what = `read VirtualMachineInstance "${vmi.namespace}/${vmi.name}"`
    return callApi(server, what, async () => {
      try {
        const object: unknown = await custom.getNamespacedCustomObject({ ...KIND, ...vmi })
        return toMigrationState(object, pod, node)
      } catch (error) {
        if (getStatus(error) === 404) return toMigrationState(undefined, pod, node)
        throw error
      }
    })
  }
}

/** The pod object; undefined where the migration names none, as before KubeVirt 1.9. Throws CniError 11 or 109. */
export type ReadSourcePod = (migration: MigrationRef) => Promise<unknown>

export function newSourcePodReader({ core, custom, server }: KubeClient): ReadSourcePod {
  return async (migration) => {
    const { namespace, name } = migration
    const what = `read VirtualMachineInstanceMigration "${namespace}/${name}" and its source's pod`
    return callApi(server, what, async () => {
      const named = await orNone(
        custom.getNamespacedCustomObject({ ...KIND, plural: MIGRATIONS, namespace, name }),
      )
      const source = findSourcePodName(named, migration)
      if (source === undefined) return undefined
      const pod = await orNone(core.readNamespacedPod({ name: source, namespace }))
      if (isSourcePod(pod, migration)) return pod
      throw new CniError(
        CNI_CODE.TRY_AGAIN_LATER,
        `Cannot tell what a VM has where it runs: VirtualMachineInstanceMigration "${namespace}/${name}" names pod "${source}" that it comes from, expected the VM's pod on node "${migration.node}" in "status.migrationState.sourcePod"`,
      )
    })
  }
}

async function orNone(call: Promise<unknown>): Promise<unknown> {
  try {
    return await call
  } catch (error) {
    if (getStatus(error) === 404) return undefined
    throw error
  }
}
