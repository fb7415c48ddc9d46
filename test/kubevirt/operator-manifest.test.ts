// The manifest that KubeVirt is installed with, by the programs that the cluster runs.
import { access, constants } from 'node:fs/promises'
import { join } from 'node:path'

import { expect } from 'chai'
import { before, describe, it } from 'mocha'
import { parseAllDocuments } from 'yaml'

import { run } from '../../kernel/run.ts'
import { readKubevirtVersion } from '../../lab/kube/kubevirt-version.ts'
import { renderOperatorManifest } from '../../lab/kube/operator-manifest.ts'
import { ensureKubevirt, type KubevirtBuild } from '../../lab/kube/programs.ts'
import { getMapping, type Manifest } from '../../lab/manifests.ts'

describe('the built KubeVirt', () => {
  let build: KubevirtBuild
  before(async () => {
    build = await ensureKubevirt(readKubevirtVersion(), () => undefined)
  })

  it('has every program that it says', async () => {
    for (const name of build.programs) await access(join(build.folder, name), constants.X_OK)
  })

  it('says its version', async () => {
    const text = await run([join(build.folder, 'virtctl'), 'version', '--client'])
    expect(text).to.include(`GitVersion:"v${build.version}"`).and.include('GitTreeState:"clean"')
    expect(text).to.match(/GitCommit:"[0-9a-f]{40}"/)
  })

  it('renders the manifest of a release', async () => {
    const documents = parseAllDocuments(await renderOperatorManifest(build))
    expect(documents.flatMap(({ errors }) => errors)).to.deep.equal([])
    const objects = documents.map((document) => document.toJS() as Manifest)
    const names = objects.map(
      (object) => `${String(object['kind'])} ${String(getMapping(object, 'metadata')['name'])}`,
    )
    expect(names).to.include.members([
      'Namespace kubevirt',
      'CustomResourceDefinition kubevirts.kubevirt.io',
      'PriorityClass kubevirt-cluster-critical',
      'ClusterRole kubevirt.io:operator',
      'ServiceAccount kubevirt-operator',
      'ClusterRole kubevirt-operator',
      'ClusterRoleBinding kubevirt-operator',
      'Role kubevirt-operator',
      'RoleBinding kubevirt-operator-rolebinding',
      'Deployment virt-operator',
    ])
    const deployment = objects.at(names.indexOf('Deployment virt-operator')) ?? {}
    const { containers } = getMapping(deployment, 'spec', 'template', 'spec')
    const [container] = containers as readonly Manifest[]
    expect(container?.['image']).to.equal(`quay.io/kubevirt/virt-operator:v${build.version}`)
  })
})
