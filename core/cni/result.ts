// What a plugin prints: a result per spec version, or an error. CNI SPEC.md, "Section 5: Result Types".
import type { CniError } from '../errors.ts'
import { renderCauses } from '../errors.ts'
import type { CniVersion } from './version.ts'

export interface CniInterface {
  readonly name: string
  readonly mac: string
  readonly mtuBytes: number
  /** Path of the network namespace it is in. */
  readonly sandbox: string
}

type Json = Readonly<Record<string, unknown>>

/** The ADD result: what an earlier plugin of the chain made, passed on, and our pod end. */
export function toAddResult(
  version: CniVersion,
  added: readonly CniInterface[],
  prevResult: Json | undefined,
): Json {
  const earlier = prevResult?.['interfaces']
  const interfaces = [
    ...(Array.isArray(earlier) ? (earlier as unknown[]) : []),
    ...added.map(({ name, mac, mtuBytes, sandbox }) =>
      // "mtu" came with 1.1.0.
      version === '1.1.0' ? { name, mac, mtu: mtuBytes, sandbox } : { name, mac, sandbox },
    ),
  ]
  return { ...prevResult, cniVersion: version, ...(interfaces.length > 0 ? { interfaces } : {}) }
}

export function toErrorResult(version: string, error: CniError): Json {
  const details =
    error.details ?? (error.cause === undefined ? undefined : renderCauses(error.cause))
  return {
    cniVersion: version,
    code: error.code,
    msg: error.message,
    ...(details === undefined || details === error.message ? {} : { details }),
  }
}
