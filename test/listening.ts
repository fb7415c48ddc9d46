// A capture that can be asked while it runs: on a busy machine frames come late, and what tcpdump has not
// read when it is ended is lost.
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'

import { expect } from 'chai'

import { DecodeError } from '../core/errors.ts'
import { decodePcap } from '../core/tester/pcap.ts'
import { startDaemon } from '../lab/daemon.ts'
import { newTemporaryFolder } from '../lab/temporary-folder.ts'
import { expectSoon } from './expect-soon.ts'

export interface Listening extends AsyncDisposable {
  /** What has been heard so far. */
  readonly read: () => Promise<readonly Uint8Array[]>
  /** Ends it once so many frames have been heard, and returns all that have been by then. */
  readonly stopAfter: (count: number) => Promise<readonly Uint8Array[]>
}

/** netns is a path. Its ring has room for seconds of short frames; longer ones than these it cannot read. */
export async function startListening(netns: string, ifname: string): Promise<Listening> {
  await using made = new AsyncDisposableStack()
  const folder = made.use(await newTemporaryFolder('heard'))
  const file = join(folder.path, 'heard.pcap')
  const enter = ['nsenter', `--net=${netns}`, 'tcpdump', '-i', ifname, '-Q', 'in']
  const daemon = startDaemon([...enter, '-U', '-s', '1024', '-B', '8192', '-Z', 'root', '-w', file])
  made.defer(async () => daemon.end('SIGKILL'))
  await expectSoon('listening', () => {
    daemon.expectAlive()
    return daemon.readLog().includes('listening on')
  })
  const read = async (): Promise<readonly Uint8Array[]> => {
    let frames: readonly Uint8Array[] = []
    await expectSoon('a file of whole frames', async () => {
      const bytes = await readFile(file)
      try {
        frames = decodePcap(bytes)
        return true
      } catch (error) {
        // The last one may be half-written.
        if (error instanceof DecodeError) return false
        throw error
      }
    })
    return frames
  }
  const all = made.move()
  return {
    read,
    stopAfter: async (count) => {
      await expectSoon(`${count} frames are heard`, async () => (await read()).length >= count)
      await daemon.end('SIGINT')
      // What was lost here must not be taken for the cable's fault.
      expect(daemon.readLog()).to.include('\n0 packets dropped by kernel')
      return decodePcap(await readFile(file))
    },
    [Symbol.asyncDispose]: async () => all.disposeAsync(),
  }
}
