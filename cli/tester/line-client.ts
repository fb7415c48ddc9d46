// The other side of line-server.ts: talks to another process that answers lines, here or on a node behind
// kubectl exec.
import { spawn } from 'node:child_process'
import { createInterface } from 'node:readline'

import { CliError } from '../cli-error.ts'

/**
 * More than the largest answer of a station, in base64. A node that somebody has taken over must not fill our
 * memory.
 */
const ANSWER_BYTES_MAX = 32 * 1024 * 1024

export interface LineClient extends AsyncDisposable {
  /** One request at a time. Throws CliError if the other side refuses or has ended. */
  readonly ask: (request: object) => Promise<string>
}

/**
 * Starts argv. An error at the start comes with the first request. The label is for people: "station at vm/r1".
 */
export function newLineClient(label: string, argv: readonly string[]): LineClient {
  const [command = '', ...args] = argv
  // Detached, so that Ctrl-C ends only us. The child ends when its input does.
  const child = spawn(command, args, { stdio: ['pipe', 'pipe', 'pipe'], detached: true })
  let said = ''
  let heardBytes = 0
  const count = (bytes: number): boolean => {
    heardBytes += bytes
    if (heardBytes > ANSWER_BYTES_MAX) child.kill('SIGKILL')
    return heardBytes <= ANSWER_BYTES_MAX
  }
  child.stdout.on('data', (chunk: Buffer) => count(chunk.length))
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    if (count(Buffer.byteLength(text))) said += text
  })
  child.stdin.on('error', () => undefined)
  let cause: Error | undefined
  const closed = new Promise<void>((resolve) => {
    child.on('close', () => resolve())
    child.on('error', (error) => {
      cause = error
      resolve()
    })
  })
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]()
  return {
    ask: async (request) => {
      child.stdin.write(`${JSON.stringify(request)}\n`)
      const { value, done } = await lines.next()
      // The last line may be incomplete.
      if (done !== true && heardBytes <= ANSWER_BYTES_MAX) {
        heardBytes = 0
        return value
      }
      await closed
      if (heardBytes > ANSWER_BYTES_MAX)
        throw new CliError(
          `The ${label} sent more than ${ANSWER_BYTES_MAX / 1024 / 1024} MB, expected one answer: it is no such program, or something floods it`,
        )
      if (cause !== undefined)
        throw new CliError(`Cannot start "${command}": ${cause.message}`, { cause })
      const words = said.trim().split('\n').at(-1) ?? ''
      throw new CliError(`The ${label} ended: ${words.replace(/^kubectl-l2wire: /, '')}`)
    },
    [Symbol.asyncDispose]: async () => {
      child.stdin.end()
      await closed
    },
  }
}
