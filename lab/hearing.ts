// An agent that does not hear the kernel: what somebody changes stays, as long as a test looks at it.
import { run } from '../kernel/run.ts'
import type { LabNode } from './node.ts'

/** Until "CONT", which lets it hear all that has happened meanwhile. */
export async function signalHearing(node: LabNode, signal: 'STOP' | 'CONT'): Promise<void> {
  await run(['pkill', `-${signal}`, '--parent', String(node.readPid()), '-f', 'monitor'])
}
