// The manifests agree with each other: names that must match do.
import { expect } from 'chai'
import { describe, it } from 'mocha'

import { toVmi } from '../lab/domain-vmi.ts'
import {
  getBinding,
  getMapping,
  getNadConfig,
  getNetworkSelections,
  readManifest,
} from '../lab/manifests.ts'

describe('examples/vm-and-container', () => {
  it('plugs VM and container into the one cable it declares', async () => {
    const nad = await readManifest('examples/vm-and-container/wire.yaml')
    const name = getMapping(nad, 'metadata')['name']
    expect(getNadConfig(nad)).to.include({ name, type: 'l2wire' })
    const vmi = toVmi(await readManifest('examples/vm-and-container/vm.yaml'))
    const names = vmi.spec.networks?.flatMap(({ multus }) => multus?.networkName ?? [])
    expect(names).to.deep.equal([name])
    const selections = getNetworkSelections(
      await readManifest('examples/vm-and-container/pod.yaml'),
    )
    expect(selections.map((selection) => selection.name)).to.deep.equal([name])
  })

  it('asks for no more than the cable says it can do', async () => {
    const config = getNadConfig(await readManifest('examples/vm-and-container/wire.yaml'))
    const pod = await readManifest('examples/vm-and-container/pod.yaml')
    // Multus hands on only what is declared.
    for (const { mac } of getNetworkSelections(pod))
      if (mac !== undefined) expect(config['capabilities']).to.include({ mac: true })
  })
})

describe('kubevirt-patches', () => {
  it('register the binding that the example uses, with the NAD that deploy/ has', async () => {
    const { name, plugin } = getBinding(
      await readManifest('kubevirt-patches/register-binding.yaml'),
    )
    const vmi = toVmi(await readManifest('examples/vm-and-container/vm.yaml'))
    const bindings = vmi.spec.domain.devices.interfaces?.flatMap((nic) => nic.binding?.name ?? [])
    expect(bindings).to.deep.equal([name])
    const nad = await readManifest('deploy/base/binding-nad.yaml')
    const metadata = getMapping(nad, 'metadata')
    expect(plugin['networkAttachmentDefinition']).to.equal(
      `${String(metadata['namespace'])}/${String(metadata['name'])}`,
    )
    expect(getNadConfig(nad)).to.include({ type: 'l2wire-bind' })
    expect(plugin['sidecarImage']).to.match(/:\d+\.\d+\.\d+$/)
    expect(plugin['domainAttachmentType']).to.equal('tap')
  })

  it('unregister exactly what they register', async () => {
    const { name } = getBinding(await readManifest('kubevirt-patches/register-binding.yaml'))
    const patch = await readManifest('kubevirt-patches/unregister-binding.yaml')
    const bindings = getMapping(patch, 'spec', 'configuration', 'network', 'binding')
    expect(bindings).to.deep.equal({ [name]: null })
  })
})
