// Every error the project throws on purpose. Anything else that is thrown is a bug and reaches the
// top of its process untouched. One place per process turns these into its protocol.

import { toPrintableJson } from './printable.ts'

/** The CNI spec's error codes (SPEC.md, "Error"), and ours from 100 on. docs/errors.md explains each. */
export const CNI_CODE = {
  INCOMPATIBLE_VERSION: 1,
  UNSUPPORTED_FIELD: 2,
  UNKNOWN_CONTAINER: 3,
  INVALID_ENVIRONMENT: 4,
  IO_FAILURE: 5,
  DECODING_FAILURE: 6,
  INVALID_CONFIG: 7,
  TRY_AGAIN_LATER: 11,
  NOT_AVAILABLE: 50,
  KERNEL_REFUSED: 100,
  WIRE_FULL: 101,
  IFNAME_TAKEN: 102,
  LINK_MISSING: 104,
  CHECK_FAILED: 105,
  NO_UNDERLAY: 106,
  VNI_EXHAUSTED: 107,
  VNI_TAKEN: 108,
  STORE_REFUSED: 109,
  IPAM_FAILED: 110,
  LAUNCHER_GONE: 112,
  DEVICE_MISSING: 113,
  ADDRESS_CHANGED: 114,
  INTERNAL: 199,
} as const

/** Input from outside that is not what its contract says: the path in it, what it is, what it should be. */
export class DecodeError extends TypeError {
  override readonly name = 'DecodeError'
  readonly path: string

  constructor(path: string, value: unknown, expected: string, options?: ErrorOptions) {
    super(`Cannot decode "${path}": it is ${renderValue(value)}, expected ${expected}`, options)
    this.path = path
  }
}

/** A child process that did not do what it was asked: everything it said is kept. */
export class CommandError extends Error {
  override readonly name = 'CommandError'
  readonly argv: readonly string[]
  /** Undefined when the process did not start or was ended by a signal. */
  readonly exitCode: number | undefined
  readonly signal: string | undefined
  readonly stderr: string

  constructor(
    argv: readonly string[],
    facts: { exitCode?: number | undefined; signal?: string | undefined; stderr: string },
    options?: ErrorOptions,
  ) {
    const how =
      facts.exitCode === undefined
        ? `signal ${facts.signal ?? 'unknown'}`
        : `exit code ${facts.exitCode}`
    const said = facts.stderr.trim()
    super(`Cannot run "${argv.join(' ')}": ${how}${said === '' ? '' : `: ${said}`}`, options)
    this.argv = argv
    this.exitCode = facts.exitCode
    this.signal = facts.signal
    this.stderr = facts.stderr
  }
}

/** An answer in the CNI protocol's own terms. */
export class CniError extends Error {
  override readonly name = 'CniError'
  /** One of CNI_CODE, or what a plugin we asked has said. */
  readonly code: number
  readonly details: string | undefined

  constructor(code: number, message: string, options?: ErrorOptions & { details?: string }) {
    super(message, options)
    this.code = code
    this.details = options?.details
  }
}

/** The machine lacks something we need: what, and where it would come from. */
export class NotSupportedError extends Error {
  override readonly name = 'NotSupportedError'
}

/** A network device that somebody else was to make is not there: which, and who makes it. */
export class LinkMissingError extends Error {
  override readonly name = 'LinkMissingError'
}

/** A network device that is there and was made for something else: which, and what would fit. */
export class LinkUnfitError extends Error {
  override readonly name = 'LinkUnfitError'
}

/** A value as it may stand in a one-line message: quoted, escaped, and cut when long. */
export function renderValue(value: unknown): string {
  if (value === undefined) return 'missing'
  const text = toPrintableJson(renderJson(value))
  return text.length > 120 ? `${text.slice(0, 117)}...` : text
}

function renderJson(value: unknown): string {
  try {
    return JSON.stringify(value)
  } catch {
    // Nested deeper than the stack: the path has to do.
    return `${typeof value} that has no JSON`
  }
}

/** The message of anything thrown, with the messages of its causes behind it. */
export function renderCauses(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  // What went wrong first, and what then went wrong with the clearing up; its own message names neither.
  if (error instanceof SuppressedError) {
    const [first, then] = [renderCauses(error.suppressed), renderCauses(error.error)]
    return first === then ? first : `${first}; and behind it: ${then}`
  }
  return error.cause === undefined
    ? error.message
    : `${error.message}: ${renderCauses(error.cause)}`
}
