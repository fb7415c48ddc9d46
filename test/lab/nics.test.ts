// Every NIC model that KubeVirt admits and this machine's QEMU has, and as many NICs as a VM may want.
import { expect } from 'chai'
import { describe, it } from 'mocha'

import { run } from '../../kernel/run.ts'
import type { VmiInterface } from '../../lab/domain-vmi.ts'
import { DRIVERS, newBoundVm } from './bound-vm.ts'

const MGMT: VmiInterface = { name: 'mgmt', masquerade: {} }
const BINDINGS = [{ name: 'l2wire' }, { name: 'l2wire-macvtap' }]
/** ne2k_pci has an underscore, which a wire's name may not have. */
const toName = (model: string): string => model.replaceAll('_', '-')

/** libvirt's name of a model is QEMU's, but for virtio. QEMU has igb from 8.0 on. */
async function listModels(): Promise<readonly string[]> {
  const help = await run(['qemu-system-x86_64', '-device', 'help'])
  return Object.keys(DRIVERS).filter(
    (model) => model === 'virtio' || help.includes(`name "${model}"`),
  )
}

describe('NICs in VMs', function () {
  this.timeout(600_000)

  it('of every model are driven by their own driver, and carry frames both ways', async () => {
    const models = await listModels()
    expect(models).to.include.members(['virtio', 'e1000', 'e1000e', 'rtl8139', 'pcnet', 'ne2k_pci'])
    const bound = models.map((model, index) => ({
      name: toName(model),
      model,
      binding: BINDINGS[index % 2] ?? { name: '' },
    }))
    await using vm = await newBoundVm([...bound.slice(0, 2), MGMT, ...bound.slice(2)])
    for (const model of models) {
      const driver = await vm.askSysfs(toName(model), 'readlink device/driver')
      expect(driver, model).to.match(new RegExp(`/${DRIVERS[model] ?? ''}$`))
      await vm.expectCarried(toName(model))
    }
  })

  it('are sixteen of ours in one VM, each on its own cable', async () => {
    const names = Array.from({ length: 16 }, (_, index) => `port${index}`)
    await using vm = await newBoundVm(
      names.map((name, index) => ({ name, binding: BINDINGS[index % 2] ?? { name: '' } })),
    )
    const aliases = [...vm.definedXml.matchAll(/<alias name="ua-(\w+)"/g)].map(([, name]) => name)
    expect(aliases).to.deep.equal(names)
    const order = await Promise.all(names.map((name) => vm.askSysfs(name, 'cat ifindex')))
    expect(
      order.map(Number).toSorted((a, b) => a - b),
      'the guest numbers them as the manifest does',
    ).to.deep.equal(order.map(Number))
    for (const name of names) await vm.expectCarried(name)
  })

  it('are transitional where the VM asks for it', async () => {
    const nics: readonly VmiInterface[] = [MGMT, { name: 'ge0', binding: { name: 'l2wire' } }]
    await using vm = await newBoundVm(nics, { useVirtioTransitional: true })
    // A transitional device has the ID of virtio's first version.
    expect(await vm.askSysfs('ge0', 'cat device/../device')).to.equal('0x1000')
    await vm.expectCarried('ge0')
  })
})
