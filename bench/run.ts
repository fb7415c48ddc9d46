// make bench: everything side by side in one run, as ratios. `make bench-datapath` runs one part.
import { sweepNetns } from '../lab/netns.ts'
import { benchAdd } from './add.ts'
import { benchAttach } from './attach.ts'
import { benchCluster } from './cluster.ts'
import { benchCrossNode } from './cross-node.ts'
import { benchDatapath } from './datapath.ts'
import { benchHealing } from './healing.ts'
import { benchManyNodes } from './many-nodes.ts'
import { benchMigration } from './migration.ts'
import { benchPlugging } from './plugging.ts'
import { renderRows, type Row } from './row.ts'
import { benchSidecar } from './sidecar.ts'
import { benchTransparency } from './transparency.ts'
import { benchVmEnds } from './vm-ends.ts'

interface Bench {
  readonly title: string
  readonly measure: () => Promise<readonly Row[]>
  /** Only when it is asked for: it needs a running cluster. */
  readonly isApart?: boolean
}

const BENCHES: Readonly<Record<string, Bench>> = {
  transparency: { title: 'Frame classes delivered both ways', measure: benchTransparency },
  datapath: { title: 'Data path, same node', measure: benchDatapath },
  attach: { title: 'Attaching a VM to its pod link', measure: benchAttach },
  'cross-node': { title: 'Data path, across nodes', measure: benchCrossNode },
  add: { title: 'CNI ADD', measure: benchAdd },
  plugging: { title: 'Plugging, across nodes', measure: benchPlugging },
  healing: { title: 'Many wires on a node', measure: benchHealing },
  'vm-ends': { title: 'Many VMs on a node', measure: benchVmEnds },
  'many-nodes': { title: 'Many wires over many nodes', measure: benchManyNodes },
  migration: { title: 'A VM that migrates', measure: benchMigration },
  sidecar: { title: 'Sidecar', measure: benchSidecar },
  cluster: { title: 'In a cluster', measure: benchCluster, isApart: true },
}

const asked = process.argv.slice(2)
const unknown = asked.filter((name) => !Object.hasOwn(BENCHES, name))
if (unknown.length > 0)
  throw new Error(
    `Cannot measure "${unknown.join('", "')}": expected ${Object.keys(BENCHES).join(', ')}`,
  )
await sweepNetns()
for (const [name, { title, measure, isApart = false }] of Object.entries(BENCHES))
  if (asked.includes(name) || (asked.length === 0 && !isApart))
    console.log(renderRows(title, await measure()))
