// The domain hook of a Plugin in the hook sidecars' place, with KubeVirt's own controllers: of KubeVirt 1.9 and newer.
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'

import { expect } from 'chai'
import { after, before, describe, it } from 'mocha'

import { hasPlugins } from '../../lab/kube/kubevirt-version.ts'
import { readState } from '../../lab/kube/state.ts'
import { ROOT } from '../../lab/manifests.ts'
import { expectSoon } from '../expect-soon.ts'
import { newPlace, type Place } from '../../lab/kube/place.ts'

const PATCHES = join(ROOT, 'kubevirt-patches')
const PLUGIN = join(PATCHES, 'plugin/plugin.yaml')
const NO_IMAGE = { l2wire: { sidecarImage: null } }

const state = await readState()
const describeWithPlugins =
  state !== undefined && hasPlugins(state.version) ? describe : describe.skip

describeWithPlugins('a Plugin', function () {
  this.timeout(600_000)
  let place: Place
  let policy = ''

  const patchKubevirt = async (...argv: readonly string[]): Promise<void> => {
    const at = ['kubevirt', 'kubevirt', '-n', 'kubevirt', '--type', 'merge']
    await place.cluster.kubectl(['patch', ...at, ...argv])
  }
  const gate = async (command: string): Promise<string> =>
    place.cluster.run([join(PATCHES, 'feature-gate.sh'), command, 'Plugins'])

  before(async () => {
    place = await newPlace()
    const text = await readFile(join(PATCHES, 'plugin/inject-sidecar.yaml'), 'utf8')
    // As README.md says for a Kubernetes before 1.36.
    policy = text.replaceAll(/admissionregistration\.k8s\.io\/v1$/gm, '$&beta1')
    await gate('enable')
    await place.cluster.kubectl(['apply', '-f', '-'], { input: policy })
    await expectSoon('KubeVirt knows Plugins', async () =>
      (await place.cluster.kubectl(['api-resources', '-o', 'name'])).includes(
        'plugins.plugin.kubevirt.io',
      ),
    )
    await place.cluster.kubectl(['apply', '-f', PLUGIN])
    const spec = { configuration: { network: { binding: NO_IMAGE } } }
    await patchKubevirt('--patch', JSON.stringify({ spec }))
  })
  after(async () => {
    await place[Symbol.asyncDispose]()
    await place.cluster.kubectl(['delete', '-f', PLUGIN, '--ignore-not-found'])
    await place.cluster.kubectl(['delete', '-f', '-', '--ignore-not-found'], { input: policy })
    await gate('disable')
    await patchKubevirt('--patch-file', join(PATCHES, 'register-binding.yaml'))
  })

  it('attaches a VM without a hook sidecar, and every class of frames passes', async () => {
    await place.addCable('r1-h1', { mtu: 9216 })
    await place.addPod('h1', 'n2', ['r1-h1'])
    await place.addVm('r1', 'n1', ['r1-h1'])
    const path = '{.items[*].spec.initContainers[*].name} {.items[*].spec.containers[*].name}'
    const argv = ['-l', 'vm.kubevirt.io/name=r1', '-o', `jsonpath=${path}`]
    const containers = (await place.kubectl('get', 'pods', ...argv)).split(' ')
    expect(containers).to.include('l2wire-plugin')
    expect(containers.filter((name) => name.startsWith('hook-sidecar'))).to.deep.equal([])
    await place.waitUntilConnected('r1-h1')
    const rows = await place.l2wire('test', 'r1-h1', '--idle', '2')
    expect(rows).to.match(/^9014 bytes +delivered +delivered$/m)
  })
})
