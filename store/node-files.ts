// Who is which node: a document per name, with the identity of its agent.
import { watch as watchFolder } from 'node:fs'
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'

import { isRecord } from '../core/record.ts'
import { readJsonFile, sweepTemporaryFiles, writeJsonFile } from './json-file.ts'
import type { NodeNames } from './wire-store.ts'

const DOCUMENT_VERSION = 1

export function newNodeFiles(folder: string): NodeNames {
  return {
    holdNode: async (node, identity, onLost) => {
      const file = `${node}.json`
      const path = join(folder, file)
      await mkdir(folder, { recursive: true, mode: 0o700 })
      await sweepTemporaryFiles(folder)
      let isOurs = false
      const tell = (holder: string): void => {
        if (isOurs) onLost(holder)
        isOurs = false
      }
      const look = async (): Promise<void> => {
        // A look from before we wrote would see who had it before.
        if (!isOurs) return
        const holder = await readHolder(path)
        if (holder !== undefined && holder !== identity) tell(holder)
      }
      const watcher = watchFolder(folder, (_, changed) => {
        // What cannot be read says nothing about who has the name.
        if (changed === file) look().catch(() => undefined)
      })
      try {
        if ((await readHolder(path).catch(() => undefined)) !== identity)
          await writeJsonFile(path, { version: DOCUMENT_VERSION, node, holder: identity })
        // Somebody may have been as quick, before or after us.
        isOurs = true
        await look()
      } catch (error) {
        watcher.close()
        throw error
      }
      return { [Symbol.dispose]: () => watcher.close() }
    },
  }
}

async function readHolder(path: string): Promise<string | undefined> {
  const value = await readJsonFile(path)
  const holder = isRecord(value) ? value['holder'] : undefined
  return typeof holder === 'string' ? holder : undefined
}
