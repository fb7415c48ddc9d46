// What it costs a node that nobody tells of filters that go in a launcher: looking at the ends of many VMs.
import { callAgent } from '../cni-shim/client.ts'
import { toPodLinkName } from '../core/name.ts'
import { PROTOCOL } from '../core/cni/protocol.ts'
import type { Manifest } from '../lab/manifests.ts'
import { newLabNetns, type LabNetns } from '../lab/netns.ts'
import { newLabNode, type LabNode } from '../lab/node.ts'
import { measureIdle, measureLook } from './healing.ts'
import { toFigureRow, type Row } from './row.ts'

const LAUNCHERS = 50
const NICS = 10
const ENDS = LAUNCHERS * NICS

export async function benchVmEnds(): Promise<readonly Row[]> {
  await using made = new AsyncDisposableStack()
  const node = made.use(await newLabNode())
  for (let at = 0; at < LAUNCHERS; at += 1) {
    const launcher = made.use(await newLabNetns(`vm${at}`))
    await plugLauncher(node, launcher)
  }
  const look = await measureLook(node)
  const idle = await measureIdle(node)
  return [
    toFigureRow(
      `CPU of a look at ${ENDS} VM ends in ${LAUNCHERS} launchers`,
      `${look.toFixed(2)} s`,
    ),
    {
      name: `idle CPU, ${ENDS} VM ends`,
      measured: `${(idle * 100).toFixed(1)} %`,
      want: '0.0 %',
      met: idle * 100 < 0.05,
    },
  ]
}

// Straight to the agent: a thousand shims would take longer to start than the agent takes to answer.
async function plugLauncher(node: LabNode, launcher: LabNetns): Promise<void> {
  const call = async (ifname: string, config: Manifest): Promise<void> => {
    const args = {
      command: 'ADD' as const,
      containerID: launcher.name,
      netns: launcher.path,
      ifname,
      args: '',
      path: '',
    }
    const answer = await callAgent(node.socket, { protocol: PROTOCOL, args, config })
    if (answer.isError) throw new Error(`Cannot plug ${ifname}: ${JSON.stringify(answer.output)}`)
  }
  const common = { cniVersion: '1.1.0' }
  for (let nic = 0; nic < NICS; nic += 1) {
    const network = `nic${nic}`
    // Two and two are the ends of one cable: then there is nothing to wait for.
    const name = `${launcher.name}-${Math.floor(nic / 2)}`
    await call(toPodLinkName(network), { ...common, name, type: 'l2wire' })
    const args = { cni: { logicNetworkName: network } }
    await call(`net${nic}`, { ...common, name: 'bind', type: 'l2wire-bind', args })
  }
}
