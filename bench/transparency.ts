// How many classes of frames get through, both ways: a wire beside a Linux bridge, as it is and told to
// forward all it can be told to, and a macvtap in its modes.
import { FRAME_ROWS, type FrameRow } from '../core/tester/frames.ts'
import type { VerdictColumn } from '../core/tester/table.ts'
import { testCable } from '../kernel/tester/cable-test.ts'
import { newNetnsStation } from '../kernel/tester/netns-station.ts'
import { run } from '../kernel/run.ts'
import type { Station } from '../kernel/tester/station.ts'
import { newLabNetns, type LabNetns } from '../lab/netns.ts'
import { newLabNode } from '../lab/node.ts'
import { newMacvtapStation } from './macvtap-station.ts'
import { toFigureRow, type Row } from './row.ts'

const NIC = 'eth1'
/** All bits but 0 to 2, which the kernel refuses (01-80-C2-00-00-00, -01 and -02). */
const GROUP_FORWARD_ALL = '65528'

export async function benchTransparency(): Promise<readonly Row[]> {
  return [
    await countRows('wire', newWire, FRAME_ROWS.length),
    await countRows('Linux bridge', async (made) => newBridge(made)),
    await countRows('Linux bridge, group_fwd_mask 65528', async (made) =>
      newBridge(made, ['group_fwd_mask', GROUP_FORWARD_ALL]),
    ),
    await countRows('macvtap, bridge mode', async (made) => newMacvtap(made, 'bridge')),
    await countRows('macvtap, passthru mode', async (made) => newMacvtap(made, 'passthru')),
    await countRows('macvtap, passthru mode, promiscuous', async (made) =>
      newMacvtap(made, 'passthru', ['promisc', 'on']),
    ),
  ]
}

type NewCable = (
  made: AsyncDisposableStack,
) => Promise<{ readonly a: Station; readonly b: Station }>

// What learns MACs learns wrong ones from these, and would lose later rows for it: on a cable of their own.
function isMirrored({ name }: FrameRow): boolean {
  return name.includes('mirrored')
}

async function countRows(name: string, newCable: NewCable, want?: number): Promise<Row> {
  const columns: VerdictColumn[] = []
  for (const rows of [
    FRAME_ROWS.filter((row) => !isMirrored(row)),
    FRAME_ROWS.filter(isMirrored),
  ]) {
    await using made = new AsyncDisposableStack()
    columns.push(...(await testCable(await newCable(made), rows)))
  }
  const lost = FRAME_ROWS.filter((row) =>
    columns.some(({ verdicts }) =>
      verdicts.some((verdict) => verdict.name === row.name && verdict.outcome !== 'delivered'),
    ),
  )
  const count = FRAME_ROWS.length - lost.length
  const names = lost.slice(0, 3).map((row) => row.name)
  const examples =
    lost.length === 0 ? '' : `, loses ${names.join(', ')}${lost.length > 3 ? ', …' : ''}`
  const measured = `${count} of ${FRAME_ROWS.length}${examples}`
  if (want === undefined) return toFigureRow(name, measured)
  return { name, measured, want: `${want}`, met: count === want }
}

async function newWire(made: AsyncDisposableStack): ReturnType<NewCable> {
  const node = made.use(await newLabNode())
  const [a, b] = [
    made.use(await newLabNetns('a', { ipv6: false })),
    made.use(await newLabNetns('b', { ipv6: false })),
  ]
  for (const netns of [a, b])
    await node.mustCall(
      { cniVersion: '1.1.0', name: 'bench', type: 'l2wire', mtu: 9216 },
      { command: 'ADD', containerID: netns.name, netns: netns.path, ifname: NIC },
    )
  return { a: toStation(a, NIC), b: toStation(b, NIC) }
}

async function newBridge(
  made: AsyncDisposableStack,
  options: readonly string[] = [],
): ReturnType<NewCable> {
  const [a, b] = [
    made.use(await newLabNetns('a', { ipv6: false })),
    made.use(await newLabNetns('b', { ipv6: false })),
  ]
  const middle = made.use(await newLabNetns('bridge', { ipv6: false }))
  await middle.run([
    'ip',
    'link',
    'add',
    'name',
    'l2wbr',
    'mtu',
    '9216',
    'type',
    'bridge',
    ...options,
  ])
  await middle.run(['ip', 'link', 'set', 'dev', 'l2wbr', 'up'])
  for (const [port, netns] of [
    ['l2wp1', a],
    ['l2wp2', b],
  ] as const) {
    await addVeth(netns, NIC, middle, port)
    await middle.run(['ip', 'link', 'set', 'dev', port, 'master', 'l2wbr', 'up'])
  }
  return { a: toStation(a, NIC), b: toStation(b, NIC) }
}

async function newMacvtap(
  made: AsyncDisposableStack,
  mode: string,
  options: readonly string[] = [],
): ReturnType<NewCable> {
  const [pod, far] = [
    made.use(await newLabNetns('pod', { ipv6: false })),
    made.use(await newLabNetns('far', { ipv6: false })),
  ]
  await addVeth(pod, NIC, far, NIC)
  await far.run(['ip', 'link', 'set', 'dev', NIC, 'up'])
  await pod.run(['ip', 'link', 'add', 'link', NIC, 'name', 'tap1', 'type', 'macvtap', 'mode', mode])
  await pod.run(['ip', 'link', 'set', 'dev', 'tap1', ...options, 'up'])
  return { a: made.use(await newMacvtapStation(pod, 'tap1')), b: toStation(far, NIC) }
}

async function addVeth(a: LabNetns, nameA: string, b: LabNetns, nameB: string): Promise<void> {
  const peer = ['peer', 'name', nameB, 'mtu', '9216', 'netns', b.path]
  await a.run(['ip', 'link', 'add', 'name', nameA, 'mtu', '9216', 'type', 'veth', ...peer])
  await a.run(['ip', 'link', 'set', 'dev', nameA, 'up'])
}

function toStation(netns: LabNetns, ifname: string): Station {
  return newNetnsStation(run, { label: netns.name, netns: netns.path, ifname })
}
