// The cluster's own command line: in the fabric's network, as its administrator, with the cluster's programs on
// PATH.
import { join } from 'node:path'

import { run, type RunOptions } from '../../kernel/run.ts'
import { ROOT, type Manifest } from '../manifests.ts'
import type { Machine } from './machine.ts'
import { BIN, KUBECONFIG, STATE } from './state.ts'

export interface Admin {
  /** Runs argv where the API server is reached, with kubectl, kubectl-l2wire and virtctl on PATH. Throws CommandError. */
  readonly run: (argv: readonly string[], options?: RunOptions) => Promise<string>
  /** Runs kubectl and returns what it prints. Throws CommandError. */
  readonly kubectl: (argv: readonly string[], options?: RunOptions) => Promise<string>
  readonly apply: (...objects: readonly Manifest[]) => Promise<void>
  /** In the namespace, if the kind has one. */
  readonly getObject: (kind: string, name: string, namespace?: string) => Promise<Manifest>
}

const TIMEOUT_MS = 120_000

export function newAdmin(fabric: Machine): Admin {
  const inside: Admin['run'] = async (argv, options = {}) =>
    run(await toShellArgv(fabric, argv), {
      timeoutMs: TIMEOUT_MS,
      env: toShellEnvironment(),
      ...options,
    })
  const kubectl: Admin['kubectl'] = async (argv, options) => inside(['kubectl', ...argv], options)
  return {
    run: inside,
    kubectl,
    apply: async (...items) => {
      const input = JSON.stringify({ apiVersion: 'v1', kind: 'List', items })
      // Server-side: the annotation of a client-side apply is too short for KubeVirt's definitions.
      await kubectl(['apply', '--server-side', '--force-conflicts', '-f', '-'], { input })
    },
    getObject: async (kind, name, namespace) => {
      const where = namespace === undefined ? [] : ['-n', namespace]
      return JSON.parse(await kubectl(['get', kind, name, ...where, '-o', 'json'])) as Manifest
    },
  }
}

/** The argv to run here: the network is the fabric's, everything else is this machine's. */
export async function toShellArgv(
  fabric: Machine,
  argv: readonly string[],
): Promise<readonly string[]> {
  return ['nsenter', `--net=/proc/${await fabric.getPid()}/ns/net`, '--', ...argv]
}

export function toShellEnvironment(): Readonly<Record<string, string>> {
  return {
    HOME: process.env['HOME'] ?? '/root',
    PATH: [BIN, join(ROOT, 'dist/bin'), process.env['PATH'] ?? ''].join(':'),
    KUBECONFIG,
    KUBECACHEDIR: join(STATE, 'kubectl-cache'),
  }
}
