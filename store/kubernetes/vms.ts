// Telling a VM's guest about its cable: the interface's "state" in the VirtualMachine, whose controller
// sets the link of the running guest. The VirtualMachineInstance itself is closed to everybody but
// KubeVirt (its admission says "update of VMI object is restricted").
import { ApiException } from '@kubernetes/client-node'

import { isRecord } from '../../core/record.ts'
import { findOwningVm, planCarrier, type GuestRef } from '../../core/guest-carrier.ts'
import type { CarrierShown } from '../../core/wire.ts'
import type { KubeClient } from './client.ts'
import { explainApiError, getStatus, readMessage } from './errors.ts'

/** Writes to the VM only what it does not say yet. Throws CniError 11 for what may go better later. */
export type ShowCarrier = (hasCarrier: boolean) => Promise<CarrierShown>
export type FindGuest = (guest: GuestRef) => ShowCarrier

const KIND = { group: 'kubevirt.io', version: 'v1' }
const VMS = { ...KIND, plural: 'virtualmachines' }
const INSTANCES = { ...KIND, plural: 'virtualmachineinstances' }
const FIELD_MANAGER = 'l2wire-agent'
/** A test of ours that failed has the status of a change that admission refuses: both are tried again. */
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
    const { namespace, instance } = guest
    const what = `show its carrier to the guest of VM "${namespace}/${instance}"`
    // An instance keeps its owner as long as it lives.
    let vm: VmRef | undefined
    return async (hasCarrier) => {
      try {
        vm ??= findOwningVm(await fetchObject(INSTANCES, namespace, instance))
        return vm === undefined ? toOrphan(instance) : await show(guest, vm, hasCarrier)
      } catch (error) {
        const refusal = toRefusal(error)
        if (refusal === undefined) throw explainApiError(server, what, error)
        return refusal
      }
    }
  }
}

function toOrphan(instance: string): CarrierShown {
  const message = `no VirtualMachine owns VirtualMachineInstance ${instance}, and nobody may change that one itself`
  return { reason: 'NoVirtualMachine', message }
}

// What somebody must mend; anything else passes by itself.
function toRefusal(error: unknown): CarrierShown | undefined {
  if (!(error instanceof ApiException)) return undefined
  const message = readMessage(error)
  if (error.code === 403)
    return { reason: 'Forbidden', message: `${message}; expected deploy/components/carrier-vm` }
  return [400, 422].includes(error.code) ? { reason: 'Refused', message } : undefined
}
