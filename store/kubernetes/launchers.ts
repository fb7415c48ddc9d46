// A launcher pod and its VirtualMachineInstance as they are, read once.
import { ApiException } from '@kubernetes/client-node'

import { CNI_CODE, CniError } from '../../core/errors.ts'
import { toPodOwner, type ObjectRef } from '../../core/holder.ts'
import type { Launcher } from '../../core/launcher.ts'
import { isRecord } from '../../core/record.ts'
import type { KubeClient } from './client.ts'
import { callApi, getStatus, readMessage } from './errors.ts'

const INSTANCES = { group: 'kubevirt.io', version: 'v1', plural: 'virtualmachineinstances' }

/** The refusal is the API's word for a VMI that nobody may read. Throws CniError 11, 109 or 112. */
export type ReadLauncher = (
  namespace: string,
  name: string,
) => Promise<Launcher & { readonly refusal?: string }>

export function newLauncherReader({ core, custom, server }: KubeClient): ReadLauncher {
  const readPod = async (namespace: string, name: string): Promise<unknown> => {
    try {
      return await core.readNamespacedPod({ name, namespace })
    } catch (error) {
      if (getStatus(error) === 404) throw toGone('pod', namespace, name)
      throw error
    }
  }
  const readVmi = async ({
    namespace,
    name,
    uid,
  }: ObjectRef): Promise<{ vmi: unknown; refusal?: string }> => {
    try {
      const vmi: unknown = await custom.getNamespacedCustomObject({ ...INSTANCES, namespace, name })
      // The next one of that name is another launcher's.
      if (getUid(vmi) === uid) return { vmi }
    } catch (error) {
      if (!(error instanceof ApiException)) throw error
      if (error.code === 403) return { vmi: undefined, refusal: readMessage(error) }
      if (error.code !== 404) throw error
      // An object that is gone is named; of a kind that is not there nothing is said.
      if (!isNamed(error)) return { vmi: undefined }
    }
    throw toGone('VirtualMachineInstance', namespace, name)
  }
  return async (namespace, name) => {
    const pod = await callApi(server, `read pod "${namespace}/${name}"`, async () =>
      readPod(namespace, name),
    )
    const instance = toPodOwner(pod)?.subjects.find(({ kind }) => kind === 'VirtualMachineInstance')
    if (instance === undefined) return { pod, vmi: undefined }
    const what = `read VirtualMachineInstance "${namespace}/${instance.name}"`
    return { pod, ...(await callApi(server, what, async () => readVmi(instance))) }
  }
}

function getUid(object: unknown): unknown {
  const metadata = isRecord(object) ? object['metadata'] : undefined
  return isRecord(metadata) ? metadata['uid'] : undefined
}

function isNamed(error: ApiException<unknown>): boolean {
  return readMessage(error).includes(`${INSTANCES.plural}.${INSTANCES.group} "`)
}

function toGone(kind: string, namespace: string, name: string): CniError {
  return new CniError(
    CNI_CODE.LAUNCHER_GONE,
    `Cannot attach a NIC: ${kind} "${namespace}/${name}" is gone, expected a launcher that is to stay`,
  )
}
