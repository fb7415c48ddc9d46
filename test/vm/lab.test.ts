import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'

import { expect } from 'chai'
import { describe, it } from 'mocha'

import { decodePcap, encodePcap } from '../../core/tester/pcap.ts'
import { run } from '../../kernel/run.ts'
import { toVmi, type Vmi } from '../../lab/domain-vmi.ts'
import { newGuestStation } from '../../lab/guest-station.ts'
import { newLauncher } from '../../lab/launcher.ts'
import type { Capture, Station } from '../../kernel/station.ts'

const MAC = '02:00:00:00:01:01'

describe('newLauncher()', () => {
  it('boots a VM whose NIC passes every length of frame both ways', async function () {
    this.timeout(120_000)
    await using cable = await newTapCable('l2wlab')
    await using launcher = await newLauncher({
      netnsName: cable.podNetns,
      vmi: newVmi('r1'),
      rewriteDomain: (xml) => xml.replace('<channel', `${toInterfaceXml(cable.tap)}<channel`),
    })
    await using guest = await launcher.connectGuest()
    const inside = await newGuestStation(guest, 'VM', MAC)
    const outside = cable.far
    const frames = newFrames(80)
    for (let round = 0; round < ROUNDS; round++) {
      for (const [from, to] of [
        [inside, outside],
        [outside, inside],
      ] as const) {
        const capture = await to.startCapture()
        await from.send(frames)
        const received = await capture.stop()
        expect(received.map(toHex), `${from.label} to ${to.label}`).to.deep.equal(frames.map(toHex))
      }
    }
  })
})

const ROUNDS = Number(process.env['ROUNDS'] ?? 2)

function toHex(frame: Uint8Array): string {
  return Buffer.from(frame).toString('hex')
}

function newVmi(name: string): Vmi {
  return toVmi({
    apiVersion: 'kubevirt.io/v1',
    kind: 'VirtualMachine',
    metadata: { name },
    spec: {
      template: {
        spec: {
          domain: { devices: { disks: [{ name: 'root', disk: { bus: 'virtio' } }] } },
        },
      },
    },
  })
}

function toInterfaceXml(tap: string): string {
  return `<interface type="ethernet">
    <target dev="${tap}" managed="no"/>
    <model type="virtio-non-transitional"/>
    <mac address="${MAC}"/>
    <alias name="ua-ge0"/>
    <rom enabled="no"/>
  </interface>`
}

/** Lengths from the runt to the jumbo frame, each frame different, of no protocol. */
function newFrames(count: number): readonly Uint8Array[] {
  return Array.from({ length: count }, (_, index) => {
    const length = 14 + Math.round((index * (9014 - 14)) / (count - 1))
    const frame = Buffer.alloc(length, index)
    Buffer.from('020000000101020000000202', 'hex').copy(frame)
    frame.writeUInt16BE(0x88b5, 12)
    return frame
  })
}

interface TapCable extends AsyncDisposable {
  readonly podNetns: string
  readonly tap: string
  readonly far: Station
}

/** A tap for user 107 in one namespace, joined to a veth whose peer is the far station's. */
async function newTapCable(name: string): Promise<TapCable> {
  const pod = `${name}-pod`
  const far = `${name}-far`
  const tap = 'tap6446d58d6df'
  await using made = new AsyncDisposableStack()
  for (const netns of [pod, far]) {
    await run(['ip', 'netns', 'add', netns])
    made.defer(async () => void (await run(['ip', 'netns', 'del', netns])))
    const sysctl = ['sysctl', '-qw', 'net.ipv6.conf.default.disable_ipv6=1']
    await run(['ip', 'netns', 'exec', netns, ...sysctl])
  }
  const link = ['type', 'veth', 'peer', 'name', 'eth1', 'netns', far]
  await run(['ip', '-n', pod, 'link', 'add', 'name', 'eth1', ...link])
  const owner = ['user', '107', 'group', '107']
  await run(['ip', '-n', pod, 'tuntap', 'add', 'dev', tap, 'mode', 'tap', ...owner])
  for (const [netns, dev] of [
    [pod, 'eth1'],
    [pod, tap],
    [far, 'eth1'],
  ] as const) {
    await run(['ip', '-n', netns, 'link', 'set', 'dev', dev, 'mtu', '9216', 'up'])
  }
  for (const [from, to] of [
    ['eth1', tap],
    [tap, 'eth1'],
  ] as const) {
    const tc = ['tc', '-n', pod]
    await run([...tc, 'qdisc', 'add', 'dev', from, 'clsact'])
    const filter = ['ingress', 'pref', '1', 'handle', '1', 'protocol', 'all', 'bpf', 'bytecode']
    const redirect = ['1,6 0 0 4294967295,', 'action', 'mirred', 'egress', 'redirect', 'dev', to]
    await run([...tc, 'filter', 'replace', 'dev', from, ...filter, ...redirect])
  }
  const resources = made.move()
  return {
    podNetns: pod,
    tap,
    far: newNetnsStation(far, 'eth1'),
    [Symbol.asyncDispose]: () => resources.disposeAsync(),
  }
}

function newNetnsStation(netns: string, ifname: string): Station {
  return {
    label: `${netns}:${ifname}`,
    readMac: () => Promise.reject(new Error('not asked for')),
    startCapture: () => startTcpdump(netns, ifname),
    send: async (frames) => {
      const file = path.join(tmpdir(), `${netns}.send.pcap`)
      await writeFile(file, encodePcap(frames))
      const replay = ['tcpreplay', '--topspeed', '-i', ifname, file]
      await run(['ip', 'netns', 'exec', netns, ...replay])
      await rm(file)
    },
  }
}

async function startTcpdump(netns: string, ifname: string): Promise<Capture> {
  const file = path.join(tmpdir(), `${netns}.${process.pid}.pcap`)
  const tcpdump = ['tcpdump', '-i', ifname, '-Q', 'in', '-U', '--immediate-mode', '-s', '16384']
  const child: ChildProcess = spawn('ip', ['netns', 'exec', netns, ...tcpdump, '-w', file], {
    stdio: ['ignore', 'ignore', 'pipe'],
  })
  await once(child.stderr ?? child, 'data')
  const stop = async (): Promise<readonly Uint8Array[]> => {
    await sleep(300)
    child.kill('SIGINT')
    await once(child, 'close')
    const frames = decodePcap(await readFile(file))
    await rm(file)
    return frames
  }
  return { stop, [Symbol.asyncDispose]: async () => void (await stop()) }
}
