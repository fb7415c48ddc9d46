// What the kubelet asks about a running agent. Alive and ready differ where it matters: an API server
// that is away makes every agent unready, and must not get any of them killed.
import { askQuestion, askStatus } from '../../kernel/ask-agent.ts'

/** Below the probes' own timeout in deploy/base/agent.yaml, so that the reason is told. */
const TIMEOUT_MS = 4_000

/** Throws unless the agent answers that it can do what it lives of: run a child process. */
export async function probeAlive(socketPath: string): Promise<void> {
  await askQuestion(socketPath, { question: 'alive' }, TIMEOUT_MS)
}

/** Throws, with the agent's own words, unless the next ADD has a chance. */
export async function probeReady(socketPath: string): Promise<void> {
  await askStatus(socketPath, TIMEOUT_MS)
}
