// Sandboxes of VMs that move. Without a cluster the ADD says that a sandbox is a migration's target.
import { expect } from 'chai'

import { toPodLinkName } from '../../core/name.ts'
import { concatBytes, fromHex } from '../../core/tester/bytes.ts'
import { run } from '../../kernel/run.ts'
import { newNetnsStation } from '../../kernel/tester/netns-station.ts'
import type { Station } from '../../kernel/tester/station.ts'
import type { ClusterNode } from '../../lab/cluster.ts'
import { newCountedFrames } from '../../lab/counted-frames.ts'
import { startDaemon } from '../../lab/daemon.ts'
import type { LabNetns } from '../../lab/netns.ts'
import { expectSoon } from '../expect-soon.ts'
import { startListening } from '../listening.ts'
import { hasCarrier, readLinks } from './fixture-links.ts'

const CONFIG = { cniVersion: '1.1.0', name: 'w', type: 'l2wire', mtu: 9216 }
/** Of the VM's network: launchers are silent by this name. */
export const NIC = toPodLinkName('ge0')
/** As QEMU announces a guest that has come. */
const RARP = fromHex('ffffffffffff 020000000001 8035 0001 0800 06 04 0003')
export const ANNOUNCEMENT = concatBytes(
  RARP,
  fromHex('020000000001 00000000 020000000001 00000000'),
)

const toHex = (frame: Uint8Array): string => Buffer.from(frame).toString('hex')

/** A NIC of one. */
export interface Sandbox {
  readonly on: ClusterNode
  readonly netns: LabNetns
  readonly id: string
  readonly holder: string
  /** Default: NIC. */
  readonly ifname?: string
  /** Default: w. */
  readonly wire?: string
}

export async function call(
  command: 'ADD' | 'DEL',
  sandbox: Sandbox,
  more: object = {},
): Promise<void> {
  const { on, netns, id, holder, ifname = NIC, wire: name = CONFIG.name } = sandbox
  const config = { ...CONFIG, name, args: { cni: { end: holder, ...more } } }
  const args = `K8S_POD_NAMESPACE=lab;K8S_POD_NAME=${id}`
  const rest = { netns: netns.path, ifname, args }
  await on.node.mustCall(config, { command, containerID: id, ...rest })
}

export function toStation({ netns, id, ifname = NIC }: Sandbox): Station {
  return newNetnsStation(run, { label: id, netns: netns.path, ifname })
}

/** What its owner must never see change. */
export async function readNic({ netns, ifname = NIC }: Sandbox): Promise<unknown> {
  const link = (await readLinks(netns)).get(ifname)
  return [link?.ifindex, link?.address, link?.flags]
}

/** Its guest has come: it says so once. */
export async function announce(sandbox: Sandbox): Promise<void> {
  await toStation(sandbox).send([ANNOUNCEMENT])
}

/** That these frames get from one to the other, each once and in order. */
export async function expectHeard(
  from: Sandbox,
  to: Sandbox,
  frames: readonly Uint8Array[],
): Promise<void> {
  await using listening = await startListening(to.netns.path, to.ifname ?? NIC)
  await toStation(from).send(frames)
  const heard = await listening.stopAfter(frames.length)
  // Whatever is not in its place, with its own; a foreign one has place -1.
  const sent = frames.map(toHex)
  const places = heard.map((frame) => sent.indexOf(toHex(frame)))
  const odd = places.flatMap((place, at) => (place === at ? [] : [`${at}: ${place}`]))
  expect({ count: heard.length, odd }, `${from.id} to ${to.id}`).to.deep.equal({
    count: frames.length,
    odd: [],
  })
}

/** That frames get from one to the other and to nobody else. */
export async function expectFlow(
  from: Sandbox,
  to: Sandbox,
  others: readonly Sandbox[] = [],
): Promise<void> {
  await using captures = new AsyncDisposableStack()
  const aside = []
  for (const other of others) aside.push(captures.use(await toStation(other).startCapture()))
  await expectHeard(from, to, newCountedFrames(300))
  for (const capture of aside) expect(await capture.stop()).to.deep.equal([])
}

/** Both ways. */
export async function expectCable(
  a: Sandbox,
  b: Sandbox,
  others: readonly Sandbox[] = [],
): Promise<void> {
  await expectFlow(a, b, others)
  await expectFlow(b, a, others)
}

export async function isDark({ netns, ifname = NIC }: Sandbox): Promise<boolean> {
  return !(await hasCarrier(netns, ifname))
}

export async function areJoined(...ends: readonly Sandbox[]): Promise<boolean> {
  return (await Promise.all(ends.map(isDark))).every((dark) => !dark)
}

/** Whom a node lets in at its tunnels: addresses, sorted. */
export async function readLetIn({ netns }: ClusterNode): Promise<readonly string[]> {
  const table = await netns.run(['nft', 'list', 'table', 'inet', 'l2wire'])
  return [...table.matchAll(/([0-9a-f.:]+) \. \d+/g)].map(([, address = '']) => address).sort()
}

export async function listTunnels({ netns }: ClusterNode): Promise<readonly string[]> {
  const links = await netns.run(['ip', '-o', 'link', 'show', 'type', 'vxlan'])
  return [...links.matchAll(/^\d+: (lx[0-9a-f]+)/gm)].map(([, name = '']) => name)
}

/** Whether the guest's first frames get through: its own node is ready once its ADD is, that of the far end a moment later. */
export async function isReady(target: Sandbox, far: Sandbox): Promise<boolean> {
  if (target.on === far.on) return areJoined(target)
  const tunnels = await far.on.netns.run(['ip', '-o', 'link', 'show', 'type', 'vxlan'])
  const isUp = /<.*\bUP\b.*>/.test(tunnels)
  return isUp && (await readLetIn(far.on)).includes(target.on.address)
}

export interface NicWatch extends AsyncDisposable {
  /** What the kernel has told of the NIC by now: a line for each change. */
  readonly read: () => Promise<readonly string[]>
}

/** Hears whatever happens to a NIC, however short it is. */
export async function watchNic({ netns, ifname = NIC }: Sandbox): Promise<NicWatch> {
  await using made = new AsyncDisposableStack()
  const daemon = startDaemon(['nsenter', `--net=${netns.path}`, 'ip', '-o', 'monitor', 'link'])
  made.defer(async () => daemon.end('SIGKILL'))
  let marks = 0
  // What it has told before it tells of another device is all that there was to tell.
  const mark = async (): Promise<void> => {
    marks += 1
    const name = `mark${marks}`
    await expectSoon('the monitor tells', async () => {
      daemon.expectAlive()
      await netns.run(['ip', 'link', 'add', 'name', name, 'type', 'veth'])
      await netns.run(['ip', 'link', 'del', 'dev', name])
      return daemon.readLog().includes(name)
    })
  }
  await mark()
  const all = made.move()
  return {
    read: async () => {
      await mark()
      const lines = daemon.readLog().split('\n')
      return lines.filter((line) => line.includes(` ${ifname}@`) || line.includes(` ${ifname}:`))
    },
    [Symbol.asyncDispose]: async () => all.disposeAsync(),
  }
}
