// The owner that a pod names, as the API has it: a VirtualMachineInstance that lists the pod, or a ReplicaSet.
// The pod's author wrote the name; the result is what really exists.
import { setTimeout as sleep } from 'node:timers/promises'

import { ApiException } from '@kubernetes/client-node'

import { CNI_CODE, CniError } from '../../core/errors.ts'
import {
  findOwnerClaim,
  isClaimed,
  listsPod,
  toPodOwner,
  type OwnerClaim,
} from '../../core/wire/holder.ts'
import type { KubeClient } from './client.ts'
import { getStatus, readMessage } from './errors.ts'

const KINDS = {
  VirtualMachineInstance: {
    group: 'kubevirt.io',
    version: 'v1',
    plural: 'virtualmachineinstances',
  },
  ReplicaSet: { group: 'apps', version: 'v1', plural: 'replicasets' },
}
/**
 * KubeVirt records a launcher in the status once it learns of it, mostly before the node does (lifecycle.go,
 * setActivePods). The same goes for a migration's target.
 */
const NOTED_MS = 3_000
const AGAIN_MS = 250

export interface FoundOwner {
  readonly claim: OwnerClaim
  /** Undefined if the owner is gone, or its kind is not installed. */
  readonly object: unknown
  /** Whether the kind is installed and this object is gone, or another object has its name. */
  readonly isGone: boolean
}

/** Undefined for a pod that names no owner of these kinds. Throws ApiException, and CniError 11. */
export type ReadOwner = (pod: unknown, kinds: readonly string[]) => Promise<FoundOwner | undefined>

export function newOwnerReader({ custom }: KubeClient): ReadOwner {
  const fetch = async (namespace: string, claim: OwnerClaim): Promise<FoundOwner> => {
    const kind = KINDS[claim.kind]
    try {
      const object: unknown = await custom.getNamespacedCustomObject({
        ...kind,
        namespace,
        name: claim.name,
      })
      // The next one of that name belongs to another pod.
      const isGone = !isClaimed(object, claim)
      return { claim, object: isGone ? undefined : object, isGone }
    } catch (error) {
      if (!(error instanceof ApiException) || error.code !== 404) throw error
      // Reports an object that is gone. Reports nothing if its kind is not installed.
      const isGone = readMessage(error).includes(`${kind.plural}.${kind.group} "`)
      return { claim, object: undefined, isGone }
    }
  }
  return async (pod, kinds) => {
    const claim = findOwnerClaim(pod)
    const self = toPodOwner(pod)?.subjects[0]
    if (claim === undefined || self === undefined || !kinds.includes(claim.kind)) return undefined
    const { namespace } = self
    const deadline = performance.now() + NOTED_MS
    for (;;) {
      const found = await fetch(namespace, claim)
      if (claim.kind !== 'VirtualMachineInstance' || found.object === undefined) return found
      if (listsPod(found.object, self.uid)) return found
      if (performance.now() > deadline)
        throw new CniError(
          CNI_CODE.TRY_AGAIN_LATER,
          `Cannot tell whose pod "${namespace}/${self.name}" is: VirtualMachineInstance "${namespace}/${claim.name}" does not have it in "status.activePods", expected KubeVirt to note its launchers there`,
        )
      await sleep(AGAIN_MS)
    }
  }
}

export function isForbidden(error: unknown): error is ApiException<unknown> {
  return error instanceof ApiException && getStatus(error) === 403
}
