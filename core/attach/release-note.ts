// What the CNI plugin leaves behind when a DEL finds no agent: the request itself, a file per attachment in a
// folder beside the agent's socket. The agent runs it as soon as it is there.
import { decodeRequest, expectShortConfig, PROTOCOL, type CniRequest } from '../cni/protocol.ts'
import { DecodeError } from '../errors.ts'
import { isRecord } from '../record.ts'
import { toAttachmentKey, type AttachmentId } from '../wire/wire.ts'

const SUFFIX = '.json'

/** The folder of notes to the agent that listens on this socket, an absolute path. */
export function toReleasedFolder(socketPath: string): string {
  return `${socketPath.slice(0, socketPath.lastIndexOf('/'))}/released`
}

export function toNoteFile(id: AttachmentId): string {
  return `${toAttachmentKey(id)}${SUFFIX}`
}

/** The attachment that a file of the folder is about; undefined for one that is under way or set aside. */
export function readNoteFile(file: string): AttachmentId | undefined {
  if (!file.endsWith(SUFFIX)) return undefined
  const [containerID = '', ifname = ''] = file.slice(0, -SUFFIX.length).split('@')
  return { containerID, ifname }
}

/** The DEL that a note holds. Throws DecodeError for what is none, or another attachment's. */
export function decodeNote(text: string, file: string): CniRequest {
  try {
    const line = toLine(text)
    expectShortConfig(line)
    const request = decodeRequest(line)
    const { command } = request.args
    if (command !== 'DEL') throw new DecodeError('command', command, 'DEL')
    // Whoever looks for an attachment's note goes by its file.
    const name = toNoteFile(request.args)
    if (name !== file) throw new DecodeError('containerID', name, 'the one of the file name')
    return request
  } catch (cause) {
    throw new DecodeError(file, text, 'a DEL', { cause })
  }
}

// To 0.3.0 a note had words of its own.
function toLine(text: string): string {
  const value: unknown = JSON.parse(text)
  if (!isRecord(value) || value['version'] !== 1) return text
  const { containerID, ifname, network: name, type } = value
  const args = { command: 'DEL', containerID, ifname }
  return JSON.stringify({ protocol: PROTOCOL, args, config: { name, type } })
}
