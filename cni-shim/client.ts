// One question, one answer, over the agent's unix socket.
import { connect } from 'node:net'

import { CNI_CODE, CniError, DecodeError } from '../core/errors.ts'
import { decodeResponse, type CniRequest, type CniResponse } from '../core/protocol.ts'

/** Below the 90 s after which runtimes give a plugin up; an ADD takes milliseconds. */
const TIMEOUT_MS = 60_000

/** Sends the request and returns the answer. Throws CniError 11 (50 for STATUS) without a live agent. */
export async function callAgent(socketPath: string, request: CniRequest): Promise<CniResponse> {
  const line = await exchangeLine(socketPath, `${JSON.stringify(request)}\n`, request.args.command)
  try {
    return decodeResponse(line)
  } catch (cause) {
    if (!(cause instanceof DecodeError)) throw cause
    throw toUnavailable(
      request.args.command,
      `the agent on "${socketPath}" answered wrongly`,
      cause,
    )
  }
}

async function exchangeLine(
  socketPath: string,
  question: string,
  command: string,
): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect({ path: socketPath })
    const chunks: Buffer[] = []
    const fail = (what: string, cause?: unknown): void => {
      socket.destroy()
      reject(toUnavailable(command, what, cause))
    }
    socket.setTimeout(TIMEOUT_MS, () => {
      fail(`the agent on "${socketPath}" did not answer within ${TIMEOUT_MS / 1000} s`)
    })
    socket.on('connect', () => socket.write(question))
    socket.on('error', (cause) => {
      fail(`the node agent is not reachable on "${socketPath}"`, cause)
    })
    socket.on('data', (chunk: Buffer) => chunks.push(chunk))
    socket.on('end', () => {
      const answer = Buffer.concat(chunks).toString('utf8')
      if (answer.endsWith('\n')) resolve(answer)
      else fail(`the node agent on "${socketPath}" went away before it answered`)
    })
  })
}

// CNI spec: 11 asks the runtime to try again later, 50 is STATUS' own "not available".
function toUnavailable(command: string, what: string, cause?: unknown): CniError {
  const code = command === 'STATUS' ? CNI_CODE.NOT_AVAILABLE : CNI_CODE.TRY_AGAIN_LATER
  return new CniError(code, `Cannot run ${command}: ${what}`, { cause })
}
