// Run by a VM whose cgroups are the new ones: a node of a cluster is switched on, its kubelet runs a pod that lies
// there as a file, and it is switched off. Prints what was there meanwhile, as JSON.
// Usage: node fixture-cgroup2.ts KUBELET MULTUS PAUSE      two programs, and the archive of an image
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises'
import { join, relative } from 'node:path'

import { CGROUP_FOLDER } from '../../lab/kube/cgroup-mounts.ts'
import { listFolders, removeCgroup } from '../../lab/kube/cgroups.ts'
import { toKubeCluster } from '../../lab/kube/cluster.ts'
import { ensureKeys } from '../../lab/kube/control-plane.ts'
import { startFabric } from '../../lab/kube/fabric.ts'
import { KUBELET_FILES, PAUSE_IMAGE, toKubeletConfig } from '../../lab/kube/node-config.ts'
import { bootNode, layOutNode } from '../../lab/kube/node.ts'
import { newPlan, type ClusterPlan, type NodePlan } from '../../lab/kube/plan.ts'
import { putOnPath } from '../../lab/kube/programs-on-path.ts'
import { CGROUP, machineHasIpv6, toMachineFolder } from '../../lab/kube/state.ts'
import { waitFor } from '../../lab/kube/wait.ts'

/** Files of a cgroup, and the names of the processes in it. */
export interface CgroupReport {
  readonly memory: string
  readonly cpu: string
  readonly processes: readonly string[]
}

/** Cgroups by their paths below the cluster's. */
export type CgroupReports = Readonly<Record<string, CgroupReport>>

export interface NodeReport {
  readonly on: CgroupReports
  readonly off: CgroupReports
  /** Of the whole VM. */
  readonly processesWhenOff: readonly string[]
  /** When the cluster is gone. */
  readonly left: CgroupReports
}

/** Emulated, and beside others. */
const POD_MS = 300_000
const MANIFESTS = '/etc/kubernetes/manifests'
const POD = {
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: { name: 'limited', namespace: 'default' },
  spec: {
    // Multus would ask the API server, and there is none.
    hostNetwork: true,
    containers: [
      {
        name: 'pause',
        image: PAUSE_IMAGE,
        imagePullPolicy: 'Never',
        resources: {
          requests: { memory: '16Mi', cpu: '100m' },
          limits: { memory: '64Mi', cpu: '250m' },
        },
      },
    ],
  },
}

const [kubelet = '', multus = '', pause = ''] = process.argv.slice(2)
process.stdout.write(JSON.stringify(await runNode()))

async function runNode(): Promise<NodeReport> {
  const cluster = toKubeCluster(newPlan(1, await machineHasIpv6()))
  const { plan, fabric } = cluster
  const [node] = plan.nodes
  if (node === undefined) throw new Error('No node is in the plan, expected one')
  const { machine, loadImages, start, powerOff } = cluster.getNode(node.name)
  await putOnPath({ kubelet, multus })
  await ensureKeys(plan)
  await startFabric(plan, fabric)
  await layOutNode(plan, node)
  await layOutPod(plan, node)
  await bootNode(plan, fabric, node)
  await loadImages([{ name: PAUSE_IMAGE, file: pause }])
  await start('kubelet')
  const daemons = ['containerd', 'kubelet']
  await waitFor('the pod runs', podRuns, { timeoutMs: POD_MS, machine, daemons })
  const on = await report()
  await powerOff()
  const [off, processesWhenOff] = [await report(), await listAllProcesses()]
  await removeCgroup(CGROUP)
  return { on, off, processesWhenOff, left: await report() }
}

async function layOutPod(plan: ClusterPlan, { name }: NodePlan): Promise<void> {
  const disk = join(toMachineFolder(name), 'disk')
  const config = { ...toKubeletConfig(plan), staticPodPath: MANIFESTS }
  await writeFile(join(disk, KUBELET_FILES.config), JSON.stringify(config))
  await mkdir(join(disk, MANIFESTS))
  await writeFile(join(disk, MANIFESTS, 'limited.json'), JSON.stringify(POD))
}

/** One process holds the pod's namespaces; the other is its container's. */
async function podRuns(): Promise<boolean> {
  const names = Object.values(await report()).flatMap(({ processes }) => processes)
  return names.filter((name) => name === 'pause').length === 2
}

async function report(): Promise<CgroupReports> {
  const top = join(CGROUP_FOLDER, CGROUP)
  const entries = (await listFolders(CGROUP)).map(async (folder) => {
    const pids = (await read(join(folder, 'cgroup.procs'))).split('\n').filter(Boolean)
    const cgroup: CgroupReport = {
      memory: await read(join(folder, 'memory.max')),
      cpu: await read(join(folder, 'cpu.max')),
      processes: await Promise.all(pids.map(readName)),
    }
    return [relative(top, folder), cgroup] as const
  })
  return Object.fromEntries(await Promise.all(entries))
}

async function listAllProcesses(): Promise<readonly string[]> {
  const names = await readdir('/proc')
  return Promise.all(names.filter((name) => /^\d+$/.test(name)).map(readName))
}

async function readName(pid: string): Promise<string> {
  return read(`/proc/${pid}/comm`)
}

/** Nothing of what has gone meanwhile, or of a controller that the cgroup was not given. */
async function read(file: string): Promise<string> {
  return readFile(file, 'utf8').then(
    (text) => text.trim(),
    () => '',
  )
}
