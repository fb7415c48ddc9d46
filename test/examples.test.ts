// The manifests agree with each other: names that must match do.
import { existsSync, readdirSync, statSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'

import { expect } from 'chai'
import { before, describe, it } from 'mocha'

import { run } from '../kernel/run.ts'
import { toVmi } from '../lab/domain-vmi.ts'
import { byName, EXAMPLES, getName, readExample } from '../lab/example.ts'
import { CONTAINER_IMAGES, DISK_IMAGES } from '../lab/kube/example-images.ts'
import {
  getBinding,
  getMapping,
  getNadConfig,
  getNetworkSelections,
  readManifest,
  ROOT,
  type Manifest,
} from '../lab/manifests.ts'

const FOLDERS = readdirSync(join(ROOT, EXAMPLES), { withFileTypes: true })
  .filter((entry) => entry.isDirectory())
  .map((entry) => entry.name)

/** Who plugs into a cable, and what it asks of it. */
interface Plug {
  readonly network: string
  readonly who: string
  readonly asks: readonly string[]
}

function listPlugs(objects: readonly Manifest[]): readonly Plug[] {
  const pods = Object.values(byName(objects, 'Pod')).flatMap((pod) =>
    getNetworkSelections(pod).map(({ name, mac, ips, ...rest }) => ({
      network: name,
      who: `${getName(pod)} ${rest.interface}`,
      asks: [...(mac === undefined ? [] : ['mac']), ...(ips === undefined ? [] : ['ips'])],
    })),
  )
  const vms = Object.values(byName(objects, 'VirtualMachine')).map(toVmi)
  const nics = vms.flatMap((vmi) =>
    (vmi.spec.networks ?? []).flatMap(({ name, multus }) => {
      const nic = vmi.spec.domain.devices.interfaces?.find((one) => one.name === name)
      const who = `${vmi.metadata.name} ${name}`
      const asks = nic?.macAddress === undefined ? [] : ['mac']
      return multus === undefined ? [] : [{ network: multus.networkName, who, asks }]
    }),
  )
  return [...pods, ...nics]
}

function listImages(objects: readonly Manifest[]): readonly string[] {
  const text = JSON.stringify(objects)
  return [...text.matchAll(/"image":"([^"]+)"/g)].map((match) => match[1] ?? '')
}

describe('examples', () => {
  it('are all in the index', async () => {
    const index = await readFile(join(ROOT, EXAMPLES, 'README.md'), 'utf8')
    const listed = [...index.matchAll(/\]\(([a-z0-9-]+)\/?\)/g)].map((match) => match[1])
    expect(listed).to.have.members(FOLDERS)
  })

  for (const folder of FOLDERS)
    describe(folder, () => {
      let objects: readonly Manifest[]
      before(async () => {
        objects = await readExample(folder)
      })

      it('has two ends on each cable that it declares, and no other cable', () => {
        const cables = Object.keys(byName(objects, 'NetworkAttachmentDefinition')).sort()
        // One is about the pod network alone.
        if (folder === 'pod-network') expect(cables).to.be.empty
        else expect(cables).to.not.be.empty
        const plugged = listPlugs(objects).map(({ network }) => network)
        expect(plugged.sort()).to.deep.equal(cables.flatMap((cable) => [cable, cable]))
      })

      it('names no image that a cluster on one machine has nothing for', () => {
        expect([...CONTAINER_IMAGES, ...DISK_IMAGES]).to.include.members(listImages(objects))
      })

      it('calls a cable the same inside and out, and asks no more than the cable can do', () => {
        for (const [name, nad] of Object.entries(byName(objects, 'NetworkAttachmentDefinition'))) {
          const config = getNadConfig(nad)
          expect(config).to.include({ name, type: 'l2wire' })
          // Multus hands on only what is declared.
          const capabilities = config['capabilities'] ?? {}
          for (const { network, who, asks } of listPlugs(objects))
            for (const ask of network === name ? asks : [])
              expect(capabilities, who).to.include({ [ask]: true })
        }
      })

      it('pins images, names no namespace, and has no configuration that nobody mounts', () => {
        for (const image of listImages(objects))
          expect(image).to.match(/^[a-z0-9.]+\.[a-z]+\/[\w./-]+:v?\d[\w.-]*$/)
        for (const object of objects)
          expect(getMapping(object, 'metadata')).to.not.have.property('namespace')
        const mounted = [...JSON.stringify(objects).matchAll(/"configMap":\{"name":"([^"]+)"/g)]
        const names = mounted.map((match) => match[1])
        expect(Object.keys(byName(objects, 'ConfigMap'))).to.have.members(names)
      })

      it('has a page that says how to apply it, and a check where it has a protocol', async () => {
        const page = await readFile(join(ROOT, EXAMPLES, folder, 'README.md'), 'utf8')
        expect(page).to.include(`examples/${folder}/`)
        const check = join(ROOT, EXAMPLES, folder, 'check.sh')
        const hasCheck = folder !== 'vm-and-container'
        expect(existsSync(check)).to.equal(hasCheck)
        if (!hasCheck) return
        expect(page).to.include(`examples/${folder}/check.sh`)
        expect(statSync(check).mode & 0o111, 'it can be run').to.equal(0o111)
        await run(['sh', '-n', check])
      })
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
