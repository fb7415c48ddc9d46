// What the kubelet asks about a running agent. Alive and ready differ where it matters: an API server
// that is away makes every agent unready, and must not get any of them killed.
import { decodeResponse, PROTOCOL } from '../core/protocol.ts'
import { NEWEST_CNI_VERSION } from '../core/cni/version.ts'
import { askAgent } from './ask.ts'

/** Below the probes' own timeout in deploy/base/agent.yaml, so that the reason is told. */
const TIMEOUT_MS = 4_000

/** Throws unless the agent answers: anything, even to a line that asks nothing. */
export async function probeAlive(socketPath: string): Promise<void> {
  await askAgent(socketPath, '{}', TIMEOUT_MS)
}

/** Throws, with the agent's own words, unless the next ADD has a chance: CNI's STATUS. */
export async function probeReady(socketPath: string): Promise<void> {
  const config = { cniVersion: NEWEST_CNI_VERSION, name: 'probe', type: 'l2wire' }
  const request = { protocol: PROTOCOL, args: { command: 'STATUS', path: '/' }, config }
  const answer = decodeResponse(await askAgent(socketPath, JSON.stringify(request), TIMEOUT_MS))
  if (!answer.isError) return
  const { msg, details } = answer.output ?? {}
  throw new Error([msg, details].filter((text) => typeof text === 'string').join(': '))
}
