// What a running NIC has. It keeps its queues and its MAC wherever it migrates, whatever vCPUs were plugged in
// meanwhile and whatever MAC its new pod link has. KubeVirt uses the same fields for its own taps
// (pkg/network/setup/netpod, calcQueuesCapByIface, v1.9.0). A VM that was stopped starts with an empty status.
import { decodeMac } from './address.ts'
import type { Field } from './field.ts'
import { asArray, asCount, asString, at } from './field.ts'

const MAX_INT32 = 0x7fff_ffff

export interface RunningNic {
  readonly queues: number | undefined
  readonly mac: string | undefined
}

/** Looks up the queues of running NICs by name; undefined for a NIC that does not run yet. */
export function indexRunningQueues(vmi: Field): (name: string) => number | undefined {
  const running = indexRunning(vmi)
  return (name) => {
    const status = running.get(name)
    return status === undefined ? undefined : toQueues(status)
  }
}

/** Undefined for a NIC that does not run yet. */
export function findRunningNic(vmi: Field, name: string): RunningNic | undefined {
  const status = indexRunning(vmi).get(name)
  if (status === undefined) return undefined
  const mac = at(status, 'mac')
  return {
    queues: toQueues(status),
    mac: asString(mac) === undefined ? undefined : decodeMac(mac.value, mac.path),
  }
}

function indexRunning(vmi: Field): ReadonlyMap<string, Field> {
  const running = new Map<string, Field>()
  for (const one of asArray(at(vmi, 'status', 'interfaces'))) {
    const name = asString(at(one, 'name'))
    const isRunning = asString(at(one, 'infoSource'))?.split(', ').includes('domain') === true
    if (name !== undefined && isRunning && !running.has(name)) running.set(name, one)
  }
  return running
}

function toQueues(status: Field): number | undefined {
  return asCount(at(status, 'queueCount'), MAX_INT32)
}
