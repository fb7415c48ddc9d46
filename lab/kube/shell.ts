// A shell in the cluster, or one command: in the network of its control plane with kubectl, kubectl-l2wire and virtctl
// on PATH, or on one of its nodes. "make cluster-shell".
// Usage: node lab/kube/shell.ts [--node NAME] [-- COMMAND [ARGUMENT...]]
import { spawnSync } from 'node:child_process'
import { parseArgs } from 'node:util'

import { openKubeCluster } from './cluster.ts'
import { toShellEnvironment } from './kubectl.ts'

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { node: { type: 'string' } },
})
const cluster = await openKubeCluster()
const command = positionals.length > 0 ? positionals : [toShell(values.node)]
const enter = values.node === undefined ? cluster.enter : cluster.getNode(values.node).machine.enter
const [file = '', ...argv] = await enter(command)
const { status, error } = spawnSync(file, argv, {
  stdio: 'inherit',
  env: { ...process.env, ...toShellEnvironment() },
})
if (error !== undefined) throw error
process.exitCode = status ?? 1

/** The user's own shell may be missing on a node. */
function toShell(node: string | undefined): string {
  return node === undefined ? (process.env['SHELL'] ?? '/bin/bash') : '/bin/bash'
}
