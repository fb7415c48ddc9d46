// The queues that a NIC runs with. It keeps them wherever it migrates to, whatever vCPUs were plugged in meanwhile;
// KubeVirt goes by the same field for its own taps (pkg/network/setup/netpod, calcQueuesCapByIface, v1.9.0).
import type { Field } from './field.ts'
import { asArray, asCount, asString, at } from './field.ts'

const MAX_INT32 = 0x7fff_ffff

/** The NICs that run, to be asked by name for their queues; undefined for one that does not run yet. */
export function indexRunningQueues(vmi: Field): (name: string) => number | undefined {
  const running = new Map<string, Field>()
  for (const one of asArray(at(vmi, 'status', 'interfaces'))) {
    const name = asString(at(one, 'name'))
    const isRunning = asString(at(one, 'infoSource'))?.split(', ').includes('domain') === true
    if (name !== undefined && isRunning && !running.has(name)) running.set(name, one)
  }
  return (name) => {
    const status = running.get(name)
    return status === undefined ? undefined : asCount(at(status, 'queueCount'), MAX_INT32)
  }
}

/** Undefined for a NIC that does not run yet. */
export function findRunningQueues(vmi: Field, name: string): number | undefined {
  return indexRunningQueues(vmi)(name)
}
