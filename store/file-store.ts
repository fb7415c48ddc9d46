// WireStore without a cluster: file:///DIR, one JSON document per wire, for one machine. Several agents may
// share it, each in a network namespace of its own but all in one PID namespace.
import { watch as watchFolder } from 'node:fs'
import { access, constants, mkdir, rm } from 'node:fs/promises'
import { join } from 'node:path'

import { oneOf, record } from '../core/shape.ts'
import type { Wire, WireId } from '../core/wire/wire.ts'
import { decodeWireFields, decodeWireId } from '../core/wire/document.ts'
import { toPathBelow } from '../core/path-below.ts'
import { withFileLock } from './file-lock.ts'
import { listFolder, readJsonFile, writeJsonFile } from './json-file.ts'
import { proveRoom } from './new-file.ts'
import { newVniFiles } from './vni-files.ts'
import type { Change, WireStore } from './wire-store.ts'

const SUFFIX = '.json'
const VNI_FOLDER = 'vni'
const DOCUMENT_VERSION = 1

export function newFileStore(folder: string): WireStore {
  // Namespaces are DNS labels, so the first dot ends the namespace.
  const toPath = (id: WireId): string => toPathBelow(folder, `${id.namespace}.${id.name}${SUFFIX}`)

  const read = async (id: WireId): Promise<Wire | undefined> => {
    const path = toPath(id)
    const value = await readJsonFile(path)
    return value === undefined ? undefined : decodeWire(value, path)
  }

  const update = async (id: WireId, change: Change): Promise<Wire | undefined> => {
    const path = toPath(id)
    const before = await read(id)
    // An update that changes nothing needs no lock, nor room for one on a full disk.
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

  const prove = async (): Promise<void> => {
    await probe()
    await proveRoom(folder)
  }

  return {
    read,
    update,
    list,
    watch,
    probe,
    prove,
    ...newVniFiles(join(folder, VNI_FOLDER)),
  }
}

function parseFileName(file: string): WireId | undefined {
  if (!file.endsWith(SUFFIX)) return undefined
  const [namespace = '', ...name] = file.slice(0, -SUFFIX.length).split('.')
  return { namespace, name: name.join('.') }
}

function decodeWire(value: unknown, path: string): Wire {
  const fields = record(value, path)
  oneOf(DOCUMENT_VERSION)(fields['version'], `${path}: version`)
  return { ...decodeWireId(fields, path), ...decodeWireFields(fields, path) }
}
