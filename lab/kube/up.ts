// Makes a whole cluster on this machine: "make cluster-up". It leaves finished parts as they are, so it may be
// called again, even after a failure.
// Usage: node lab/kube/up.ts      in the environment NODES=3, KUBEVIRT=1.9.0
import { join } from 'node:path'

import type { Say } from '../go-build.ts'
import { toKubeCluster, type KubeCluster } from './cluster.ts'
import { diagnose } from './diagnosis.ts'
import { DNS, ensureDnsProgram } from './dns.ts'
import { ensureImages } from './images.ts'
import { installKubevirt, installL2wire } from './install.ts'
import { readKubevirtVersion } from './kubevirt-version.ts'
import { bringNodesUp } from './nodes-up.ts'
import { renderOperatorManifest } from './operator-manifest.ts'
import { newPlan } from './plan.ts'
import {
  ensureKubernetesProgram,
  ensureKubevirt,
  KUBERNETES_PROGRAMS,
  type KubevirtBuild,
} from './programs.ts'
import { putOnPath } from './programs-on-path.ts'
import { newProgress } from './progress.ts'
import { ensureState, machineHasIpv6, MACHINES, STATE } from './state.ts'
import { readSysctls } from './sysctls.ts'

const USE = `
The cluster is up. A shell with kubectl, kubectl-l2wire and virtctl:

    make cluster-shell

or one command: node lab/kube/shell.ts -- kubectl get pods -A
A command on a node: node lab/kube/shell.ts --node n1 -- ip link
More: docs/cluster.md. And away with it: make cluster-down`

const say = newProgress()
const { nodes, hasIpv6, version } = await ensureState(async () => {
  const nodes = Number(process.env['NODES'] ?? 2)
  const hasIpv6 = await machineHasIpv6()
  // Checked before anything is decided for good.
  newPlan(nodes, hasIpv6)
  const version = readKubevirtVersion()
  return { nodes, hasIpv6, version, sysctls: await readSysctls() }
})
say(`a cluster of ${nodes} nodes with KubeVirt ${version}, in ${STATE}`)
const cluster = toKubeCluster(newPlan(nodes, hasIpv6))
try {
  await bringUp(cluster, version, say)
  console.log(USE)
} catch (error) {
  console.error(error instanceof Error ? error.message : error)
  for (const line of await diagnose(cluster)) console.error(line)
  console.error(`What runs keeps running, so that you can look at it; logs are below ${MACHINES}.`)
  process.exitCode = 1
}

async function bringUp(cluster: KubeCluster, version: string, say: Say): Promise<void> {
  const build = await ensurePrograms(version, say)
  const images = await ensureImages(build, say)
  await bringNodesUp(cluster, images, say)
  const manifest = await renderOperatorManifest(build)
  await installKubevirt(cluster, { version, manifest }, say)
  say('KubeVirt is available')
  await installL2wire(cluster)
  say('l2wire is in, and its binding registered')
}

async function ensurePrograms(version: string, say: Say): Promise<KubevirtBuild> {
  const files: Record<string, string> = { [DNS]: await ensureDnsProgram(say) }
  for (const name of KUBERNETES_PROGRAMS) files[name] = await ensureKubernetesProgram(name, say)
  const build = await ensureKubevirt(version, say)
  await putOnPath({ ...files, virtctl: join(build.folder, 'virtctl') })
  return build
}
