// A filter of tc as far as it matters to us: which of our steps makes it, and what tc says is there.
import type { Classifier } from './argv.ts'
import { MATCH_ALL_PROGRAM, DROP_PROGRAM, PLACE } from './filter-place.ts'
import { renderProgram } from './frame-match.ts'
import type { Hook, Step } from './step.ts'
import { parseToolList } from '../observe/tool-json.ts'

export interface Filter {
  /** "pref": the kernel has filters of one kind and one protocol at each. */
  readonly place: number
  readonly protocol: string
  readonly kind: string
  /** Empty: not a filter, but what the kernel keeps filters of this place in. */
  readonly handle: string
  /** What it matches and what becomes of that: to compare with, not to read. */
  readonly does: string
}

/** Whether it is the filter that a step would make: "803::1" for "::1", of whichever table of u32. */
export function isSameFilter(one: Filter, made: Pick<Filter, 'place' | 'handle'>): boolean {
  if (one.place !== made.place) return false
  return made.handle.startsWith('::')
    ? one.handle.endsWith(made.handle)
    : one.handle === made.handle
}

/** Where a filter is. */
export interface FilterPlace {
  readonly dev: string
  readonly hook: Hook
}

/** The filter that a step makes; undefined for a step that makes none. */
export function toFilter(
  step: Step,
  classifier: Classifier,
): (FilterPlace & { readonly filter: Filter }) | undefined {
  const { op } = step
  if (op !== 'add-redirect' && op !== 'steer' && op !== 'drop-egress' && op !== 'let-through')
    return undefined
  const hook = op === 'steer' ? step.hook : op === 'add-redirect' ? step.hook : 'egress'
  return { dev: step.dev, hook: hook ?? 'ingress', filter: describe(step, classifier) }
}

type FilterStep = Extract<Step, { op: 'add-redirect' | 'steer' | 'drop-egress' | 'let-through' }>

function describe(step: FilterStep, classifier: Classifier): Filter {
  switch (step.op) {
    case 'add-redirect': {
      const { target, into = 'egress', isBehindSteering } = step
      return {
        place: isBehindSteering ? PLACE.behindSteering : PLACE.first,
        protocol: 'all',
        kind: classifier,
        handle: classifier === 'u32' ? '800::1' : '1',
        does: `${MATCHES_ALL[classifier]} redirect ${into} ${target} stolen`,
      }
    }
    case 'steer': {
      const { place, frames, target, into, isCopied } = step
      const mirred = isCopied
        ? `mirror ${into} ${target} continue`
        : `redirect ${into} ${target} stolen`
      const does = `${renderProgram(frames)} ${mirred}`
      return { place, protocol: frames.protocol, kind: 'bpf', handle: '1', does }
    }
    case 'drop-egress': {
      const { place = PLACE.dropEgress } = step
      return { place, protocol: 'all', kind: 'bpf', handle: '1', does: `verdict ${DROP_PROGRAM}` }
    }
    case 'let-through': {
      const does = `${MATCHES_ALL.u32} of ${step.source} to 1:1`
      return { place: PLACE.first, protocol: 'all', kind: 'u32', handle: '::1', does }
    }
  }
}

const MATCHES_ALL: Readonly<Record<Classifier, string>> = {
  matchall: 'all',
  bpf: MATCH_ALL_PROGRAM,
  u32: '0/0',
}

/** The keys we read of tc-filter(8)'s JSON. */
interface TcFilter {
  readonly protocol?: string
  readonly pref?: number
  readonly kind?: string
  readonly chain?: number
  readonly options?: TcOptions
}

interface TcOptions {
  readonly handle?: string | number
  /** u32's handle; a table of its filters has one that ends in a colon. */
  readonly fh?: string
  readonly match?: { readonly value?: string; readonly mask?: string }
  readonly input_dev?: string
  readonly flowid?: string
  readonly 'direct-action'?: boolean
  readonly bytecode?: { readonly insns?: readonly Instruction[] }
  readonly actions?: readonly TcAction[]
}

interface Instruction {
  readonly code?: number
  readonly jt?: number
  readonly jf?: number
  readonly k?: number
}

interface TcAction {
  readonly kind?: string
  readonly mirred_action?: string
  readonly direction?: string
  /** "*" for a device that is gone. */
  readonly to_dev?: string
  readonly control_action?: { readonly type?: string }
}

/** The output of `tc -j filter show dev … ingress`, or egress. Throws DecodeError. */
export function parseFilters(json: string): readonly Filter[] {
  return (parseToolList(json, 'tc -j filter') as readonly TcFilter[])
    .filter(({ chain = 0 }) => chain === 0)
    .map(({ protocol = '', pref = 0, kind = '', options = {} }) => ({
      place: pref,
      protocol,
      kind,
      handle: readHandle(options),
      does: renderDeed(kind, options),
    }))
}

/** Where filters send what they match, in their order; "*" is a device that is gone. */
export function parseTargets(filters: readonly Filter[]): readonly string[] {
  return filters.flatMap(({ does }) =>
    [...does.matchAll(/(?:redirect|mirror) \w+ (\S+)/g)].map(([, target = '']) => target),
  )
}

// bpf's is said in hex, "0x1".
function readHandle({ handle, fh }: TcOptions): string {
  if (fh !== undefined) return fh.endsWith(':') ? '' : fh
  return handle === undefined ? '' : String(Number(handle))
}

function renderDeed(kind: string, options: TcOptions): string {
  const { match, input_dev: source, flowid, bytecode, actions = [] } = options
  const words = actions.map(({ kind: action, mirred_action: how, direction, ...rest }) =>
    action === 'mirred'
      ? `${how} ${direction} ${rest.to_dev} ${rest.control_action?.type}`
      : String(action),
  )
  return [
    ...(options['direct-action'] ? ['verdict'] : []),
    ...(kind === 'matchall' ? ['all'] : []),
    ...(match === undefined ? [] : [`${match.value}/${match.mask}`]),
    ...(source === undefined ? [] : [`of ${source}`]),
    ...(flowid === undefined ? [] : [`to ${flowid}`]),
    ...(bytecode === undefined ? [] : [renderInstructions(bytecode.insns ?? [])]),
    ...words,
  ].join(' ')
}

function renderInstructions(instructions: readonly Instruction[]): string {
  const lines = instructions.map(({ code, jt, jf, k }) => `${code} ${jt} ${jf} ${k}`)
  return [`${lines.length}`, ...lines, ''].join(',')
}
