// Reads a launcher pod and its VirtualMachineInstance once.
import { CNI_CODE, CniError } from '../../core/errors.ts'
import type { Launcher } from '../../core/attach/launcher.ts'
import type { KubeClient } from './client.ts'
import { callApi, getStatus, readMessage } from './errors.ts'
import { isForbidden, newOwnerReader } from './owners.ts'

const KIND = 'VirtualMachineInstance'

/** refusal is the API's message if the agent may not read VMIs. Throws CniError 11, 109 or 112. */
export type ReadLauncher = (
  namespace: string,
  name: string,
) => Promise<Launcher & { readonly refusal?: string }>

export function newLauncherReader(client: KubeClient): ReadLauncher {
  const { core, server } = client
  const readOwner = newOwnerReader(client)
  const readPod = async (namespace: string, name: string): Promise<unknown> => {
    try {
      return await core.readNamespacedPod({ name, namespace })
    } catch (error) {
      if (getStatus(error) === 404) throw toGone('pod', namespace, name)
      throw error
    }
  }
  return async (namespace, name) => {
    const pod = await callApi(server, `read pod "${namespace}/${name}"`, async () =>
      readPod(namespace, name),
    )
    const what = `read the ${KIND} of pod "${namespace}/${name}"`
    return callApi(server, what, async () => {
      try {
        const owner = await readOwner(pod, [KIND])
        if (owner?.isGone === true) throw toGone(KIND, namespace, owner.claim.name)
        return { pod, vmi: owner?.object }
      } catch (error) {
        if (isForbidden(error)) return { pod, vmi: undefined, refusal: readMessage(error) }
        throw error
      }
    })
  }
}

function toGone(kind: string, namespace: string, name: string): CniError {
  return new CniError(
    CNI_CODE.LAUNCHER_GONE,
    `Cannot attach a NIC: ${kind} "${namespace}/${name}" is gone, expected a launcher that is to stay`,
  )
}
