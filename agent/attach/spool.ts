// Release notes: DELs that came while no agent was here, or one that was too slow. Each is run as a DEL from
// the socket is, and its file goes once that is done.
import { readFile, rename, rm, stat } from 'node:fs/promises'

import { decodeNote, readNoteFile } from '../../core/attach/release-note.ts'
import type { CniRequest } from '../../core/cni/protocol.ts'
import { mapLimited } from '../../core/limit.ts'
import { toPathBelow } from '../../core/path-below.ts'
import { listFolder } from '../../store/json-file.ts'
import type { AgentContext } from '../context.ts'

import { del } from './detach.ts'

/** How often a running agent looks for notes: who leaves one has waited ten seconds for an answer. */
const LOOK_MS = 5_000
/** A plugin writes its note at once: what is older was left by one that was killed. */
const UNFINISHED_MS = 60_000

/** Never throws: a note that fails, or cannot be read, is logged and keeps no other waiting. */
export async function honourNotes(node: AgentContext): Promise<void> {
  const { log, releasedFolder: folder } = node
  try {
    await mapLimited(await listFolder(folder), async (file) => {
      try {
        const id = readNoteFile(file)
        if (id !== undefined) await node.turns.attachment(id, async () => honourNote(node, file))
        else if (file.endsWith('.tmp')) await sweep(toPathBelow(folder, file))
      } catch (error) {
        log.error({ err: error, file }, 'cannot honour a release note yet')
      }
    })
  } catch (error) {
    log.error({ err: error, folder }, 'cannot read release notes')
  }
}

/** Honours notes as they come, and again those that could not be, until disposed. */
export function watchNotes(node: AgentContext): Disposable {
  let isLooking = false
  const timer = setInterval(() => {
    if (isLooking) return
    isLooking = true
    void honourNotes(node).then(() => (isLooking = false))
  }, LOOK_MS).unref()
  return { [Symbol.dispose]: () => clearInterval(timer) }
}

/** In the attachment's turn: an ADD honours what is left of an earlier life first, and then the note is gone. */
export async function honourNote(node: AgentContext, file: string): Promise<void> {
  const path = toPathBelow(node.releasedFolder, file)
  const request = await readNote(node, path, file)
  if (request === undefined) return
  await del(node, request)
  await rm(path, { force: true })
  node.log.info({ file }, 'a release note is honoured')
}

async function readNote(
  node: AgentContext,
  path: string,
  file: string,
): Promise<CniRequest | undefined> {
  let text: string
  try {
    text = await readFile(path, 'utf8')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw error
  }
  try {
    return decodeNote(text, file)
  } catch (error) {
    node.log.error({ err: error, file }, 'cannot read a release note, it is set aside')
    await rename(path, `${path}.unreadable`)
    return undefined
  }
}

async function sweep(path: string): Promise<void> {
  const { mtimeMs } = await stat(path)
  if (Date.now() - mtimeMs > UNFINISHED_MS) await rm(path, { force: true })
}
