// The other side of line-server.ts: another process, here or on a node behind kubectl exec, that answers
// lines.
import { spawn } from 'node:child_process'
import { createInterface } from 'node:readline'

import { CliError } from './cli-error.ts'

export interface LineClient extends AsyncDisposable {
  /** One at a time. Throws CliError when the other side says no, or has ended. */
  readonly ask: (request: object) => Promise<string>
}

/** Starts argv; what it says no to comes with the first request. The label is for people: "station at vm/r1". */
export function newLineClient(label: string, argv: readonly string[]): LineClient {
  const [command = '', ...args] = argv
  // Detached: Ctrl-C is for us, and what we started ends when its input does.
  const child = spawn(command, args, { stdio: ['pipe', 'pipe', 'pipe'], detached: true })
  let said = ''
  child.stderr.setEncoding('utf8').on('data', (text: string) => (said += text))
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
      if (done !== true) return value
      await closed
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
