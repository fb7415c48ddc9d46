// Ways to attach a VM to its pod link: ours by the agent's own plan, KubeVirt's bridge as its
// netpod makes it, and macvtaps. Each with a veth's far end for a neighbour and the same reader for a VM.
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import type { TapAttachment } from '../core/attach/attachment.ts'
import { wantTap } from '../core/attach/tap.ts'
import { applySteps } from '../kernel/apply.ts'
import { probeClassifier } from '../kernel/probe.ts'
import { run } from '../kernel/run.ts'
import { newLabNetns, type LabNetns } from '../lab/netns.ts'
import { addAddresses, measureFrames, NIC, type Path } from './path.ts'
import { startTapReader, type Opened } from './tap-reader.ts'

const TAP = 'tap0'
const POD_LINK = 'eth0'
const MTU = 1500
const GUEST_MAC = '02:00:00:00:00:07'

type Attach = (pod: LabNetns, made: AsyncDisposableStack) => Promise<Opened>

export const SHAPES = {
  ours: newAttachOurs({ isMuted: true }),
  // On a pod network the VM's questions for addresses are picked out, too.
  'ours, served': newAttachOurs({
    isMuted: true,
    lease: {
      mac: GUEST_MAC,
      mtuBytes: MTU,
      ipv4: '198.51.100.1/24',
      ipv6: 'fd00::1/64',
      routes: [],
      nameservers: [],
      searches: [],
    },
  }),
  bridge: attachBridge,
  'macvtap bridge': newAttachMacvtap('bridge'),
  'macvtap passthru': newAttachMacvtap('passthru', ['promisc', 'on']),
} as const satisfies Record<string, Attach>

export type ShapeName = keyof typeof SHAPES

/** From the guest to the neighbour. */
export async function newAttachedPath(
  name: ShapeName,
  made: AsyncDisposableStack,
): Promise<Path<ShapeName>> {
  const [pod, guest, far] = [
    made.use(await newLabNetns('pod')),
    made.use(await newLabNetns('guest', { ipv6: false })),
    made.use(await newLabNetns('far', { ipv6: false })),
  ]
  const peer = ['peer', 'name', NIC, 'netns', far.path]
  await pod.run(['ip', 'link', 'add', 'name', POD_LINK, 'type', 'veth', ...peer])
  await pod.run(['ip', 'link', 'set', 'dev', POD_LINK, 'up'])
  const opened = await SHAPES[name](pod, made)
  made.use(await startTapReader(pod, opened, guest, GUEST_MAC))
  const path = { name, from: guest, to: far }
  await addAddresses(path)
  // What learns MACs learns the guest's.
  await measureFrames(path, { frames: 1000 })
  return path
}

function newAttachOurs(more: Partial<TapAttachment> = {}): Attach {
  return async (pod) => {
    const attachment: TapAttachment = {
      version: 1,
      kind: 'tap',
      containerID: 'bench',
      ifname: 'net1',
      netns: { path: pod.path, inode: 0, bootId: '' },
      network: 'bench',
      phase: 'adding',
      podLink: POD_LINK,
      tap: TAP,
      mtuBytes: MTU,
      ...more,
    }
    const steps = wantTap(attachment)
    await applySteps(run, await probeClassifier(run), steps)
    return { tap: TAP }
  }
}

// pkg/network/setup/netpod: bridgeBindingSpec and managedTapSpec, v1.9.0. The dummy that it leaves in the
// pod link's place sees no frame, and is left out.
async function attachBridge(pod: LabNetns): Promise<Opened> {
  const bridge = 'k6t-eth0'
  await pod.run(['ip', 'tuntap', 'add', 'dev', TAP, 'mode', 'tap', 'user', '107', 'group', '107'])
  await pod.run(['ip', 'link', 'add', 'name', bridge, 'type', 'bridge'])
  for (const port of [POD_LINK, TAP])
    await pod.run(['ip', 'link', 'set', 'dev', port, 'master', bridge, 'up'])
  await pod.run(['bridge', 'link', 'set', 'dev', POD_LINK, 'learning', 'off'])
  await pod.run(['ip', 'link', 'set', 'dev', bridge, 'up'])
  return { tap: TAP }
}

function newAttachMacvtap(mode: string, options: readonly string[] = []): Attach {
  return async (pod, made) => {
    const type = ['address', GUEST_MAC, 'type', 'macvtap', 'mode', mode]
    await pod.run(['ip', 'link', 'add', 'link', POD_LINK, 'name', TAP, ...type])
    await pod.run(['ip', 'link', 'set', 'dev', TAP, ...options, 'up'])
    // "ip netns exec" gives a /sys of the namespace; the device number stands there.
    const script = `cat /sys/class/net/${TAP}/tap*/dev`
    const device = await run(['ip', 'netns', 'exec', pod.name, 'sh', '-c', script])
    const folder = await mkdtemp(join(tmpdir(), 'l2w-tap-'))
    made.defer(async () => rm(folder, { recursive: true, force: true }))
    const path = join(folder, 'tap')
    await run(['mknod', path, 'c', ...device.trim().split(':')])
    return { path }
  }
}
