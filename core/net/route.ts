// A route through an interface, as CNI and the kernel have it.
import { each, number, object, optional, text } from '../shape.ts'

export interface NicRoute {
  /** "10.1.0.0/16". */
  readonly dst: string
  readonly gw?: string
  readonly mtu?: number
  readonly advmss?: number
  /** The kernel's metric: lower wins. */
  readonly priority?: number
  readonly table?: number
  /** 0 global, 253 link, 254 host. */
  readonly scope?: number
}

/** As documents have it. Throws DecodeError. */
export const decodeRoute = object<NicRoute>({
  dst: text,
  gw: optional(text),
  ...each(optional(number), 'mtu', 'advmss', 'priority', 'table', 'scope'),
})
