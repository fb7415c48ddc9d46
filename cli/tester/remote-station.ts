// A station in another process, here or on a node behind kubectl exec.
import {
  decodeAnswer,
  type StationAnswer,
  type StationRequest,
} from '../../core/tester/station-line.ts'
import { decodePcap, encodePcap } from '../../core/tester/pcap.ts'
import type { Capture, Station } from '../../kernel/tester/station.ts'
import { CliError } from '../cli-error.ts'
import { newLineClient } from './line-client.ts'

export interface RemoteStation extends Station, AsyncDisposable {}

type Answer = Extract<StationAnswer, { ok: true }>

/**
 * Starts argv, which must run `kubectl-l2wire station` somewhere. An error at the start comes with the first
 * request.
 */
export function newRemoteStation(label: string, argv: readonly string[]): RemoteStation {
  const client = newLineClient(`station at ${label}`, argv)
  const ask = async (request: StationRequest): Promise<Answer> => {
    const answer = decodeAnswer(await client.ask(request))
    if (answer.ok) return answer
    throw new CliError(`The station at ${label} failed: ${answer.fault}`)
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
    [Symbol.asyncDispose]: async () => client[Symbol.asyncDispose](),
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
