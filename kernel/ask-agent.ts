// One question to the running agent over its own socket, for the probes and the doctor. The CNI plugins have a
// client of their own, which must stay small.
import { connect } from 'node:net'

import { NEWEST_CNI_VERSION } from '../core/cni/version.ts'
import {
  decodeResponse,
  LINE_BYTES_MAX,
  PROTOCOL,
  renderQuestion,
  type Question,
} from '../core/cni/protocol.ts'

type Output = Readonly<Record<string, unknown>>

/** CNI's STATUS: throws, with the agent's own words, unless the next ADD has a chance. */
export async function askStatus(path: string, timeoutMs: number): Promise<void> {
  const config = { cniVersion: NEWEST_CNI_VERSION, name: 'probe', type: 'l2wire' }
  const request = { protocol: PROTOCOL, args: { command: 'STATUS', path: '/' }, config }
  await readOutput(path, JSON.stringify(request), timeoutMs)
}

/** Throws, with the agent's own words, unless it says yes. */
export async function askQuestion(
  path: string,
  question: Question,
  timeoutMs: number,
): Promise<Output> {
  return readOutput(path, renderQuestion(question), timeoutMs)
}

async function readOutput(path: string, line: string, timeoutMs: number): Promise<Output> {
  const { isError, output = {} } = decodeResponse(await askAgent(path, line, timeoutMs))
  if (!isError) return output
  const { msg, details } = output
  throw new Error([msg, details].filter((text) => typeof text === 'string').join(': '))
}

/** Sends one line and returns the line that comes back. Throws an Error that names the socket. */
export async function askAgent(path: string, line: string, timeoutMs: number): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect({ path })
    const chunks: Buffer[] = []
    const fail = (what: string, cause?: unknown): void => {
      socket.destroy()
      reject(new Error(`Cannot ask the agent on "${path}": ${what}`, { cause }))
    }
    socket.setTimeout(timeoutMs, () => fail(`no answer within ${timeoutMs / 1000} s`))
    socket.on('connect', () => socket.write(`${line}\n`))
    socket.on('error', (cause) => fail('it is not reachable', cause))
    let bytes = 0
    socket.on('data', (chunk: Buffer) => {
      bytes += chunk.length
      if (bytes <= LINE_BYTES_MAX) chunks.push(chunk)
      else fail(`it answers more than ${LINE_BYTES_MAX} bytes`)
    })
    socket.on('end', () => {
      const answer = Buffer.concat(chunks).toString('utf8')
      if (answer.endsWith('\n')) resolve(answer)
      else fail('it went away before it answered')
    })
  })
}
