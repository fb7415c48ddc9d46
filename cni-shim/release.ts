// Runs DEL, which must succeed even without an agent, because a pod whose DEL fails stays in Terminating. If no
// agent takes it, we leave a note that the agent finds.
import { randomBytes } from 'node:crypto'
import { closeSync, constants, openSync, renameSync, writeFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'

import { CNI_CODE, CniError } from '../core/errors.ts'
import { toPathBelow } from '../core/path-below.ts'
import { PROTOCOL, renderLine, type CniRequest, type CniResponse } from '../core/cni/protocol.ts'
import { toNoteFile, toReleasedFolder } from '../core/attach/release-note.ts'
import { makeRootFolder } from '../kernel/root-path.ts'
import { callAgent } from './client.ts'
import { warn } from './warn.ts'

/** How long we wait for an agent that is restarting. */
const UNREACHABLE_MS = 2_000
const AGAIN_MS = 50
/** How long an agent that accepted the connection may take. It finishes by itself afterwards. */
const ANSWER_MS = 10_000

const { O_CREAT, O_EXCL, O_NOFOLLOW, O_WRONLY } = constants
const NEW_FILE = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW

/**
 * Returns the agent's answer to a DEL, or success once there is a note. Throws CniError 5 if the note cannot be
 * written.
 */
export async function askOrNote(socketPath: string, request: CniRequest): Promise<CniResponse> {
  const deadline = performance.now() + UNREACHABLE_MS
  for (;;)
    try {
      return await callAgent(socketPath, request, { timeoutMs: ANSWER_MS })
    } catch (error) {
      if (!(error instanceof CniError)) throw error
      if (performance.now() < deadline) await sleep(AGAIN_MS)
      else {
        leaveNote(socketPath, request)
        warn(error)
        return { protocol: PROTOCOL, isError: false }
      }
    }
}

function leaveNote(socketPath: string, request: CniRequest): void {
  const folder = toReleasedFolder(socketPath)
  const path = toPathBelow(folder, toNoteFile(request.args))
  // Readers see a whole note or none. Two DELs of one attachment may run at once.
  const temporary = `${path}.${randomBytes(8).toString('hex')}.tmp`
  try {
    makeRootFolder(folder)
    // Creates a new file and never opens an existing one. If this fails, the agent sweeps up what is left.
    const handle = openSync(temporary, NEW_FILE, 0o600)
    try {
      writeFileSync(handle, renderLine(request))
    } finally {
      closeSync(handle)
    }
    renameSync(temporary, path)
  } catch (cause) {
    throw new CniError(
      CNI_CODE.IO_FAILURE,
      `Cannot run DEL: the node agent does not answer on "${socketPath}", and the note for it cannot be written to "${path}"`,
      { cause },
    )
  }
}
