// What a VM's attachment to its pod link costs: ours beside KubeVirt's bridge and macvtaps. The neighbour
// is a veth's far end. In the VM's place tap-reader.pl moves each frame between the attachment and a NIC
// whose stack sends and receives. Without KVM a guest's emulation would be most of every figure. A QEMU
// without a guest, its hub joining two taps, moves as many frames a second as this reader, but drops the
// virtio header and with it segmentation offload.
import { newAttachedPath, SHAPES, type ShapeName } from './attach-shapes.ts'
import { measureFrames, measureRounds, measureTcp, type Path } from './path.ts'
import { takePriority } from './priority.ts'
import { getMedian, toFigureRow, toRatioRow, type Row } from './row.ts'

const ROUNDS = 5
const FRAMES = 100_000
const TCP_BYTES = 500_000_000
const PEERS = ['bridge', 'macvtap bridge', 'macvtap passthru'] as const

type Measure = (path: Path<ShapeName>) => Promise<number>

export async function benchAttach(): Promise<readonly Row[]> {
  await using made = new AsyncDisposableStack()
  const { isReal } = made.use(await takePriority())
  const paths: Path<ShapeName>[] = []
  for (const name of Object.keys(SHAPES) as ShapeName[])
    paths.push(await newAttachedPath(name, made))
  const rows: Row[] = []
  const compare = async (what: string, toFigure: (median: number) => string, measure: Measure) => {
    const rounds = await measureRounds(paths, ROUNDS, measure)
    rows.push(toFigureRow(what, toFigure(getMedian(rounds.map(({ ours }) => ours)))))
    const getRatio = (over: ShapeName, under: ShapeName): number =>
      getMedian(rounds.map((round) => round[over] / round[under]))
    for (const name of PEERS)
      rows.push(toRatioRow(`${what}: ours to ${name}`, getRatio('ours', name), { atLeast: 1 }))
    const servedRatio = getRatio('ours, served', 'ours')
    rows.push(toFigureRow(`${what}: ours on a pod network to ours`, servedRatio.toFixed(2)))
  }
  for (const bytes of [64, 1500]) {
    const options = { bytes, frames: FRAMES }
    const what = `${bytes}-byte frames`
    await compare(`${what}, VM to wire`, toThousands, async (path) => measureFrames(path, options))
    await compare(`${what}, wire to VM`, toThousands, async ({ name, from, to }) =>
      measureFrames({ name, from: to, to: from }, options),
    )
  }
  for (const [direction, isBackwards] of [
    ['VM to wire', false],
    ['wire to VM', true],
  ] as const)
    await compare(
      `TCP, ${direction}`,
      (rate) => `${(rate / 1e9).toFixed(1)} Gbit/s`,
      async (path) => measureTcp(path, undefined, { bytes: TCP_BYTES, isBackwards }),
    )
  return [...rows, toFigureRow('measured at real-time priority', isReal ? 'yes' : 'no')]
}

function toThousands(rate: number): string {
  return `${(rate / 1e3).toFixed(0)} thousand/s`
}
