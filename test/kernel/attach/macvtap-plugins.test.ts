// VMs by macvtap on pod links that other CNI plugins made.
import { expect } from 'chai'
import { describe, it } from 'mocha'

import { run } from '../../../kernel/run.ts'
import { callPlugin } from '../../../lab/cni.ts'
import { leavesNothing } from '../../nothing-left.ts'
import { readLinks } from '../fixture-links.ts'
import { FIRST, newMacvtapLauncher, type MacvtapLauncher } from '../fixture-macvtap.ts'

describe('the binding plugin by macvtap on pod links of other CNI plugins', function () {
  this.timeout(90_000)
  let scene: MacvtapLauncher
  leavesNothing(async (made) => {
    scene = made.use(await newMacvtapLauncher())
  })

  const IPAM = { type: 'host-local', subnet: '198.51.100.0/24' }
  for (const plugin of [
    { type: 'bridge', bridge: 'l2wmvt0', mtu: 1450 },
    { type: 'ptp', mtu: 1450 },
  ])
    it(`${plugin.type}: MTU, MAC and CHECK stay as they are`, async () => {
      const { node, pod, bind, sandbox, check } = scene
      const ipam = { ...IPAM, dataDir: `${node.folder}/ipam` }
      const other = { cniVersion: '1.0.0', name: 'other', ...plugin, ipam }
      const call = async (command: string, config: object): ReturnType<typeof callPlugin> =>
        callPlugin(
          `/usr/lib/cni/${plugin.type}`,
          { command, ...sandbox('eth0') },
          JSON.stringify(config),
        )
      try {
        const added = await call('ADD', other)
        expect(added.exitCode, added.stdout).to.equal(0)
        const earlier = (await readLinks(pod)).get('eth0')
        await node.mustCall({ ...bind, dhcp: false }, { command: 'ADD', ...sandbox('net1') })
        const links = await readLinks(pod)
        expect(links.get('eth0')).to.include({ mtu: 1450, address: earlier?.address })
        expect(links.get('tap0')).to.include({ mtu: 1450, ifindex: FIRST })
        const checked = await call('CHECK', { ...other, prevResult: added.output })
        expect(checked.exitCode, checked.stdout).to.equal(0)
        expect(await check()).to.equal(undefined)
        await node.mustCall(bind, { command: 'DEL', ...sandbox('net1') })
        expect((await readLinks(pod)).has('tap0')).to.equal(false)
        await call('DEL', other)
      } finally {
        await run(['ip', 'link', 'del', 'dev', 'l2wmvt0']).catch(() => undefined)
      }
    })

  it('macvlan: refused with a reason, since it can carry none', async () => {
    const { node, pod, bind, sandbox, readDevice } = scene
    await pod.run(['ip', 'link', 'add', 'name', 'lower', 'type', 'veth', 'peer', 'name', 'far'])
    await pod.run([
      'ip',
      'link',
      'add',
      'link',
      'lower',
      'name',
      'eth0',
      'type',
      'macvlan',
      'mode',
      'bridge',
    ])
    const { output } = await node.call(bind, { command: 'ADD', ...sandbox('net1') })
    expect(output).to.include({ code: 2 })
    expect(output?.['msg']).to.include('pod link "eth0" shares a device')
    await pod.run(['ip', 'link', 'del', 'dev', 'lower'])
    expect(await readDevice(FIRST)).to.equal('none')
  })
})
