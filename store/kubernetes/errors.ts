// Translates the API server's answer: try again later, or a refusal that somebody must fix.
import { ApiException } from '@kubernetes/client-node'

import { isRecord } from '../../core/record.ts'
import { CNI_CODE, CniError } from '../../core/errors.ts'

/** The HTTP status of a failed call; undefined if there was no answer at all. */
export function getStatus(error: unknown): number | undefined {
  return error instanceof ApiException ? error.code : undefined
}

/** Runs a call. A failure becomes a CniError that names the attempt and the server. */
export async function callApi<T>(server: string, what: string, call: () => Promise<T>): Promise<T> {
  try {
    return await call()
  } catch (error) {
    throw explainApiError(server, what, error)
  }
}

export function explainApiError(server: string, what: string, error: unknown): unknown {
  if (error instanceof CniError) return error
  const status = getStatus(error)
  const cause = error instanceof ApiException ? new Error(readMessage(error)) : error
  const refusal = status === undefined ? undefined : REFUSALS[status]
  if (refusal !== undefined)
    return new CniError(
      CNI_CODE.STORE_REFUSED,
      `Cannot ${what}: the Kubernetes API at ${server} ${refusal}`,
      { cause },
    )
  const answer = status === undefined ? 'gave no answer' : `answered ${status}`
  return new CniError(
    CNI_CODE.TRY_AGAIN_LATER,
    `Cannot ${what}: the Kubernetes API at ${server} ${answer}`,
    { cause },
  )
}

const REFUSALS: Readonly<Record<number, string>> = {
  400: 'finds it invalid',
  403: 'forbids it, expected the permissions of deploy/base',
  404: 'does not know it, expected the namespace and the kinds of l2wire.dev',
  422: 'finds it invalid',
}

/** The API's own message. The body of a refusal is a Status object, as text. */
export function readMessage(error: ApiException<unknown>): string {
  const body: unknown = typeof error.body === 'string' ? parse(error.body) : error.body
  if (isRecord(body) && typeof body['message'] === 'string') return body['message']
  return typeof body === 'string' && body !== '' ? body.trim() : error.message
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return text
  }
}
