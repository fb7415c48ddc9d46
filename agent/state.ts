// The state directory: one document per attachment. The agent keeps nothing in memory that it could
// not read here, in the store or from the kernel.
import { rm } from 'node:fs/promises'
import { join } from 'node:path'

import { decodeAttachment, type Attachment } from '../core/attachment.ts'
import { toAttachmentKey, type AttachmentId } from '../core/wire.ts'
import { listFolder, readJsonFile, writeJsonFile } from '../store/json-file.ts'

const SUFFIX = '.json'

export interface AttachmentState {
  get(id: AttachmentId): Promise<Attachment | undefined>
  put(attachment: Attachment): Promise<void>
  /** Idempotent. */
  del(id: AttachmentId): Promise<void>
  /** Documents that cannot be read are told to onUnreadable and left alone. */
  list(onUnreadable: (error: unknown) => void): Promise<readonly Attachment[]>
}

export function newAttachmentState(folder: string): AttachmentState {
  const toPath = (id: AttachmentId): string => join(folder, `${toAttachmentKey(id)}${SUFFIX}`)
  return {
    get: async (id) => {
      const value = await readJsonFile(toPath(id))
      return value === undefined ? undefined : decodeAttachment(value, toPath(id))
    },
    put: async (attachment) => writeJsonFile(toPath(attachment), attachment),
    del: async (id) => rm(toPath(id), { force: true }),
    list: async (onUnreadable) => {
      const attachments: Attachment[] = []
      for (const file of await listFolder(folder)) {
        if (!file.endsWith(SUFFIX)) continue
        try {
          const value = await readJsonFile(join(folder, file))
          if (value !== undefined) attachments.push(decodeAttachment(value, join(folder, file)))
        } catch (error) {
          onUnreadable(error)
        }
      }
      return attachments
    },
  }
}
