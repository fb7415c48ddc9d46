// A launcher whose VM attaches by macvtap, and the devices that its node has for QEMU.
import { lstat, readlink } from 'node:fs/promises'
import { join } from 'node:path'

import { toPodLinkName, toTapName } from '../../core/name.ts'
import { run } from '../../kernel/run.ts'
import type { CniCall } from '../../lab/cni.ts'
import { getNadConfig, readManifest, type Manifest } from '../../lab/manifests.ts'
import { newLabNetns, type LabNetns } from '../../lab/netns.ts'
import { newLabNode, type LabNode } from '../../lab/node.ts'

const NETWORK = 'ge0'
export const POD_LINK = toPodLinkName(NETWORK)
export const TAP = toTapName(POD_LINK)
export const WIRE = { cniVersion: '1.1.0', name: 'w', type: 'l2wire', mtu: 1400 }
/** The index of a node's first macvtap. */
export const FIRST = 70_000_001

export interface MacvtapLauncher extends AsyncDisposable {
  readonly node: LabNode
  readonly pod: LabNetns
  /** What binds the VM's first NIC. */
  readonly bind: Manifest
  readonly bindTo: (network: string) => Manifest
  /** All of a call but its command. */
  readonly sandbox: (ifname: string) => Omit<CniCall, 'command'>
  /** What CHECK of the first NIC has to complain of. */
  readonly check: () => Promise<Manifest | undefined>
  /** The path of a device, by its macvtap's index. */
  readonly toDevice: (index: number) => string
  /** What a container runtime reads of a device: kind, owner, mode and where it leads. */
  readonly readDevice: (index: number) => Promise<string>
}

export async function newMacvtapLauncher(): Promise<MacvtapLauncher> {
  await using made = new AsyncDisposableStack()
  const node = made.use(await newLabNode())
  const pod = made.use(await newLabNetns('launcher'))
  const nad = getNadConfig(await readManifest('deploy/components/macvtap/binding-nad-macvtap.yaml'))
  const bindTo = (network: string): Manifest => ({
    ...nad,
    args: { cni: { logicNetworkName: network } },
  })
  const bind = bindTo(NETWORK)
  const sandbox: MacvtapLauncher['sandbox'] = (ifname) => ({
    containerID: 'c1',
    netns: pod.path,
    ifname,
  })
  const toDevice = (index: number): string => join(node.folder, 'macvtap', `tap${index}`)
  const all = made.move()
  return {
    node,
    pod,
    bind,
    bindTo,
    sandbox,
    check: async () => {
      const call = { command: 'CHECK', ...sandbox('net1') }
      return (await node.call({ ...bind, prevResult: {} }, call)).output
    },
    toDevice,
    readDevice: async (index) => readDevice(toDevice(index)),
    [Symbol.asyncDispose]: async () => all.disposeAsync(),
  }
}

async function readDevice(path: string): Promise<string> {
  const found = await lstat(path).catch(() => undefined)
  if (found === undefined) return 'none'
  if (!found.isCharacterDevice()) return 'no device'
  const number = await run(['stat', '-c', '%Hr:%Lr', path]).catch(() => 'gone')
  const target = await readlink(`/sys/dev/char/${number.trim()}`).catch(() => 'nothing')
  const mode = (found.mode & 0o777).toString(8)
  return `${found.uid}:${found.gid} ${mode} ${target.replace(/^.*\/net\//, '')}`
}

/** A device that is as ADD left it. */
export function toWhole(tap: string, index: number): string {
  return `107:107 660 ${tap}/macvtap/tap${index}`
}
