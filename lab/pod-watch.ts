// Checks who sends on a VM's pod link: compares the frames at its far side byte for byte with the guest's,
// while the pod's own stack tries to send.
import { setTimeout as sleep } from 'node:timers/promises'

import { newNetnsStation } from '../kernel/tester/netns-station.ts'
import { run } from '../kernel/run.ts'
import { startDaemon } from './daemon.ts'
import { readPodNic } from './guest-network.ts'
import type { PodVm } from './pod-scene.ts'

export interface PodWatch extends AsyncDisposable {
  readonly stop: () => Promise<PodSpeech>
}

export interface PodSpeech {
  /** How many frames left the pod. */
  readonly heard: number
  /** Those of them that the guest did not send, in hex. */
  readonly strange: readonly string[]
  /** Those of them that are requests to a DHCP server. */
  readonly dhcp: readonly string[]
}

/** A frame that the far side has seen is soon in the file, too. */
const SETTLE_MS = 300
const ETHERTYPE_AT = 12
const IP_PROTOCOL_AT = 23
const UDP_TARGET_AT = 36

/** Traffic that a pod's stack may send: to neighbours, routers, groups and everybody. */
const TALK = `
  while sleep 0.2; do
    for address in "$@" 10.75.0.1 10.76.0.1 fd00:75::1 ff02::1%eth0 ff02::2%eth0; do
      busybox ping -c 1 -W 1 "$address" &
    done
    busybox ping -c 1 -W 1 -I eth0 255.255.255.255 &
    busybox arping -c 1 -w 1 -I eth0 10.75.0.1 &
    busybox arping -U -c 1 -w 1 -I eth0 "$1" &
    busybox udhcpc -i eth0 -n -q -t 1 -T 1 -s /bin/true &
    wait
  done >/dev/null 2>&1
`

/** Watches the VM's eth0 from now on. */
export async function watchPod({ network, vm, other }: PodVm): Promise<PodWatch> {
  await using started = new AsyncDisposableStack()
  const far = { label: 'far', netns: network.node.path, ifname: network.getFarDevice(vm.sandbox) }
  const tap = { label: 'tap', netns: vm.netns.path, ifname: 'tap0' }
  const { addresses, mac } = await readPodNic(other, 'eth0')
  const atFar = started.use(await newNetnsStation(run, far).startCapture())
  const atTap = started.use(await newNetnsStation(run, tap).startCapture())
  const inPod = ['nsenter', `--net=${vm.netns.path}`]
  const talker = startDaemon([...inPod, 'sh', '-c', TALK, 'sh', ...addresses])
  started.defer(async () => talker.end('SIGKILL'))
  const resources = started.move()
  return {
    stop: async () => {
      talker.expectAlive()
      await talker.end('SIGKILL')
      await sleep(SETTLE_MS)
      const arrived = await atFar.stop()
      return compare(
        // If the far side is a shared device, the other pod's frames show there, too.
        arrived.filter((frame) => toSource(frame) !== mac),
        await atTap.stop(),
      )
    },
    [Symbol.asyncDispose]: async () => resources.disposeAsync(),
  }
}

function compare(arrived: readonly Uint8Array[], sent: readonly Uint8Array[]): PodSpeech {
  const left = new Map<string, number>()
  for (const text of sent.map(toHex)) left.set(text, (left.get(text) ?? 0) + 1)
  const strange = arrived.map(toHex).filter((text) => {
    const count = left.get(text) ?? 0
    left.set(text, count - 1)
    return count <= 0
  })
  return { heard: arrived.length, strange, dhcp: arrived.filter(isDhcpRequest).map(toHex) }
}

function toHex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex')
}

function toSource(frame: Uint8Array): string {
  return (toHex(frame.subarray(6, 12)).match(/../g) ?? []).join(':')
}

function isDhcpRequest(frame: Uint8Array): boolean {
  if (frame.length <= UDP_TARGET_AT + 1) return false
  const view = Buffer.from(frame)
  const isUdp = view.readUInt16BE(ETHERTYPE_AT) === 0x0800 && view[IP_PROTOCOL_AT] === 17
  return isUdp && view.readUInt16BE(UDP_TARGET_AT) === 67
}
