// A station in a network namespace of this machine: tcpdump listens, tcpreplay sends. Both are what
// every Debian has, hand frames over whole (tcpdump puts 802.1Q tags back where they were) and leave
// them alone.
import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'

import { CommandError } from '../../core/errors.ts'
import { parseLinks } from '../../core/observe/links.ts'
import { decodePcap, encodePcap } from '../../core/tester/pcap.ts'
import { startChild } from '../child.ts'
import { sendIntoHostEnd } from './host-sender.ts'
import type { Run } from '../run.ts'
import type { Capture, Station } from './station.ts'

/** The tester's frames are half a megabyte. Whoever floods an end is not to fill the memory of its node. */
export const HEARD_BYTES_MAX = 16 * 1024 * 1024
const FLOODED = `more than ${HEARD_BYTES_MAX / 1024 / 1024} MB were heard, expected the tester's frames: somebody floods this end`

export interface NetnsNic {
  /** For people. */
  readonly label: string
  /** Path of the namespace. */
  readonly netns: string
  readonly ifname: string
  /** The NIC is a VM's pod link, on which the VM alone may speak: its host end, here. */
  readonly mutedHostEnd?: string | undefined
}

export function newNetnsStation(run: Run, nic: NetnsNic): Station {
  const inside = (argv: readonly string[]): readonly string[] => [
    'nsenter',
    `--net=${nic.netns}`,
    ...argv,
  ]
  return {
    label: nic.label,
    readNic: async () => {
      const said = await run(inside(['ip', '-j', 'link', 'show', 'dev', nic.ifname]))
      const { mac = '', mtuBytes = 0, isUp = false } = parseLinks(said).get(nic.ifname) ?? {}
      return { mac, mtuBytes, isUp }
    },
    startCapture: async () =>
      startTcpdump(
        inside([
          // A tester that is killed takes its capture along.
          'setpriv',
          '--pdeathsig',
          'KILL',
          'tcpdump',
          '-i',
          nic.ifname,
          '-Q',
          'in',
          '-U',
          '--immediate-mode',
          // A longer snapshot length leaves libpcap's ring so few slots that a burst overruns it; the
          // tester's longest frame is 9014 bytes.
          '-s',
          '16384',
          '-B',
          '8192',
          // Writing to our pipe needs no user of its own, which may not exist.
          '-Z',
          'root',
          '-w',
          '-',
        ]),
      ),
    send: async (frames) =>
      nic.mutedHostEnd === undefined
        ? sendFrames(run, inside, nic.ifname, frames)
        : sendIntoHostEnd(run, nic.mutedHostEnd, async (device) =>
            sendFrames(run, (argv) => argv, device, frames),
          ),
  }
}

async function sendFrames(
  run: Run,
  inside: (argv: readonly string[]) => readonly string[],
  ifname: string,
  frames: readonly Uint8Array[],
): Promise<void> {
  // Paced: a row must not be lost to a full queue of the receiver. From standard input: the agent's
  // container has no folder to write a file to.
  const argv = ['tcpreplay', '--quiet', '--pps', '2000', '-i', ifname, '-']
  await run(inside(argv), { input: encodePcap(frames) })
}

async function startTcpdump(argv: readonly string[]): Promise<Capture> {
  const child = await startChild(argv, { stdio: ['ignore', 'pipe', 'pipe'], env: process.env })
  const chunks: Buffer[] = []
  let heardBytes = 0
  child.stdout?.on('data', (chunk: Buffer) => {
    heardBytes += chunk.length
    if (heardBytes <= HEARD_BYTES_MAX) chunks.push(chunk)
    else child.kill('SIGINT')
  })
  let said = ''
  child.stderr?.setEncoding('utf8').on('data', (text: string) => (said += text))
  await waitForListening(child, argv, () => said)
  let frames: Promise<readonly Uint8Array[]> | undefined
  const stop = async (): Promise<readonly Uint8Array[]> => {
    frames ??= endTcpdump(child).then(() => {
      if (heardBytes > HEARD_BYTES_MAX)
        throw new CommandError(argv, { signal: 'SIGINT', stderr: FLOODED })
      // What the capture itself lost must not be taken for the cable's fault.
      if (!said.includes('\n0 packets dropped by kernel'))
        throw new CommandError(argv, { stderr: said })
      return decodePcap(Buffer.concat(chunks))
    })
    return frames
  }
  return {
    stop,
    [Symbol.asyncDispose]: async () => {
      await endTcpdump(child)
    },
  }
}

// tcpdump says "listening on eth1, …" once its socket is bound; from then on it sees everything.
async function waitForListening(
  child: ChildProcess,
  argv: readonly string[],
  said: () => string,
): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    child.stderr?.on('data', () => {
      if (said().includes('listening on')) resolve()
    })
    child.once('close', (exitCode) =>
      reject(new CommandError(argv, { exitCode: exitCode ?? undefined, stderr: said() })),
    )
  })
}

async function endTcpdump(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const closed = once(child, 'close')
  child.kill('SIGINT')
  await closed
}
