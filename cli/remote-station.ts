// A station that another process plays, here or on a node behind kubectl exec.
import { spawn } from 'node:child_process'
import { createInterface } from 'node:readline'

import { decodeAnswer, type StationAnswer, type StationRequest } from '../core/station-line.ts'
import { decodePcap, encodePcap } from '../core/tester/pcap.ts'
import type { Capture, Station } from '../kernel/station.ts'
import { CliError } from './cli-error.ts'

export interface RemoteStation extends Station, AsyncDisposable {}

type Answer = Extract<StationAnswer, { ok: true }>

/** Starts argv, which is to be `kubectl-l2wire station` somewhere; what it says no to comes with the first request. */
export function newRemoteStation(label: string, argv: readonly string[]): RemoteStation {
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

  const ask = async (request: StationRequest): Promise<Answer> => {
    child.stdin.write(`${JSON.stringify(request)}\n`)
    const { value, done } = await lines.next()
    if (done === true) {
      await closed
      if (cause !== undefined)
        throw new CliError(`Cannot start "${command}": ${cause.message}`, { cause })
      const words = said.trim().split('\n').at(-1) ?? ''
      throw new CliError(`The station at ${label} ended: ${words.replace(/^kubectl-l2wire: /, '')}`)
    }
    const answer = decodeAnswer(value)
    if (answer.ok) return answer
    throw new CliError(`The station at ${label} cannot: ${answer.fault}`)
  }

  return {
    label,
    readNic: async () => (await ask({ op: 'nic' })).nic ?? { mac: '', mtuBytes: 0, isUp: false },
    startCapture: async () => {
      await ask({ op: 'capture' })
      return newCapture(ask)
    },
    send: async (frames) => {
      await ask({ op: 'send', pcap: Buffer.from(encodePcap(frames)).toString('base64') })
    },
    [Symbol.asyncDispose]: async () => {
      child.stdin.end()
      await closed
    },
  }
}

function newCapture(ask: (request: StationRequest) => Promise<Answer>): Capture {
  let frames: Promise<readonly Uint8Array[]> | undefined
  const stop = async (): Promise<readonly Uint8Array[]> => {
    frames ??= ask({ op: 'frames' }).then(({ pcap = '' }) =>
      decodePcap(Buffer.from(pcap, 'base64')),
    )
    return frames
  }
  return {
    stop,
    [Symbol.asyncDispose]: async () => {
      await stop()
    },
  }
}
