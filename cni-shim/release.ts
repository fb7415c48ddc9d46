// DEL, which must get through without an agent, too: a pod whose DEL fails stays in Terminating. What
// nobody took is written down where the agent finds it.
import { mkdirSync, renameSync, writeFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'

import { CNI_CODE, CniError } from '../core/errors.ts'
import { PROTOCOL, type CniRequest, type CniResponse } from '../core/protocol.ts'
import { toNoteFile, toReleasedFolder, toReleaseNote } from '../core/release-note.ts'
import { callAgent } from './client.ts'
import { warn } from './warn.ts'

/** How long an agent that is just being restarted is waited for. */
const UNREACHABLE_MS = 2_000
const AGAIN_MS = 50
/** How long an agent may take that took the connection: it goes on by itself afterwards. */
const ANSWER_MS = 10_000

/** The agent's answer to a DEL, or yes once there is a note for it. Throws CniError 5 where not even that can be written. */
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

function leaveNote(socketPath: string, { args, config }: CniRequest): void {
  const note = toReleaseNote(args, config, new Date())
  if (note === undefined) return
  const folder = toReleasedFolder(socketPath)
  const path = `${folder}/${toNoteFile(args)}`
  // Read whole or not at all; two DELs of one attachment may be under way.
  const temporary = `${path}.${process.pid}.tmp`
  try {
    mkdirSync(folder, { recursive: true, mode: 0o700 })
    // What it may leave when it fails the agent sweeps away.
    writeFileSync(temporary, `${JSON.stringify(note, undefined, 2)}\n`, { mode: 0o600 })
    renameSync(temporary, path)
  } catch (cause) {
    throw new CniError(
      CNI_CODE.IO_FAILURE,
      `Cannot run DEL: the node agent does not answer on "${socketPath}", and the note for it cannot be written to "${path}"`,
      { cause },
    )
  }
}
