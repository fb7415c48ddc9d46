// How many vCPUs a VMI asks for, counted as KubeVirt does, because a multi-queue NIC gets one
// queue per vCPU (pkg/virt-launcher/virtwrap/converter/vcpu/vcpu.go, v1.9.0).
import { DecodeError } from '../errors.ts'
import type { Field } from './field.ts'
import { asCount, asString, at } from './field.ts'

const MAX_UINT32 = 0xffff_ffff

/** sockets x cores x threads; without any of them, the CPU limit or else the request, rounded up. */
export function decodeVcpus(domain: Field): number {
  const cpu = at(domain, 'cpu')
  const sockets = asCount(at(cpu, 'sockets'), MAX_UINT32)
  const cores = asCount(at(cpu, 'cores'), MAX_UINT32)
  const threads = asCount(at(cpu, 'threads'), MAX_UINT32)
  if (sockets !== undefined || cores !== undefined || threads !== undefined) {
    return (sockets ?? 1) * (cores ?? 1) * (threads ?? 1)
  }
  return (
    decodeQuantity(at(domain, 'resources', 'limits', 'cpu')) ??
    decodeQuantity(at(domain, 'resources', 'requests', 'cpu')) ??
    1
  )
}

const SUFFIXES: Readonly<Record<string, number>> = {
  n: 1e-9,
  u: 1e-6,
  m: 1e-3,
  '': 1,
  k: 1e3,
  M: 1e6,
  G: 1e9,
  Ki: 2 ** 10,
  Mi: 2 ** 20,
  Gi: 2 ** 30,
}

/** A Kubernetes quantity rounded up to a whole number: "1500m" is 2. */
function decodeQuantity(field: Field): number | undefined {
  // Hand-written JSON may have a number where Go would write a string.
  const text = typeof field.value === 'number' ? String(field.value) : asString(field)
  if (text === undefined) return undefined
  const match = /^\+?(\d+\.?\d*|\.\d+)(?:[eE]([+-]?\d+)|(\w*))$/.exec(text)
  const [, digits, exponent = '0', suffix = ''] = match ?? []
  const scale = SUFFIXES[suffix]
  if (digits === undefined || scale === undefined) {
    throw new DecodeError(field.path, field.value, 'a quantity of CPUs such as "2" or "1500m"')
  }
  // 0.1 + 0.2: binary rounding must not push a whole decimal up to the next number.
  return Math.ceil(Number((Number(digits) * scale * 10 ** Number(exponent)).toPrecision(12)))
}
