// VNIs in use, one file each, named after the VNI: making it is the atom.
import { mkdir, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'

import { CNI_CODE, CniError } from '../core/errors.ts'
import { listFreeVnis } from '../core/vni.ts'
import { toWireKey, type WireId } from '../core/wire.ts'
import { listFolder } from './json-file.ts'
import type { WireStore } from './wire-store.ts'

export function newVniFiles(folder: string): Pick<WireStore, 'claimVni' | 'releaseVni'> {
  const tryClaim = async (vni: number, id: WireId): Promise<boolean> => {
    try {
      await writeFile(join(folder, String(vni)), toWireKey(id), { flag: 'wx', mode: 0o600 })
      return true
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false
      throw error
    }
  }
  return {
    claimVni: async (id, range, asked) => {
      await mkdir(folder, { recursive: true, mode: 0o700 })
      if (asked !== undefined) {
        if (await tryClaim(asked, id)) return asked
        throw new CniError(
          CNI_CODE.VNI_TAKEN,
          `Cannot use VNI ${asked} for wire "${toWireKey(id)}": another wire has it, expected a free one`,
        )
      }
      const taken = new Set((await listFolder(folder)).map(Number))
      for (const vni of listFreeVnis(range, taken)) if (await tryClaim(vni, id)) return vni
      throw new Error('unreachable: listFreeVnis throws when it has no more')
    },
    releaseVni: async (vni) => rm(join(folder, String(vni)), { force: true }),
  }
}
