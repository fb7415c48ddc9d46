// NICs of two bindings of ours in one VM, each with its sidecar, around one of KubeVirt's own. Every model, and
// many NICs, are in test/lab/nics.test.ts.
import { expect } from 'chai'
import { describe, it } from 'mocha'
import { leavesNothing } from '../nothing-left.ts'

import { newBoundVm, type BoundVm } from './bound-vm.ts'

const PLACE = '0000:00:1d.0'
const ONE = { name: 'l2wire' }
const OTHER = { name: 'l2wire-macvtap' }

describe('a VM with NICs of two bindings', function () {
  this.timeout(120_000)
  let vm: BoundVm

  leavesNothing(async (made) => {
    vm = made.use(
      await newBoundVm([
        { name: 'intel', binding: ONE, model: 'e1000e' },
        { name: 'mgmt', masquerade: {} },
        { name: 'placed', binding: OTHER, pciAddress: PLACE, bootOrder: 2, acpiIndex: 7 },
        { name: 'down', binding: ONE, state: 'down' },
      ]),
    )
  })

  it('has them in the order of its manifest', () => {
    const aliases = [...vm.definedXml.matchAll(/<alias name="ua-(\w+)"/g)].map(([, name]) => name)
    expect(aliases).to.deep.equal(['intel', 'mgmt', 'placed', 'down'])
  })

  it('is given the model it asks for, and both bindings carry frames both ways', async () => {
    expect(await vm.askSysfs('intel', 'readlink device/driver')).to.match(/\/e1000e$/)
    await vm.expectCarried('intel')
    await vm.expectCarried('placed')
  })

  it('has a NIC where the manifest says, to boot from', async () => {
    expect(await vm.askSysfs('placed', 'readlink -f device')).to.include(PLACE)
    expect(vm.definedXml).to.match(/<boot order="2"/)
  })

  it('starts with a plug out, and has it put in as virt-launcher does', async () => {
    expect(await vm.askSysfs('down', 'cat carrier')).to.equal('0')
    await vm.setLinkState('down', 'up')
    const wait = 'for try in $(seq 50); do [ "$(cat carrier)" = 1 ] && break; sleep 0.1; done'
    expect(await vm.askSysfs('down', `${wait}; cat carrier`)).to.equal('1')
    await vm.expectCarried('down')
  })
})
