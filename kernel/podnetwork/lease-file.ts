// A DHCP server's lease file. It belongs to the agent, in a folder that nobody else may enter. The server gets
// it as its standard output.
import { constants } from 'node:fs'
import { mkdir, open, type FileHandle } from 'node:fs/promises'
import { dirname } from 'node:path'

import { SERVER_ID } from './dnsmasq.ts'

const { O_APPEND, O_CREAT, O_NOFOLLOW, O_RDWR } = constants

export interface LeaseFile extends AsyncDisposable {
  readonly fd: number
  /** Whether it has leases of an earlier server. */
  readonly hasLeases: boolean
}

/** Throws if the system refuses it, for example on a full disk. */
export async function openLeaseFile(path: string): Promise<LeaseFile> {
  await mkdir(dirname(path), { recursive: true, mode: 0o700 })
  const file: FileHandle = await open(path, O_RDWR | O_APPEND | O_CREAT | O_NOFOLLOW, 0o660)
  try {
    // Access goes by its group. If another user owned it, an agent without DAC_OVERRIDE could not use it.
    // Without chmod the umask would decide the mode.
    await file.chown(process.geteuid?.() ?? 0, SERVER_ID)
    await file.chmod(0o660)
    const { size } = await file.stat()
    return {
      fd: file.fd,
      hasLeases: size > 0,
      [Symbol.asyncDispose]: async () => file.close(),
    }
  } catch (error) {
    await file.close()
    throw error
  }
}
