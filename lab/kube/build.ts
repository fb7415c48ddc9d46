// Builds the programs and images of the cluster with KubeVirt before it starts. The first time takes a quarter
// of an hour.
import { ensureKubernetesProgram, ensureKubevirt, KUBERNETES_PROGRAMS } from './programs.ts'
import { readKubevirtVersion } from './kubevirt-version.ts'

const say = (line: string): boolean => process.stdout.write(`${line}\n`)

for (const name of KUBERNETES_PROGRAMS) await ensureKubernetesProgram(name, say)
await ensureKubevirt(readKubevirtVersion(), say)
