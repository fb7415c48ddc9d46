// Where a DHCP server keeps its leases: a file of the agent's, in a folder that nobody else may enter, which
// the server is handed as its standard output.
import { mkdir, open, type FileHandle } from 'node:fs/promises'
import { dirname } from 'node:path'

import { SERVER_ID } from './dnsmasq.ts'

export interface LeaseFile extends AsyncDisposable {
  readonly fd: number
  /** Of an earlier server. */
  readonly hasLeases: boolean
}

/** Throws where the system refuses it: a full disk, say. */
export async function openLeaseFile(path: string): Promise<LeaseFile> {
  await mkdir(dirname(path), { recursive: true, mode: 0o700 })
  const file: FileHandle = await open(path, 'a+', 0o660)
  try {
    // By its group: an owner other than the agent would keep an agent without DAC_OVERRIDE out of it. The
    // mode is the umask's else.
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
