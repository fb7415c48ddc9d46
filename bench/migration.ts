// What a live migration costs a stream of a thousand frames a second each way: a wire beside KubeVirt's bridge
// binding on bridges that a VXLAN joins. Two VMs, which move to and fro in turns; the far ends are on a third node. Then
// as many migrations that are cancelled on their way.
import {
  COMPLETED,
  FRAMES_PER_SECOND,
  newMigrationLab,
  type MigrationLab,
  type MigrationReport,
} from '../lab/migration.ts'
import { moveVm, moveVmInVain } from '../lab/migration-move.ts'
import { newBridgeShape, newWireShape } from '../lab/migration-shape.ts'
import { getMedian, toFigureRow, toRatioRow, type Row } from './row.ts'

const ROUNDS = 20
const PLACES = ['target', 'source'] as const
/** What a wire may take to follow its guest. */
const FOLLOW_MS = 30

const FAULTS = ['lost', 'doubled', 'reordered'] as const

type Reports = readonly MigrationReport[]

export async function benchMigration(): Promise<readonly Row[]> {
  await using made = new AsyncDisposableStack()
  const farPlace = 'third'
  const byWire = made.use(await newMigrationLab({ farPlace, newShape: async () => newWireShape() }))
  const byBridge = made.use(await newMigrationLab({ farPlace, newShape: newBridgeShape }))
  const wire: MigrationReport[] = []
  const bridge: MigrationReport[] = []
  for (let round = 0; round < ROUNDS; round += 1) {
    wire.push(await moveOnce(byWire, round))
    bridge.push(await moveOnce(byBridge, round))
  }
  const cancelled: MigrationReport[] = []
  for (let round = 0; round < ROUNDS; round += 1) cancelled.push(await cancelOnce(byWire))
  const most = Math.max(...wire.map(toLateMs))
  return [
    ...compare('outage towards the guest', { wire, bridge }, ({ toGuest }) => toGuest.longestGapMs),
    ...compare(
      'outage from the guest',
      { wire, bridge },
      ({ fromGuest }) => fromGuest.longestSilenceMs,
    ),
    show('the guest runs nowhere', { wire, bridge }, ({ pauseMs }) => pauseMs),
    show('frames to the guest lost before it stops', { wire, bridge }, toUntakenMs),
    show('frames to the guest lost once it runs again', { wire, bridge }, toLateMs),
    {
      name: `frames to the guest lost once it runs again, wire, most of ${ROUNDS}`,
      measured: `${most.toFixed(0)} ms`,
      want: `<= ${FOLLOW_MS} ms`,
      met: most <= FOLLOW_MS,
    },
    ...FAULTS.map((fault) => toNoneRow(fault, wire)),
    toCancelledRow(cancelled),
  ]
}

async function moveOnce(lab: MigrationLab, round: number): Promise<MigrationReport> {
  return moveVm(lab, PLACES[round % PLACES.length] ?? 'target')
}

async function cancelOnce(lab: MigrationLab): Promise<MigrationReport> {
  const { report, said } = await moveVmInVain(lab, async (migration) => migration.cancel())
  if (said === COMPLETED) throw new Error('The VM moved, expected its migration to be cancelled')
  return report
}

/** As long as the sender takes for them. */
function toLateMs({ toGuest }: MigrationReport): number {
  return (toGuest.lostAfter / FRAMES_PER_SECOND) * 1000
}

/** What the guest had not taken when it stopped: of a wire and of a bridge alike. */
function toUntakenMs({ toGuest }: MigrationReport): number {
  return (toGuest.lostBefore / FRAMES_PER_SECOND) * 1000
}

interface Both {
  readonly wire: Reports
  readonly bridge: Reports
}

type Read = (report: MigrationReport) => number

function compare(name: string, both: Both, read: Read): readonly Row[] {
  const ratio = getMedian(both.wire.map(read)) / getMedian(both.bridge.map(read))
  // The pause is most of it, and no two are alike.
  return [toRatioRow(`${name}, wire to bridges`, ratio, { atMost: 1.2 }), show(name, both, read)]
}

function show(name: string, { wire, bridge }: Both, read: Read): Row {
  const spread = (reports: Reports): string => {
    const values = reports.map(read)
    return `${getMedian(values).toFixed(0)} / ${Math.max(...values).toFixed(0)}`
  }
  return toFigureRow(
    `${name}, p50 / most of ${ROUNDS}`,
    `wire ${spread(wire)} ms, bridges ${spread(bridge)} ms`,
  )
}

/** Of the guest's own frames; towards the guest none is doubled or reordered either. */
function toNoneRow(fault: 'lost' | 'doubled' | 'reordered', reports: Reports): Row {
  const ways = reports.flatMap(({ toGuest, fromGuest }) =>
    fault === 'lost' ? [fromGuest] : [toGuest, fromGuest],
  )
  const count = ways.reduce((sum, way) => sum + way[fault], 0)
  const name = fault === 'lost' ? "the guest's own frames lost" : `frames ${fault}, either way`
  return { name: `${name}, wire`, measured: `${count}`, want: '0', met: count === 0 }
}

function toCancelledRow(reports: Reports): Row {
  const ways = reports.flatMap(({ toGuest, fromGuest }) => [toGuest, fromGuest])
  const count = ways.reduce((sum, way) => sum + FAULTS.reduce((n, fault) => n + way[fault], 0), 0)
  return {
    name: `frames lost, doubled or reordered by ${reports.length} cancelled migrations, wire`,
    measured: `${count}`,
    want: '0',
    met: count === 0,
  }
}
