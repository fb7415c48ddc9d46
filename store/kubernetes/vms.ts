// Shows a VM's guest its cable's carrier through the interface's "state" in the VirtualMachine, whose
// controller sets the link of the running guest. Only KubeVirt may change the VirtualMachineInstance itself
// (its admission answers "update of VMI object is restricted").
import { ApiException } from '@kubernetes/client-node'

import { isRecord } from '../../core/record.ts'
import { findOwningVm, planCarrier, type GuestRef } from '../../core/guest/carrier.ts'
import { listsPod } from '../../core/wire/holder.ts'
import type { CarrierShown } from '../../core/wire/wire.ts'
import type { KubeClient } from './client.ts'
import { explainApiError, getStatus, readMessage } from './errors.ts'

/** Writes to the VM only if it differs. Throws CniError 11 if a later try may succeed. */
export type ShowCarrier = (hasCarrier: boolean) => Promise<CarrierShown>
export type FindGuest = (guest: GuestRef) => ShowCarrier

const KIND = { group: 'kubevirt.io', version: 'v1' }
const VMS = { ...KIND, plural: 'virtualmachines' }
const INSTANCES = { ...KIND, plural: 'virtualmachineinstances' }
const FIELD_MANAGER = 'l2wire-agent'
/**
 * If one of our JSON patch tests fails, the status is the same as for a change that admission refuses. Both are
 * tried again.
 */
const TRIES = 5

interface VmRef {
  readonly name: string
  readonly uid: string
}

export function newGuestFinder({ custom, server }: KubeClient): FindGuest {
  const fetchObject = async (
    kind: typeof VMS,
    namespace: string,
    name: string,
  ): Promise<unknown> => {
    try {
      return await custom.getNamespacedCustomObject({ ...kind, namespace, name })
    } catch (error) {
      if (getStatus(error) === 404) return undefined
      throw error
    }
  }

  const show = async (
    { namespace, instance, podLink }: GuestRef,
    vm: VmRef,
    hasCarrier: boolean,
  ): Promise<CarrierShown> => {
    for (let attempt = 1; ; attempt += 1) {
      const object = await fetchObject(VMS, namespace, vm.name)
      const metadata = isRecord(object) ? object['metadata'] : undefined
      if (!isRecord(metadata) || metadata['uid'] !== vm.uid) return toOrphan(instance)
      const { patch, shown } = planCarrier(object, podLink, hasCarrier)
      if (patch.length === 0) return shown
      try {
        const place = { ...VMS, namespace, name: vm.name }
        const body = [...patch]
        await custom.patchNamespacedCustomObject({ ...place, body, fieldManager: FIELD_MANAGER })
        return shown
      } catch (error) {
        const mayBeConflict = [404, 409, 422].includes(getStatus(error) ?? 0)
        if (!mayBeConflict || attempt === TRIES) throw error
      }
    }
  }

  return (guest) => {
    const { namespace, instance, podUid } = guest
    const what = `show its carrier to the guest of VM "${namespace}/${instance}"`
    // An instance keeps its owner as long as it lives.
    let vm: VmRef | undefined
    return async (hasCarrier) => {
      try {
        if (vm === undefined) {
          const object = await fetchObject(INSTANCES, namespace, instance)
          // 0.3.0 recorded the owner that the pod itself named.
          if (object !== undefined && !listsPod(object, podUid)) return toStranger(instance)
          vm = findOwningVm(object)
        }
        return vm === undefined ? toOrphan(instance) : await show(guest, vm, hasCarrier)
      } catch (error) {
        const refusal = toRefusal(error)
        if (refusal === undefined) throw explainApiError(server, what, error)
        return refusal
      }
    }
  }
}

function toStranger(instance: string): CarrierShown {
  const message = `VirtualMachineInstance ${instance} does not have the pod in "status.activePods"`
  return { reason: 'Refused', message }
}

function toOrphan(instance: string): CarrierShown {
  const message = `no VirtualMachine owns VirtualMachineInstance ${instance}, and nobody may change that one itself`
  return { reason: 'NoVirtualMachine', message }
}

// Somebody must fix these. Anything else passes by itself.
function toRefusal(error: unknown): CarrierShown | undefined {
  if (!(error instanceof ApiException)) return undefined
  const message = readMessage(error)
  if (error.code === 403)
    return { reason: 'Forbidden', message: `${message}; expected deploy/components/carrier-vm` }
  return [400, 422].includes(error.code) ? { reason: 'Refused', message } : undefined
}
