// One request, one answer, over the agent's unix socket; in between the agent may ask back.
import { connect } from 'node:net'

import { CNI_CODE, CniError, DecodeError } from '../core/errors.ts'
import {
  decodeResponse,
  isIpamQuestion,
  type CniRequest,
  type CniResponse,
  type IpamAnswer,
} from '../core/protocol.ts'

/** Below the 90 s after which runtimes give a plugin up; an ADD takes milliseconds. */
const TIMEOUT_MS = 60_000

/** What the agent asks for in the middle of an ADD. Must not throw. */
export type AnswerIpam = () => Promise<IpamAnswer>

export interface CallOptions {
  readonly answerIpam?: AnswerIpam
  /** How long the agent may say nothing. */
  readonly timeoutMs?: number
}

/** Sends the request and returns the answer. Throws CniError 11 (50 for STATUS) without a live agent. */
export async function callAgent(
  socketPath: string,
  request: CniRequest,
  { answerIpam, timeoutMs = TIMEOUT_MS }: CallOptions = {},
): Promise<CniResponse> {
  const { command } = request.args
  return new Promise((resolve, reject) => {
    const socket = connect({ path: socketPath })
    let text = ''
    const fail = (what: string, cause?: unknown): void => {
      socket.destroy()
      reject(toUnavailable(command, what, cause))
    }
    const takeLine = (line: string): void => {
      if (!isIpamQuestion(line)) resolve(decodeResponse(line))
      else if (answerIpam === undefined)
        fail(`the agent on "${socketPath}" asks for what is not there`)
      else {
        socket.setTimeout(0)
        void answerIpam().then((answer) => {
          socket.setTimeout(timeoutMs)
          socket.write(renderLine(answer))
        })
      }
    }
    socket.setTimeout(timeoutMs, () => {
      fail(`the agent on "${socketPath}" did not answer within ${timeoutMs / 1000} s`)
    })
    socket.on('connect', () => socket.write(renderLine(request)))
    socket.on('error', (cause) => {
      fail(`the node agent is not reachable on "${socketPath}"`, cause)
    })
    socket.setEncoding('utf8').on('data', (chunk: string) => {
      text += chunk
      if (!text.endsWith('\n')) return
      try {
        takeLine(text)
      } catch (cause) {
        if (!(cause instanceof DecodeError)) throw cause
        fail(`the agent on "${socketPath}" answered wrongly`, cause)
      }
      text = ''
    })
    // After the answer this changes nothing any more.
    socket.on('end', () => fail(`the node agent on "${socketPath}" went away before it answered`))
  })
}

function renderLine(value: object): string {
  return `${JSON.stringify(value)}\n`
}

// CNI spec: 11 asks the runtime to try again later, 50 is STATUS' own "not available".
function toUnavailable(command: string, what: string, cause?: unknown): CniError {
  const code = command === 'STATUS' ? CNI_CODE.NOT_AVAILABLE : CNI_CODE.TRY_AGAIN_LATER
  return new CniError(code, `Cannot run ${command}: ${what}`, { cause })
}
