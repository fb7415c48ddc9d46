// The CustomResourceDefinitions that validate the tests' objects: those of Multus and KubeVirt from their Go
// modules, ours from deploy/.
import { readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'

import { parseAllDocuments } from 'yaml'

import { BINARIES_MODULE, MULTUS } from './cluster-binaries.ts'
import { ensureGoProduct, exists, getGoModule, runGo, type Say } from './go-build.ts'
import { ROOT, type Manifest } from './manifests.ts'

const OURS = join(ROOT, 'deploy/base/crds')
const KUBEVIRT_MODULE = join(ROOT, 'test/cluster/crds')
const KUBEVIRT = 'kubevirt.io/kubevirt'
const KUBEVIRT_COMPONENTS = 'pkg/virt-operator/resource/generate/components'

/** Files that kubectl can apply. */
export async function listCrdFiles(say: Say = () => undefined): Promise<readonly string[]> {
  const ours = (await exists(OURS)) ? await readdir(OURS) : []
  return [
    await ensureNadCrd(say),
    await ensureKubevirtCrds(say),
    ...ours.filter((file) => file.endsWith('.yaml')).map((file) => join(OURS, file)),
  ]
}

async function ensureNadCrd(say: Say): Promise<string> {
  const why = 'defines NetworkAttachmentDefinition'
  const name = 'nad-crd.json'
  return ensureGoProduct({ module: BINARIES_MODULE, name, why, make: writeNadCrd }, say)
}

/** From the manifest that installs Multus. */
async function writeNadCrd(target: string): Promise<void> {
  const { folder } = await getGoModule(BINARIES_MODULE, MULTUS)
  const text = await readFile(join(folder, 'deployments/multus-daemonset.yml'), 'utf8')
  const documents = parseAllDocuments(text).map((document) => document.toJS() as Manifest | null)
  const crd = documents.find((document) => document?.['kind'] === 'CustomResourceDefinition')
  if (crd === undefined) throw new Error(`Multus has no CustomResourceDefinition in ${folder}`)
  await writeFile(target, JSON.stringify(crd))
}

async function ensureKubevirtCrds(say: Say): Promise<string> {
  const why = 'defines KubeVirt, VirtualMachine and Plugin'
  return ensureKubevirtList({ name: 'kubevirt-crds.json', why, argv: [] }, say)
}

/** A file of the admission policies that KubeVirt has for plugins and for pods with their sidecars. */
export async function ensureKubevirtPolicies(say: Say = () => undefined): Promise<string> {
  const why = 'says which plugins KubeVirt takes'
  return ensureKubevirtList({ name: 'kubevirt-policies.json', why, argv: ['policies'] }, say)
}

interface KubevirtList {
  readonly name: string
  readonly why: string
  readonly argv: readonly string[]
}

async function ensureKubevirtList({ name, why, argv }: KubevirtList, say: Say): Promise<string> {
  const sources = ['main.go']
  const make = async (target: string) => writeKubevirtList(target, argv)
  return ensureGoProduct({ module: KUBEVIRT_MODULE, name, why, make, sources }, say)
}

/** By KubeVirt's own code, which makes it when its operator starts. */
async function writeKubevirtList(target: string, argv: readonly string[]): Promise<void> {
  const { folder } = await getGoModule(KUBEVIRT_MODULE, KUBEVIRT)
  const files = ['crds.go', 'validations_generated.go'].map((file) => [
    join(KUBEVIRT_MODULE, 'components', file),
    join(folder, KUBEVIRT_COMPONENTS, file),
  ])
  const overlay = `${target}.overlay`
  try {
    await writeFile(overlay, JSON.stringify({ Replace: Object.fromEntries(files) as Manifest }))
    const run = ['run', '-overlay', overlay, '.', ...argv]
    await writeFile(target, await runGo(KUBEVIRT_MODULE, run))
  } finally {
    await rm(overlay, { force: true })
  }
}
