// The state directory: one document per attachment, and what was last read or written of it in memory,
// so that looking at a wire costs no look at all others. Nothing is in memory that is not here, too.
import { mkdir, rm } from 'node:fs/promises'
import { join } from 'node:path'

import {
  decodeAttachment,
  type Attachment,
  type WireAttachment,
} from '../core/attach/attachment.ts'
import { toTunnelDeviceName } from '../core/name.ts'
import { toPathBelow } from '../core/path-below.ts'
import { toAttachmentKey, toWireKey, type AttachmentId, type WireId } from '../core/wire/wire.ts'
import { listFolder, readJsonFile, writeJsonFile } from '../store/json-file.ts'
import { proveRoom } from '../store/new-file.ts'

const SUFFIX = '.json'

export interface AttachmentState {
  /** The document; where somebody removed it, what is remembered of it. */
  get(id: AttachmentId): Promise<Attachment | undefined>
  put(attachment: Attachment): Promise<void>
  /** As put, in memory only: where the disk takes nothing more, this at least is known. */
  note(attachment: Attachment): void
  /** Idempotent. */
  del(id: AttachmentId): Promise<void>
  /** Throws CniError 5 unless one more document finds room. */
  prove(): Promise<void>
  /** Documents that cannot be read are told to onUnreadable and left alone. */
  list(onUnreadable: (error: unknown) => void): Promise<readonly Attachment[]>
  /** As remembered, where the document is gone all the same. */
  listMissing(): Promise<readonly Attachment[]>
  /** Whether the last list() met any of those. */
  hasUnreadable(): boolean
  /** As remembered, from the first list() on. */
  find(id: AttachmentId): Attachment | undefined
  /** The attachments of one wire, as remembered. */
  listOf(wire: WireId): readonly WireAttachment[]
  /** The wire that a device of ours, host end or tunnel, is part of. */
  findWire(device: string): WireId | undefined
  /** All, as remembered. */
  listAll(): readonly Attachment[]
}

export function newAttachmentState(folder: string): AttachmentState {
  const toPath = (id: AttachmentId): string =>
    toPathBelow(folder, `${toAttachmentKey(id)}${SUFFIX}`)
  const index = newIndex()
  let unreadable = 0
  return {
    get: async (id) => {
      const value = await readJsonFile(toPath(id))
      return value === undefined ? index.find(id) : decodeAttachment(value, toPath(id))
    },
    put: async (attachment) => {
      await writeJsonFile(toPath(attachment), attachment)
      index.put(attachment)
    },
    note: index.put,
    del: async (id) => {
      await rm(toPath(id), { force: true })
      index.del(id)
    },
    prove: async () => {
      await mkdir(folder, { recursive: true, mode: 0o700 })
      await proveRoom(folder)
    },
    list: async (onUnreadable) => {
      const attachments: Attachment[] = []
      unreadable = 0
      for (const file of await listFolder(folder)) {
        if (!file.endsWith(SUFFIX)) continue
        try {
          const value = await readJsonFile(join(folder, file))
          if (value !== undefined) attachments.push(decodeAttachment(value, join(folder, file)))
        } catch (error) {
          unreadable += 1
          onUnreadable(error)
        }
      }
      for (const attachment of attachments) index.put(attachment)
      return attachments
    },
    listMissing: async () => {
      const remembered = index.listAll()
      const files = new Set(await listFolder(folder))
      return remembered.filter((one) => !files.has(`${toAttachmentKey(one)}${SUFFIX}`))
    },
    hasUnreadable: () => unreadable > 0,
    find: index.find,
    listOf: index.listOf,
    findWire: index.findWire,
    listAll: index.listAll,
  }
}

interface Index extends Pick<AttachmentState, 'find' | 'listOf' | 'findWire' | 'listAll'> {
  readonly put: (attachment: Attachment) => void
  readonly del: (id: AttachmentId) => void
}

function newIndex(): Index {
  const all = new Map<string, Attachment>()
  const wires = new Map<string, Set<string>>()
  const devices = new Map<string, WireId>()
  const del = (id: AttachmentId): void => {
    const key = toAttachmentKey(id)
    const known = all.get(key)
    all.delete(key)
    if (known?.kind !== 'wire') return
    devices.delete(known.hostDevice)
    const wireKey = toWireKey(known.wire)
    const ofWire = wires.get(wireKey)
    ofWire?.delete(key)
    if (ofWire?.size !== 0) return
    wires.delete(wireKey)
    devices.delete(toTunnelDeviceName(wireKey))
  }
  return {
    put: (attachment) => {
      del(attachment)
      const key = toAttachmentKey(attachment)
      all.set(key, attachment)
      if (attachment.kind !== 'wire') return
      const wireKey = toWireKey(attachment.wire)
      wires.set(wireKey, (wires.get(wireKey) ?? new Set()).add(key))
      devices.set(attachment.hostDevice, attachment.wire)
      devices.set(toTunnelDeviceName(wireKey), attachment.wire)
    },
    del,
    find: (id) => all.get(toAttachmentKey(id)),
    listOf: (wire) =>
      [...(wires.get(toWireKey(wire)) ?? [])].flatMap((key) => {
        const attachment = all.get(key)
        return attachment?.kind === 'wire' ? [attachment] : []
      }),
    findWire: (device) => devices.get(device),
    listAll: () => [...all.values()],
  }
}
