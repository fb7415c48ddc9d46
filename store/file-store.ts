// WireStore without a cluster: file:///DIR, one JSON document per wire, for one machine (several
// agents may share it, each in a network namespace of its own but all in one PID namespace).
import { watch as watchFolder } from 'node:fs'
import { access, constants, mkdir, rm } from 'node:fs/promises'
import { join } from 'node:path'

import { isRecord } from '../core/record.ts'
import { DecodeError } from '../core/errors.ts'
import type { Wire, WireId } from '../core/wire.ts'
import { decodeWireFields } from '../core/wire-document.ts'
import { withFileLock } from './file-lock.ts'
import { listFolder, readJsonFile, writeJsonFile } from './json-file.ts'
import { newNodeFiles } from './node-files.ts'
import { newVniFiles } from './vni-files.ts'
import type { Change, WireStore } from './wire-store.ts'

const SUFFIX = '.json'
const VNI_FOLDER = 'vni'
const NODE_FOLDER = 'nodes'
const DOCUMENT_VERSION = 1

export function newFileStore(folder: string): WireStore {
  // Namespaces are DNS labels, so the first dot ends the namespace.
  const toPath = (id: WireId): string => join(folder, `${id.namespace}.${id.name}${SUFFIX}`)

  const read = async (id: WireId): Promise<Wire | undefined> => {
    const path = toPath(id)
    const value = await readJsonFile(path)
    return value === undefined ? undefined : decodeWire(value, path)
  }

  const update = async (id: WireId, change: Change): Promise<Wire | undefined> => {
    const path = toPath(id)
    const before = await read(id)
    // What changes nothing needs no lock, nor room for one on a full disk.
    if (change(before) === before) return before
    await mkdir(folder, { recursive: true, mode: 0o700 })
    return withFileLock(`${path}.lock`, async () => {
      const wire = await read(id)
      const changed = change(wire)
      if (changed === undefined) await rm(path, { force: true })
      else if (changed !== wire)
        await writeJsonFile(path, { version: DOCUMENT_VERSION, ...changed })
      return changed
    })
  }

  const list = async (onUnreadable: (error: unknown) => void): Promise<readonly Wire[]> => {
    const wires: Wire[] = []
    for (const file of await listFolder(folder)) {
      const id = parseFileName(file)
      if (id === undefined) continue
      try {
        const wire = await read(id)
        if (wire !== undefined) wires.push(wire)
      } catch (error) {
        onUnreadable(error)
      }
    }
    return wires
  }

  const watch = async (
    onChange: (id: WireId) => void,
    onError: (error: unknown) => void,
  ): Promise<Disposable> => {
    await mkdir(folder, { recursive: true, mode: 0o700 })
    const watcher = watchFolder(folder, (_, file) => {
      const id = file === null ? undefined : parseFileName(file)
      if (id !== undefined) onChange(id)
    })
    watcher.on('error', onError)
    return { [Symbol.dispose]: () => watcher.close() }
  }

  const probe = async (): Promise<void> => {
    await mkdir(folder, { recursive: true, mode: 0o700 })
    await access(folder, constants.W_OK)
  }

  return {
    read,
    update,
    list,
    watch,
    probe,
    ...newVniFiles(join(folder, VNI_FOLDER)),
    ...newNodeFiles(join(folder, NODE_FOLDER)),
  }
}

function parseFileName(file: string): WireId | undefined {
  if (!file.endsWith(SUFFIX)) return undefined
  const [namespace = '', ...name] = file.slice(0, -SUFFIX.length).split('.')
  return { namespace, name: name.join('.') }
}

function decodeWire(value: unknown, path: string): Wire {
  if (!isRecord(value)) throw new DecodeError(path, value, 'a JSON object')
  if (value['version'] !== DOCUMENT_VERSION)
    throw new DecodeError(`${path}: version`, value['version'], String(DOCUMENT_VERSION))
  const { namespace, name } = value
  if (typeof namespace !== 'string' || typeof name !== 'string')
    throw new DecodeError(path, value, 'a wire with namespace and name')
  return { namespace, name, ...decodeWireFields(value, path) }
}
