// One TCP stream and 64-byte frames per second: a same-node wire, and one whose frames are all whole, beside a
// direct veth pair and a Linux bridge. Rounds alternate between the paths, so that a busy moment of the machine hits all.
import type { Manifest } from '../lab/manifests.ts'
import { newLabNetns } from '../lab/netns.ts'
import { newLabNode } from '../lab/node.ts'
import { addAddresses, measure, measureFrames, measureTcp, NIC, type Path } from './path.ts'
import { toFigureRow, toRatioRow, type Row } from './row.ts'

export async function benchDatapath(): Promise<readonly Row[]> {
  await using made = new AsyncDisposableStack()
  const whole = { offload: false }
  const paths = [
    await newWirePath(made, 'wire'),
    await newWirePath(made, 'whole', whole),
    await newVethPath(made),
    await newBridgePath(made),
  ]
  for (const path of paths) await addAddresses(path)
  // Each end on a core of its own: otherwise the scheduler's choice of cores is what is measured.
  const tcp = await measure(paths, async (path) => measureTcp(path, ['1', '0']))
  const loose = await measure(paths, async (path) => measureTcp(path, undefined))
  const pps = await measure(paths, measureFrames)
  return [
    toRatioRow('TCP, wire to direct veth pair', tcp.wire / tcp.veth, { atLeast: 0.95 }),
    toRatioRow('TCP, wire to Linux bridge', tcp.wire / tcp.bridge, { atLeast: 1 }),
    toFigureRow('TCP, "offload": false to wire', (tcp.whole / tcp.wire).toFixed(2)),
    toFigureRow('TCP, wire', `${(tcp.wire / 1e9).toFixed(1)} Gbit/s`),
    toFigureRow(
      'TCP, wire to direct veth pair, ends on any core',
      (loose.wire / loose.veth).toFixed(2),
    ),
    toFigureRow(
      'TCP, wire to Linux bridge, ends on any core',
      (loose.wire / loose.bridge).toFixed(2),
    ),
    toFigureRow('64-byte frames, "offload": false to wire', (pps.whole / pps.wire).toFixed(2)),
    toRatioRow('64-byte frames, wire to direct veth pair', pps.wire / pps.veth, { atLeast: 0.65 }),
    toRatioRow('64-byte frames, wire to Linux bridge', pps.wire / pps.bridge, { atLeast: 1 }),
    toFigureRow('64-byte frames, wire', `${(pps.wire / 1e3).toFixed(0)} thousand/s`),
  ]
}

type Name = 'wire' | 'whole' | 'veth' | 'bridge'

async function newWirePath(
  made: AsyncDisposableStack,
  name: 'wire' | 'whole',
  more: Manifest = {},
): Promise<Path<Name>> {
  const node = made.use(await newLabNode())
  const from = made.use(await newLabNetns(`${name}-a`, { ipv6: false }))
  const to = made.use(await newLabNetns(`${name}-b`, { ipv6: false }))
  for (const netns of [from, to])
    await node.mustCall(
      { cniVersion: '1.1.0', name: 'bench', type: 'l2wire', ...more },
      { command: 'ADD', containerID: netns.name, netns: netns.path, ifname: NIC },
    )
  return { name, from, to }
}

async function newVethPath(made: AsyncDisposableStack): Promise<Path<Name>> {
  const from = made.use(await newLabNetns('veth-a', { ipv6: false }))
  const to = made.use(await newLabNetns('veth-b', { ipv6: false }))
  await from.run([
    'ip',
    'link',
    'add',
    'name',
    NIC,
    'type',
    'veth',
    'peer',
    'name',
    NIC,
    'netns',
    to.path,
  ])
  return { name: 'veth', from, to }
}

async function newBridgePath(made: AsyncDisposableStack): Promise<Path<Name>> {
  const from = made.use(await newLabNetns('bridge-a', { ipv6: false }))
  const to = made.use(await newLabNetns('bridge-b', { ipv6: false }))
  const middle = made.use(await newLabNetns('bridge', { ipv6: false }))
  await middle.run(['ip', 'link', 'add', 'name', 'l2wbr', 'type', 'bridge'])
  await middle.run(['ip', 'link', 'set', 'dev', 'l2wbr', 'up'])
  for (const [port, netns] of [
    ['l2wp1', from],
    ['l2wp2', to],
  ] as const) {
    await netns.run([
      'ip',
      'link',
      'add',
      'name',
      NIC,
      'type',
      'veth',
      'peer',
      'name',
      port,
      'netns',
      middle.path,
    ])
    await middle.run(['ip', 'link', 'set', 'dev', port, 'master', 'l2wbr', 'up'])
  }
  return { name: 'bridge', from, to }
}
