// One agent per state directory. The lock is flock(1)'s, held by a child that ends with us, so that
// it can neither be forgotten nor outlive a killed agent.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'

/** A predecessor that is ending gets this long. */
const WAIT_SECONDS = 5

export interface StateLock {
  readonly release: () => void
}

/** Takes the lock, or throws an Error that names the directory. onLost is called when it goes by itself. */
export async function takeStateLock(stateDir: string, onLost: () => void): Promise<StateLock> {
  await mkdir(stateDir, { recursive: true, mode: 0o700 })
  const holder = spawn(
    // cat waits for our end of its pipe to close, which a kill -9 does too.
    'flock',
    ['--timeout', String(WAIT_SECONDS), join(stateDir, 'lock'), 'sh', '-c', 'echo held; exec cat'],
    { stdio: ['pipe', 'pipe', 'inherit'] },
  )
  const held = once(holder.stdout, 'data').then(() => true)
  const ended = once(holder, 'exit').then(() => false)
  if (!(await Promise.race([held, ended])))
    throw new Error(
      `Cannot use the state directory "${stateDir}": another agent holds it, expected one agent per directory`,
    )
  let isOurs = true
  holder.once('exit', () => {
    if (isOurs) onLost()
  })
  return {
    release: () => {
      isOurs = false
      holder.stdin.end()
    },
  }
}
