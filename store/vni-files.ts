// VNIs in use, one file each, named after the VNI, with the wire's key in it.
import { link, mkdir, readFile, rm, stat } from 'node:fs/promises'

import { toPathBelow } from '../core/path-below.ts'
import type { VniClaim } from '../core/wire/vni.ts'
import { fromWireKey, toWireKey, type WireId } from '../core/wire/wire.ts'
import { withFileLock } from './file-lock.ts'
import { listFolder } from './json-file.ts'
import { toTemporaryName, writeNewFile } from './new-file.ts'
import { claimVni, isSameWire } from './choose-vni.ts'
import type { VniStore } from './wire-store.ts'

export function newVniFiles(folder: string): VniStore {
  const toPath = (vni: number): string => toPathBelow(folder, String(vni))

  const make = async (vni: number, id: WireId): Promise<boolean> => {
    await mkdir(folder, { recursive: true, mode: 0o700 })
    // Written completely and then renamed, so nobody reads half a claim and a full disk leaves none. The new
    // file is beside the folder, where a sweep removes it if its writer is killed.
    const temporary = toTemporaryName(folder)
    try {
      await writeNewFile(temporary, toWireKey(id))
      await link(temporary, toPath(vni))
      return true
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false
      throw error
    } finally {
      await rm(temporary, { force: true })
    }
  }

  const readOwner = async (vni: number): Promise<WireId | undefined> =>
    unlessGone(async () => fromWireKey(await readFile(toPath(vni), 'utf8')))

  const list = async (): Promise<readonly VniClaim[]> => {
    const claims: VniClaim[] = []
    for (const vni of (await listFolder(folder)).filter((file) => /^\d+$/.test(file)).map(Number)) {
      const wire = await readOwner(vni)
      const made = await unlessGone(async () => stat(toPath(vni)))
      if (wire !== undefined && made !== undefined)
        claims.push({ vni, wire, sinceMs: made.mtimeMs })
    }
    return claims
  }

  return {
    claimVni: async (id, range, asked) => claimVni({ make, readOwner, list }, id, range, asked),
    hasVni: async (vni, id) => {
      const owner = await readOwner(vni)
      return owner !== undefined && isSameWire(owner, id)
    },
    releaseVni: async (vni, id) => {
      if ((await readOwner(vni)) === undefined) return
      // Nobody else can remove it between our check and our unlink.
      await withFileLock(`${folder}.lock`, async () => {
        const owner = await readOwner(vni)
        if (owner !== undefined && isSameWire(owner, id)) await rm(toPath(vni), { force: true })
      })
    },
    // Whoever reaches the folder is root.
    passVni: async () => undefined,
    listVnis: list,
  }
}

async function unlessGone<T>(action: () => Promise<T>): Promise<T | undefined> {
  try {
    return await action()
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw error
  }
}
