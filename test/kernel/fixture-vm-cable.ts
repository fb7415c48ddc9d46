// A launcher whose VM has one NIC, on a cable, and who hears at the far end what the launcher says. The
// launcher's own stack is as a container runtime leaves it: it speaks IPv6 wherever it is let.
import { expect } from 'chai'

import { toPodLinkName, toTapName } from '../../core/name.ts'
import { describeFrame } from '../../core/tester/verdict.ts'
import type { CniCall } from '../../lab/cni.ts'
import { getNadConfig, readManifest, type Manifest } from '../../lab/manifests.ts'
import { newLabNetns, type LabNetns } from '../../lab/netns.ts'
import type { LabNode } from '../../lab/node.ts'
import { openTap } from '../../lab/tap-opener.ts'
import { expectSoon } from '../expect-soon.ts'
import { startListening, type Listening } from '../listening.ts'
import { readLinks } from './fixture-links.ts'

export type Attach = 'tap' | 'macvtap'

export const POD_LINK = toPodLinkName('ge0')
export const TAP = toTapName(POD_LINK)
export const MAC = '02:00:5e:00:53:07'

const NADS: Readonly<Record<Attach, string>> = {
  tap: 'deploy/base/binding-nad.yaml',
  macvtap: 'deploy/components/macvtap/binding-nad-macvtap.yaml',
}

/** A NIC whose stack nothing keeps from speaking. */
const OTHER = 'other'

export interface Launcher {
  readonly netns: LabNetns
  readonly containerID: string
}

export interface VmCable extends AsyncDisposable {
  readonly far: LabNetns
  readonly heard: Listening
  readonly launcher: Launcher
  /** Of the same VM. */
  readonly newLauncher: () => Promise<Launcher>
  readonly plug: (to: Launcher, more?: Manifest) => Promise<void>
  readonly unplug: (from: Launcher) => Promise<void>
  readonly bind: (to: Launcher, more?: Manifest) => Promise<void>
  readonly unbind: (from: Launcher) => Promise<void>
  /** What CHECK of the binding has to complain of. */
  readonly check: () => Promise<unknown>
  /** Opens the VM's tap; guest is a namespace in which the NIC is then. */
  readonly open: (guest: LabNetns) => Promise<AsyncDisposable>
  /** That nothing arrived at the far end, by the time at which what the launcher has to say is said. */
  readonly expectSilence: (when: string, from?: Launcher) => Promise<void>
}

function toCall(command: string, { containerID, netns }: Launcher, ifname: string): CniCall {
  const args = 'K8S_POD_NAMESPACE=lab;K8S_POD_NAME=virt-launcher-r1'
  return { command, containerID, netns: netns.path, ifname, args }
}

export async function newVmCable(
  node: LabNode,
  attach: Attach,
  keys: Manifest = {},
): Promise<VmCable> {
  await using made = new AsyncDisposableStack()
  const wire = { cniVersion: '1.1.0', name: 'w', type: 'l2wire', ...keys }
  const withMac = { capabilities: { mac: true }, runtimeConfig: { mac: MAC } }
  const nad = getNadConfig(await readManifest(NADS[attach]))
  const bound = { ...nad, args: { cni: { logicNetworkName: 'ge0' } } }
  const far = made.use(await newLabNetns('far', { ipv6: false }))
  // What a test adds later.
  const added = made.use(new AsyncDisposableStack())
  const newLauncher = async (): Promise<Launcher> => {
    const netns = added.use(await newLabNetns('launcher'))
    return { netns, containerID: `c-${netns.name}` }
  }
  const plug: VmCable['plug'] = async (to, more = {}) => {
    added.defer(async () => unplug(to))
    await node.mustCall({ ...wire, ...withMac, ...more }, toCall('ADD', to, POD_LINK))
  }
  const unplug: VmCable['unplug'] = async (from) => {
    await node.mustCall(wire, toCall('DEL', from, POD_LINK))
  }
  const bind: VmCable['bind'] = async (to, more = {}) => {
    added.defer(async () => unbind(to))
    await node.mustCall({ ...bound, ...more }, toCall('ADD', to, 'net1'))
  }
  const unbind: VmCable['unbind'] = async (from) => {
    await node.mustCall(bound, toCall('DEL', from, 'net1'))
  }
  const farCall = { containerID: 'c-far', netns: far.path, ifname: 'eth1' }
  const farArgs = { ...farCall, args: 'K8S_POD_NAMESPACE=lab;K8S_POD_NAME=far' }
  made.defer(async () => void (await node.mustCall(wire, { command: 'DEL', ...farArgs })))
  await node.mustCall(wire, { command: 'ADD', ...farArgs })
  const heard = made.use(await startListening(far.path, 'eth1'))
  const launcher = await newLauncher()
  const all = made.move()
  return {
    far,
    heard,
    launcher,
    newLauncher,
    plug,
    unplug,
    bind,
    unbind,
    check: async () => {
      const call = toCall('CHECK', launcher, 'net1')
      return (await node.call({ ...bound, prevResult: {} }, call)).output?.['msg']
    },
    open: async (guest) => openTap(launcher.netns, TAP, guest, MAC),
    expectSilence: async (when, from = launcher) => {
      await waitForStack(from.netns)
      expect((await heard.read()).map(describeFrame), when).to.deep.equal([])
    },
    [Symbol.asyncDispose]: async () => all.disposeAsync(),
  }
}

// What a stack says on a link that goes up now is the yardstick: its solicitation of routers comes last, and
// whatever else it had to say by now is said by then.
export async function waitForStack(netns: LabNetns): Promise<void> {
  const link = ['ip', 'link', 'add', 'name', OTHER, 'type', 'veth', 'peer', 'name', 'hearer']
  await netns.run(link)
  await netns.run(['ip', 'link', 'set', 'dev', 'hearer', 'addrgenmode', 'none', 'up'])
  try {
    await using listening = await startListening(netns.path, 'hearer')
    await netns.run(['ip', 'link', 'set', 'dev', OTHER, 'up'])
    await expectSoon('a stack that is let speak is heard', async () =>
      (await listening.read()).some(isRouterSolicitation),
    )
  } finally {
    await netns.run(['ip', 'link', 'del', 'dev', OTHER])
  }
}

/** ICMPv6 133, right behind the header of IPv6. */
function isRouterSolicitation(frame: Uint8Array): boolean {
  return frame[12] === 0x86 && frame[13] === 0xdd && frame[20] === 58 && frame[54] === 133
}

/** MTUs and flags, as the kernel has them. */
export async function readState({ netns }: Launcher): Promise<Readonly<Record<string, string>>> {
  const links = await readLinks(netns)
  return Object.fromEntries(
    [POD_LINK, TAP].map((name) => {
      const { mtu = 0, flags = [] } = links.get(name) ?? {}
      return [name, `${mtu} ${flags.includes('UP') ? 'up' : 'down'}`]
    }),
  )
}
