// The queues that a NIC runs with. It keeps them wherever it migrates to, whatever vCPUs were plugged in meanwhile;
// KubeVirt goes by the same field for its own taps (pkg/network/setup/netpod, calcQueuesCapByIface, v1.9.0).
import type { Field } from './field.ts'
import { asArray, asCount, asString, at } from './field.ts'

const MAX_INT32 = 0x7fff_ffff

/** Undefined for a NIC that does not run yet. */
export function findRunningQueues(vmi: Field, name: string): number | undefined {
  const status = asArray(at(vmi, 'status', 'interfaces')).find(
    (one) =>
      asString(at(one, 'name')) === name &&
      asString(at(one, 'infoSource'))?.split(', ').includes('domain') === true,
  )
  return status === undefined ? undefined : asCount(at(status, 'queueCount'), MAX_INT32)
}
