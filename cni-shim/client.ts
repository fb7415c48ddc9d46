// Sends one request over the agent's unix socket and reads one answer. In between the agent may ask back, once.
// The client speaks only to root, and bounds the answer's bytes and time.
import { connect } from 'node:net'

import { CNI_CODE, CniError, DecodeError } from '../core/errors.ts'
import {
  decodeResponse,
  isIpamQuestion,
  LINE_BYTES_MAX,
  renderLine,
  type CniRequest,
  type CniResponse,
  type IpamAnswer,
} from '../core/cni/protocol.ts'
import { expectRootPath } from '../kernel/root-path.ts'
import { newDeadline } from './deadline.ts'
import { readPeerUser } from './peer.ts'

/** Below the 90 s after which runtimes abandon a plugin. An ADD takes milliseconds. */
const TIMEOUT_MS = 60_000

/** Answers the agent's question in the middle of an ADD. Must not throw. */
export type AnswerIpam = () => Promise<IpamAnswer>

export interface CallOptions {
  readonly answerIpam?: AnswerIpam
  /** The agent's total time. The time that answerIpam takes does not count. */
  readonly timeoutMs?: number
}

/**
 * Sends the request and returns the answer. Throws CniError 11 (50 for STATUS) if no agent of root's answers.
 */
export async function callAgent(
  socketPath: string,
  request: CniRequest,
  { answerIpam, timeoutMs = TIMEOUT_MS }: CallOptions = {},
): Promise<CniResponse> {
  const { command } = request.args
  try {
    expectRootPath(socketPath)
  } catch (cause) {
    throw toUnavailable(command, `the node agent is not reachable on "${socketPath}"`, cause)
  }
  return new Promise((resolve, reject) => {
    const socket = connect({ path: socketPath })
    let mayAsk = answerIpam
    let unread = ''
    let bytes = 0
    const fail = (what: string, cause?: unknown): void => {
      deadline.pause()
      socket.destroy()
      reject(toUnavailable(command, what, cause))
    }
    const deadline = newDeadline(timeoutMs, () => {
      fail(`the agent on "${socketPath}" did not answer within ${timeoutMs / 1000} s`)
    })
    const greet = async (): Promise<void> => {
      const user = await readPeerUser(socket)
      if (user === undefined || user === 0) socket.write(renderLine(request))
      else fail(`user ${user} listens on "${socketPath}", expected root`)
    }
    const takeLine = (line: string): void => {
      if (!isIpamQuestion(line)) {
        const response = decodeResponse(line)
        deadline.pause()
        socket.destroy()
        resolve(response)
        return
      }
      const answer = mayAsk
      mayAsk = undefined
      if (answer === undefined) {
        fail(
          `the agent on "${socketPath}" asks for an IPAM plugin that the configuration does not name`,
        )
        return
      }
      deadline.pause()
      void answer().then((said) => {
        deadline.goOn()
        socket.write(renderLine(said))
      })
    }
    socket.on('connect', () => void greet())
    socket.on('error', (cause) => {
      fail(`the node agent is not reachable on "${socketPath}"`, cause)
    })
    socket.setEncoding('utf8').on('data', (chunk: string) => {
      bytes += Buffer.byteLength(chunk)
      if (bytes > LINE_BYTES_MAX) {
        fail(`the agent on "${socketPath}" sent more than ${LINE_BYTES_MAX} bytes`)
        return
      }
      unread += chunk
      if (!unread.endsWith('\n')) return
      const line = unread
      unread = ''
      try {
        takeLine(line)
      } catch (cause) {
        if (!(cause instanceof DecodeError)) throw cause
        fail(`the agent on "${socketPath}" sent an invalid answer`, cause)
      }
    })
    // After the answer this has no effect.
    socket.on('end', () => fail(`the node agent on "${socketPath}" went away before it answered`))
  })
}

// CNI spec: 11 asks the runtime to try again later, 50 means "not available" for STATUS.
function toUnavailable(command: string, what: string, cause?: unknown): CniError {
  const code = command === 'STATUS' ? CNI_CODE.NOT_AVAILABLE : CNI_CODE.TRY_AGAIN_LATER
  return new CniError(code, `Cannot run ${command}: ${what}`, { cause })
}
