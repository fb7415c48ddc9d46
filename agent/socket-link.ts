// Where an agent listens, for whoever knows its state directory alone: the doctor on its node.
import { rm, symlink } from 'node:fs/promises'
import { join, resolve } from 'node:path'

import { SOCKET_LINK } from '../core/cni/protocol.ts'
import { replaceAtomically } from '../kernel/replace-atomically.ts'

/** Replaces what an earlier agent left. Throws where the directory takes nothing more. */
export async function linkSocket(stateDir: string, socketPath: string): Promise<void> {
  const path = join(stateDir, SOCKET_LINK)
  await replaceAtomically(path, `${path}.tmp`, async (temporary) => {
    // One agent per directory: what is there another one was killed over.
    await rm(temporary, { force: true })
    await symlink(resolve(socketPath), temporary)
  })
}
