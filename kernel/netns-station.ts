// A station in a network namespace of this machine: tcpdump listens, tcpreplay sends. Both are what
// every Debian has, hand frames over whole (tcpdump puts 802.1Q tags back where they were) and leave
// them alone.
import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'

import { CommandError } from '../core/errors.ts'
import { parseLinks } from '../core/pod-link.ts'
import { decodePcap, encodePcap } from '../core/tester/pcap.ts'
import type { Run } from './run.ts'
import type { Capture, Station } from './station.ts'

export interface NetnsNic {
  /** For people. */
  readonly label: string
  /** Path of the namespace. */
  readonly netns: string
  readonly ifname: string
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
      const links = parseLinks(await run(inside(['ip', '-j', 'link', 'show', 'dev', nic.ifname])))
      return {
        mac: links[0]?.mac ?? '',
        mtuBytes: links[0]?.mtuBytes ?? 0,
        isUp: links[0]?.isUp ?? false,
      }
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
    send: async (frames) => sendFrames(run, inside, nic.ifname, frames),
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
  const [file = '', ...args] = argv
  const child = spawn(file, args, {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, LC_ALL: 'C' },
  })
  const chunks: Buffer[] = []
  child.stdout.on('data', (chunk: Buffer) => chunks.push(chunk))
  let said = ''
  child.stderr.setEncoding('utf8').on('data', (text: string) => (said += text))
  await waitForListening(child, argv, () => said)
  let frames: Promise<readonly Uint8Array[]> | undefined
  const stop = async (): Promise<readonly Uint8Array[]> => {
    frames ??= endTcpdump(child).then(() => {
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
    const fail = (exitCode: number | null, cause?: Error): void =>
      reject(new CommandError(argv, { exitCode: exitCode ?? undefined, stderr: said() }, { cause }))
    child.stderr?.on('data', () => {
      if (said().includes('listening on')) resolve()
    })
    child.once('error', (cause) => fail(null, cause))
    child.once('close', (exitCode) => fail(exitCode))
  })
}

async function endTcpdump(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const closed = once(child, 'close')
  child.kill('SIGINT')
  await closed
}
