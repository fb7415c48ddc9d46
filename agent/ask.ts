// One question to the running agent over its own socket, for the probes. The CNI plugins have a client
// of their own, which must stay small.
import { connect } from 'node:net'

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
    socket.on('data', (chunk: Buffer) => chunks.push(chunk))
    socket.on('end', () => {
      const answer = Buffer.concat(chunks).toString('utf8')
      if (answer.endsWith('\n')) resolve(answer)
      else fail('it went away before it answered')
    })
  })
}
