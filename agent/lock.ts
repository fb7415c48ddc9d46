// One agent per state directory, and per node name of a folder that keeps wires. A lock is flock(1)'s, held by
// a child that ends with us, so that it can neither be forgotten nor outlive a killed agent.
import { once } from 'node:events'
import { mkdir } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import type { Readable } from 'node:stream'

import { DecodeError } from '../core/errors.ts'
import { toDocumentFile, toPathBelow } from '../core/path-below.ts'
import { startChild } from '../kernel/child.ts'

/** In a store's folder. Documents of 0.3.0 may stand beside the locks, and say nothing to us. */
const NODE_FOLDER = 'nodes'
/** A predecessor that is ending gets this long. */
const WAIT_SECONDS = 5
/** What flock says of a lock that somebody else holds; what else it says is no lock's fault. */
const HELD = 1

export interface Lock {
  readonly release: () => void
}

/** Takes the lock, or throws an Error that names the directory. onLost is called when it goes by itself. */
export async function takeStateLock(stateDir: string, onLost: () => void): Promise<Lock> {
  const lock = await takeLock(join(stateDir, 'lock'), onLost)
  if (lock !== undefined) return lock
  throw new Error(
    `Cannot use the state directory "${stateDir}": another agent holds it, expected one agent per directory`,
  )
}

/** Two agents with one name would take each other's ends for lost. Throws DecodeError for a name that is in use. */
export async function takeNameLock(
  storeFolder: string,
  node: string,
  onLost: () => void,
): Promise<Lock> {
  // Not ".lock": that of a document is there for milliseconds.
  const file = toDocumentFile(node, '.held')
  const lock = await takeLock(toPathBelow(join(storeFolder, NODE_FOLDER), file), onLost)
  if (lock !== undefined) return lock
  throw new DecodeError(
    '--node-name',
    node,
    `a name of its own: another agent with wires in "${storeFolder}" has this one`,
  )
}

/** Undefined while another process holds it. */
async function takeLock(path: string, onLost: () => void): Promise<Lock | undefined> {
  await mkdir(dirname(path), { recursive: true, mode: 0o700 })
  // cat waits for our end of its pipe to close, which a kill -9 does too.
  const waiting = ['sh', '-c', 'echo held; exec cat']
  const holder = await startChild(['flock', '--timeout', String(WAIT_SECONDS), path, ...waiting], {
    stdio: ['pipe', 'pipe', 'inherit'],
  })
  const held = once(holder.stdout as Readable, 'data').then(() => undefined)
  const ended = once(holder, 'exit').then(([code]: unknown[]) => ({ code }))
  const end = await Promise.race([held, ended])
  if (end?.code === HELD) return undefined
  if (end !== undefined) throw new Error(`Cannot lock "${path}": flock says ${String(end.code)}`)
  let isOurs = true
  holder.once('exit', () => {
    if (isOurs) onLost()
  })
  return {
    release: () => {
      isOurs = false
      holder.stdin?.end()
    },
  }
}
