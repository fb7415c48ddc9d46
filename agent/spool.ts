// Release notes: DELs that came while no agent was here, or one that was too slow. Each is honoured as
// the DEL itself would have been, and goes once that is done.
import { watch } from 'node:fs'
import { mkdir, readFile, rename, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'

import { DecodeError } from '../core/errors.ts'
import {
  decodeReleaseNote,
  isNoteFile,
  toNoteFile,
  type ReleaseNote,
} from '../core/release-note.ts'
import { toAttachmentKey, type AttachmentId } from '../core/wire.ts'
import { listFolder } from '../store/json-file.ts'
import { forEachFew } from './few.ts'
import { releaseOf } from './detach.ts'
import type { Node } from './node.ts'

/** How soon a note that could not be honoured is looked at again. */
const AGAIN_MS = 10_000
/** A plugin writes its note at once: what is older was left by one that was killed. */
const UNFINISHED_MS = 60_000

/** Honours all notes there are. One that cannot be, or cannot be read, is logged and keeps no other waiting. */
export async function honourNotes(node: Node): Promise<void> {
  await honourAll(node)
}

/** Honours notes as they come, and again those that could not be, until disposed. */
export async function watchNotes(node: Node): Promise<Disposable> {
  let timer: NodeJS.Timeout | undefined
  let isWaiting = false
  let isStopped = false

  const look = (): void => {
    // Ten notes that are not looked at yet are one look.
    if (isWaiting || isStopped) return
    isWaiting = true
    const looked = node.queue('released', async () => {
      isWaiting = false
      return honourAll(node)
    })
    void looked.then((isDone) => {
      clearTimeout(timer)
      if (!isDone && !isStopped) timer = setTimeout(look, AGAIN_MS).unref()
    })
  }
  await mkdir(node.releasedFolder, { recursive: true, mode: 0o700 })
  const watcher = watch(node.releasedFolder, (_, file) => {
    if (file !== null && isNoteFile(file)) look()
  })
  watcher.on('error', (error) => {
    node.log.error({ err: error }, 'cannot watch the folder of release notes')
  })
  look()
  return {
    [Symbol.dispose]: () => {
      isStopped = true
      clearTimeout(timer)
      watcher.close()
    },
  }
}

/** For who has the attachment's turn already: what is left of an earlier life of it goes first. */
export async function honourNote(node: Node, id: AttachmentId): Promise<void> {
  const file = toNoteFile(id)
  const path = join(node.releasedFolder, file)
  const text = await readText(path)
  if (text === undefined) return
  const note = await decodeOrSetAside(node, text, file)
  if (note === undefined) return
  await releaseOf(node, note, note)
  await rm(path, { force: true })
  const { containerID, ifname, network, time: since } = note
  node.log.info({ containerID, ifname, network, since }, 'a release note is honoured')
}

/** Never throws; says whether nothing is left to do. */
async function honourAll(node: Node): Promise<boolean> {
  let isDone = true
  try {
    const files = await listFolder(node.releasedFolder)
    await forEachFew(files, async (file) => {
      try {
        if (isNoteFile(file)) await honourFile(node, file)
        else if (file.endsWith('.tmp')) await sweep(join(node.releasedFolder, file))
      } catch (error) {
        isDone = false
        node.log.error({ err: error, file }, 'cannot honour a release note yet')
      }
    })
  } catch (error) {
    isDone = false
    node.log.error({ err: error, folder: node.releasedFolder }, 'cannot read release notes')
  }
  return isDone
}

async function honourFile(node: Node, file: string): Promise<void> {
  const text = await readText(join(node.releasedFolder, file))
  if (text === undefined) return
  const note = await decodeOrSetAside(node, text, file)
  if (note === undefined) return
  // Read again in its turn: an ADD that was quicker has honoured it, and the attachment is another one.
  await node.queue(`attachment ${toAttachmentKey(note)}`, async () => honourNote(node, note))
}

async function decodeOrSetAside(
  node: Node,
  text: string,
  file: string,
): Promise<ReleaseNote | undefined> {
  try {
    return decodeReleaseNote(text, file)
  } catch (error) {
    if (!(error instanceof DecodeError)) throw error
    node.log.error({ err: error, file }, 'cannot read a release note, it is set aside')
    const path = join(node.releasedFolder, file)
    await rename(path, `${path}.unreadable`)
    return undefined
  }
}

async function readText(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, 'utf8')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw error
  }
}

async function sweep(path: string): Promise<void> {
  const { mtimeMs } = await stat(path)
  if (Date.now() - mtimeMs > UNFINISHED_MS) await rm(path, { force: true })
}
