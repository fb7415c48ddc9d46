// The one table from errors to the gRPC status that virt-launcher gets.
import { status } from '@grpc/grpc-js'

import { DecodeError, LinkMissingError, LinkUnfitError } from '../core/errors.ts'

const CODES = [
  // virt-launcher sent something that is no domain or no VMI.
  [DecodeError, status.INVALID_ARGUMENT],
  // The call is valid, but the pod is not ready for it.
  [LinkMissingError, status.FAILED_PRECONDITION],
  [LinkUnfitError, status.FAILED_PRECONDITION],
] as const

/** gRPC carries the sentence in a header, so it must stay one short line. */
const MAX_DETAILS = 600

export interface CallStatus {
  readonly code: status
  readonly details: string
}

/** Code and sentence for anything thrown. Never a stack trace. */
export function toStatus(error: unknown): CallStatus {
  const message = error instanceof Error ? error.message : String(error)
  const code = CODES.find(([kind]) => error instanceof kind)?.[1]
  const details = code === undefined ? `Internal error: ${message}` : message
  return { code: code ?? status.INTERNAL, details: toOneLine(details) }
}

function toOneLine(text: string): string {
  const line = text.replaceAll(/\s+/g, ' ')
  return line.length > MAX_DETAILS ? `${line.slice(0, MAX_DETAILS - 3)}...` : line
}
