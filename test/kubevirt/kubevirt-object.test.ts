// Registering the bindings on a KubeVirt object that its own operator reads: what patches of ours leave alone stays,
// also where the operator is rolled, and launchers follow what is registered.
import { join } from 'node:path'

import { expect } from 'chai'
import { after, before, describe, it } from 'mocha'

import { openKubeCluster, type KubeCluster } from '../../lab/kube/cluster.ts'
import { waitFor } from '../../lab/kube/wait.ts'
import { getMapping, ROOT, type Manifest } from '../../lab/manifests.ts'

const PATCHES = join(ROOT, 'kubevirt-patches')
const AT = ['kubevirt', 'kubevirt', '-n', 'kubevirt']
const ROLL_MS = 330_000
/** What an admin may have there beside us. */
const OTHERS = {
  configuration: {
    developerConfiguration: { featureGates: ['HotplugVolumes', 'Snapshot'] },
    network: { binding: { 'l2w-other': { networkAttachmentDefinition: 'default/other' } } },
  },
}
const REGISTERED = 'register-binding.yaml'
/** Each file and what takes it back is in test/cluster/kubevirt-patches.test.ts; these are of each shape one. */
const ROUNDS = [
  { on: REGISTERED, off: 'unregister-binding.yaml' },
  { on: 'register-binding-no-sidecar.yaml', off: 'unregister-binding.yaml' },
  { on: 'register-binding-macvtap.yaml', off: 'unregister-binding-macvtap.yaml' },
]

describe("the cluster's KubeVirt object", function () {
  this.timeout(600_000)
  let cluster: KubeCluster
  let original: Manifest

  const readSpec = async (): Promise<Manifest> =>
    getMapping(await cluster.getObject('kubevirt', 'kubevirt', 'kubevirt'), 'spec')
  const patch = async (...argv: readonly string[]): Promise<void> => {
    await cluster.kubectl(['patch', ...AT, ...argv])
  }
  const patchWith = async (file: string): Promise<void> =>
    patch('--type', 'merge', '--patch-file', join(PATCHES, file))
  /** Its operator has read it as it is now, and all is deployed. */
  const waitUntilTaken = async (): Promise<void> => {
    const hasRead = async (): Promise<boolean> => {
      const { metadata, status } = (await cluster.getObject(
        'kubevirt',
        'kubevirt',
        'kubevirt',
      )) as {
        readonly metadata: { readonly generation: number }
        readonly status: { readonly observedGeneration: number }
      }
      return metadata.generation === status.observedGeneration
    }
    await waitFor('the operator has read the object', hasRead, { timeoutMs: ROLL_MS })
    const conditions = ['wait', ...AT, '--for=condition=Available', '--timeout=5m']
    await cluster.kubectl(conditions, { timeoutMs: ROLL_MS })
  }
  const gate = async (command: string, name: string): Promise<string> =>
    cluster.run([join(PATCHES, 'feature-gate.sh'), command, name])

  before(async () => {
    cluster = await openKubeCluster()
    original = await readSpec()
    await patch('--type', 'merge', '--patch', JSON.stringify({ spec: OTHERS }))
  })
  after(async () => {
    const value = JSON.stringify([{ op: 'replace', path: '/spec', value: original }])
    await patch('--type', 'json', '--patch', value)
    await waitUntilTaken()
    expect(await readSpec()).to.deep.equal(original)
  })

  it('is as before when a patch is taken back, and is taken by its operator with ours', async () => {
    await patchWith('unregister-binding.yaml')
    const before = await readSpec()
    for (const { on, off } of ROUNDS) {
      await patchWith(on)
      const binding = getMapping(await readSpec(), 'configuration', 'network', 'binding')
      expect(binding, on).to.include.keys('l2w-other')
      expect(Object.keys(binding), on).to.have.length(2)
      await patchWith(off)
      expect(await readSpec(), `${on}, taken back`).to.deep.equal(before)
    }
    await patchWith(REGISTERED)
    await waitUntilTaken()
  })

  it('keeps the gates of others, where one of ours comes and goes', async () => {
    const before = await readSpec()
    await gate('enable', 'Sidecar')
    await waitUntilTaken()
    const path = ['configuration', 'developerConfiguration'] as const
    expect(getMapping(await readSpec(), ...path)['featureGates']).to.deep.equal([
      'HotplugVolumes',
      'Snapshot',
      'Sidecar',
    ])
    await gate('disable', 'Sidecar')
    expect(await readSpec()).to.deep.equal(before)
  })

  it('is the same after its operator has been rolled, and after it has rolled what it deploys', async () => {
    const before = await readSpec()
    const operator = ['-n', 'kubevirt', 'rollout']
    await cluster.kubectl([...operator, 'restart', 'deployment/virt-operator'])
    const status = ['status', 'deployment/virt-operator', '--timeout=5m']
    await cluster.kubectl([...operator, ...status], { timeoutMs: ROLL_MS })
    await waitUntilTaken()
    expect(await readSpec()).to.deep.equal(before)
    // Something that makes it roll its DaemonSet.
    const patches = [
      {
        resourceType: 'DaemonSet',
        resourceName: 'virt-handler',
        patch: '{"spec":{"template":{"metadata":{"annotations":{"l2w-rolled":"yes"}}}}}',
        type: 'strategic',
      },
    ]
    const spec = { customizeComponents: { patches } }
    await patch('--type', 'merge', '--patch', JSON.stringify({ spec }))
    const rolled = async (): Promise<boolean> => {
      const handler = await cluster.getObject('daemonset', 'virt-handler', 'kubevirt')
      const annotations = getMapping(handler, 'spec', 'template', 'metadata', 'annotations')
      return annotations['l2w-rolled'] === 'yes'
    }
    await waitFor('the operator rolls virt-handler', rolled, { timeoutMs: ROLL_MS })
    await cluster.kubectl([...operator, 'status', 'daemonset/virt-handler', '--timeout=5m'], {
      timeoutMs: ROLL_MS,
    })
    await waitUntilTaken()
    const now = await readSpec()
    expect(getMapping(now, 'configuration')).to.deep.equal(getMapping(before, 'configuration'))
  })
})
