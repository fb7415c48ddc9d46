// A station behind a macvtap, as a VM would sit there: frames are read from and written to its
// character device, each with the virtio header that QEMU would find before it.
import { constants } from 'node:fs'
import { mkdtemp, open, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'

import { run } from '../kernel/run.ts'
import type { Station } from '../kernel/tester/station.ts'
import type { LabNetns } from '../lab/netns.ts'

/** struct virtio_net_hdr (linux/virtio_net.h), macvtap's default. */
const HEADER_BYTES = 10
const LONGEST_BYTES = 65_536

export interface MacvtapStation extends Station, AsyncDisposable {}

/** The station at a macvtap that is in this namespace. */
export async function newMacvtapStation(netns: LabNetns, ifname: string): Promise<MacvtapStation> {
  // "ip netns exec" gives a /sys of the namespace; the device number stands there.
  const script = `cat /sys/class/net/${ifname}/tap*/dev; cat /sys/class/net/${ifname}/address`
  const [device = '', mac = ''] = (
    await run(['ip', 'netns', 'exec', netns.name, 'sh', '-c', script])
  ).split('\n')
  const folder = await mkdtemp(join(tmpdir(), 'l2w-tap-'))
  const path = join(folder, 'tap')
  await run(['mknod', path, 'c', ...device.split(':')])
  const tap = await open(path, constants.O_RDWR | constants.O_NONBLOCK)
  const read = async (): Promise<Uint8Array | undefined> => {
    try {
      const { bytesRead, buffer } = await tap.read(new Uint8Array(LONGEST_BYTES), 0, LONGEST_BYTES)
      return buffer.slice(HEADER_BYTES, bytesRead)
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'EAGAIN') return undefined
      throw error
    }
  }
  return {
    label: 'macvtap',
    readNic: () => Promise.resolve({ mac, mtuBytes: 9216, isUp: true }),
    startCapture: async () => {
      while ((await read()) !== undefined);
      const frames: Uint8Array[] = []
      const stopping = new AbortController()
      const reading = (async () => {
        while (!stopping.signal.aborted) {
          const frame = await read()
          if (frame === undefined) await sleep(1)
          else frames.push(frame)
        }
      })()
      const stop = async (): Promise<readonly Uint8Array[]> => {
        stopping.abort()
        await reading
        return frames
      }
      return {
        stop,
        [Symbol.asyncDispose]: async () => {
          await stop()
        },
      }
    },
    send: async (frames) => {
      for (const frame of frames) {
        await tap.write(Buffer.concat([Buffer.alloc(HEADER_BYTES), frame]))
        await sleep(1)
      }
    },
    [Symbol.asyncDispose]: async () => {
      await tap.close()
      await rm(folder, { recursive: true, force: true })
    },
  }
}
