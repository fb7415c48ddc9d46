// The agent's documents on this node, for commands that run there.
import { join } from 'node:path'

import { decodeAttachment, type Attachment } from '../core/attach/attachment.ts'
import { listFolder, readJsonFile } from '../store/json-file.ts'

export const DEFAULT_STATE_DIR = '/var/lib/l2wire'

/** What cannot be read is told and counts as not there. */
export async function listAttachments(
  stateDir: string,
  onUnreadable: (error: unknown) => void,
): Promise<readonly Attachment[]> {
  const folder = join(stateDir, 'attachments')
  const attachments: Attachment[] = []
  for (const file of await listFolder(folder)) {
    if (!file.endsWith('.json')) continue
    try {
      const path = join(folder, file)
      const value = await readJsonFile(path)
      if (value !== undefined) attachments.push(decodeAttachment(value, path))
    } catch (error) {
      onUnreadable(error)
    }
  }
  return attachments
}
