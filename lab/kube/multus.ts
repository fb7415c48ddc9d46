// Multus' part of a cluster, from its installation manifest: its kind, and its account.
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'

import { parseAllDocuments } from 'yaml'

import { BINARIES_MODULE, MULTUS } from '../cluster-binaries.ts'
import { getGoModule } from '../go-build.ts'
import { getMapping, type Manifest } from '../manifests.ts'
import type { Admin } from './kubectl.ts'

/** Omits its DaemonSet and its configuration, which would install files that a node here has on its disk. */
const KINDS: readonly unknown[] = [
  'CustomResourceDefinition',
  'ClusterRole',
  'ClusterRoleBinding',
  'ServiceAccount',
]
const ACCOUNT = { name: 'multus', namespace: 'kube-system' }
/** The lifetime of a cluster at most. */
const TOKEN_HOURS = 8760

export async function installMultus({ apply, kubectl }: Admin): Promise<void> {
  const { folder } = await getGoModule(BINARIES_MODULE, MULTUS)
  const text = await readFile(join(folder, 'deployments/multus-daemonset.yml'), 'utf8')
  const objects = parseAllDocuments(text)
    .map((document) => document.toJS() as Manifest | null)
    .filter((object) => object !== null)
    .filter(({ kind }) => KINDS.includes(kind))
  await apply(...objects)
  for (const object of objects.filter(({ kind }) => kind === 'CustomResourceDefinition')) {
    const crd = `crd/${String(getMapping(object, 'metadata')['name'])}`
    await kubectl(['wait', crd, '--for=condition=Established', '--timeout=60s'])
  }
}

export async function newMultusToken({ kubectl }: Admin): Promise<string> {
  const { name, namespace } = ACCOUNT
  const duration = `--duration=${TOKEN_HOURS}h`
  return (await kubectl(['create', 'token', name, '-n', namespace, duration])).trim()
}
