// Whether a pod link is mute, by what tc says of what goes out through it.
import { DecodeError } from './errors.ts'

/** The keys we read of tc-filter(8)'s JSON. */
interface TcFilter {
  readonly pref?: number
  readonly options?: {
    readonly input_dev?: string
    readonly 'direct-action'?: boolean
    readonly bytecode?: {
      readonly insns?: readonly { readonly code?: number; readonly k?: number }[]
    }
  }
}

/** TC_ACT_SHOT of linux/pkt_cls.h, and "return" of classic BPF. */
const SHOT = 2
const RETURN = 6

/**
 * In words, what lets others speak on a pod link than the opener of its tap, or not even that one. json is
 * the output of `tc -j filter show dev … egress`. Throws DecodeError.
 */
export function findMuteFault(json: string, podLink: string, tap: string): string | undefined {
  const value: unknown = json.trim() === '' ? [] : JSON.parse(json)
  if (!Array.isArray(value)) throw new DecodeError('tc -j filter', value, 'a list of filters')
  const filters = value as readonly TcFilter[]
  if (!filters.some(isDrop))
    return `"${podLink}" is not mute, expected that only "${tap}" speaks there`
  const isLetThrough = filters.some(({ pref, options }) => pref === 1 && options?.input_dev === tap)
  return isLetThrough ? undefined : `"${podLink}" is mute to "${tap}", too`
}

function isDrop({ pref, options }: TcFilter): boolean {
  const { 'direct-action': isVerdict, bytecode } = options ?? {}
  const [first, ...more] = bytecode?.insns ?? []
  return (
    pref === 2 &&
    isVerdict === true &&
    first?.code === RETURN &&
    first.k === SHOT &&
    more.length === 0
  )
}
