// Builds what the cluster tests run and validate against, before they start: it takes minutes once.
import { CLUSTER_BINARIES, ensureClusterBinary } from '../../lab/cluster-binaries.ts'
import { ensureKubevirtPolicies, listCrdFiles } from '../../lab/cluster-crds.ts'
import { ensureDhcpServers, ensureHookDriver } from '../../lab/cluster-hooks.ts'

const say = (line: string): boolean => process.stdout.write(`${line}\n`)

for (const name of CLUSTER_BINARIES) await ensureClusterBinary(name, say)
await listCrdFiles(say)
await ensureKubevirtPolicies(say)
await ensureHookDriver(say)
await ensureDhcpServers(say)
