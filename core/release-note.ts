// What the CNI plugin leaves behind when a DEL finds no agent: a file per attachment in a folder beside
// the agent's socket. The agent honours it as the DEL itself as soon as it is there.
import { isRecord } from './record.ts'
import type { CniArgs } from './cni/env.ts'
import { DecodeError } from './errors.ts'
import { toAttachmentKey, type AttachmentId } from './wire.ts'

const VERSION = 1
const SUFFIX = '.json'

export interface ReleaseNote extends AttachmentId {
  readonly version: typeof VERSION
  /** The CNI network's name and the plugin's type: another's interface is not this DEL's to delete. */
  readonly network: string
  readonly type: string
  /** When the DEL came, for whoever reads the file: ISO 8601. */
  readonly time: string
}

/** The folder of notes to the agent that listens on this socket, an absolute path. */
export function toReleasedFolder(socketPath: string): string {
  return `${socketPath.slice(0, socketPath.lastIndexOf('/'))}/released`
}

export function toNoteFile(id: AttachmentId): string {
  return `${toAttachmentKey(id)}${SUFFIX}`
}

/** Whether a file of the folder is a note, and not one under way or set aside. */
export function isNoteFile(file: string): boolean {
  return file.endsWith(SUFFIX)
}

/** Undefined for a configuration without name or type: no attachment is of such a network. */
export function toReleaseNote(
  { containerID, ifname }: CniArgs,
  config: Readonly<Record<string, unknown>>,
  time: Date,
): ReleaseNote | undefined {
  const { name: network, type } = config
  if (typeof network !== 'string' || typeof type !== 'string') return undefined
  return { version: VERSION, containerID, ifname, network, type, time: time.toISOString() }
}

/** What a note says, from the text of its file. Throws DecodeError for what this version cannot read. */
export function decodeReleaseNote(text: string, file: string): ReleaseNote {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch (cause) {
    throw new DecodeError(file, text, 'a release note', { cause })
  }
  if (!isRecord(value)) throw new DecodeError(file, value, 'a release note')
  if (value['version'] !== VERSION)
    throw new DecodeError(`${file}: version`, value['version'], String(VERSION))
  const read = (key: string): string => {
    const field = value[key]
    if (typeof field === 'string' && field !== '') return field
    throw new DecodeError(`${file}: ${key}`, field, 'a string')
  }
  const id = { containerID: read('containerID'), ifname: read('ifname') }
  // Else it would lead to a document outside of the state directory, or to somebody else's.
  if (toNoteFile(id) !== file)
    throw new DecodeError(`${file}: containerID`, id.containerID, 'the one of the file name')
  return {
    version: VERSION,
    ...id,
    network: read('network'),
    type: read('type'),
    time: read('time'),
  }
}
