// KubeVirt's own code calls the domain hook: its plugin pipeline waits for the socket, prints the domain by
// libvirtxml and reads what comes back. Facts come from real links in a network namespace.
import { expect } from 'chai'
import { before, describe, it } from 'mocha'

import { toPodLinkName, toTapName } from '../../core/name.ts'
import { getMapping, readManifest, type Manifest } from '../../lab/manifests.ts'
import { eachLeavesNothing } from '../nothing-left.ts'
import {
  addPodLink,
  COLLECT_MS,
  newDomainXml,
  newLaunchedPod,
  newVmi,
  readNics,
  withoutNics,
  withoutNicText,
  type Defined,
  type LaunchedPod,
} from './fixture-kubevirt-hooks.ts'
import type { Answer, Step } from './fixture-virt-launcher.ts'

/** As it is applied to a cluster. */
const PLUGIN = 'kubevirt-patches/plugin/plugin.yaml'
const NAME = 'l2wire'
const SOCKET = `/var/run/kubevirt-plugin/${NAME}/l2wire.sock`

const VMI = newVmi({
  ge0: { binding: { name: 'l2wire' } },
  mgmt: { masquerade: {} },
  ge1: { binding: { name: 'l2wire-macvtap' }, model: 'e1000' },
})
const OURS = ['ge0', 'ge1']

describe("KubeVirt's plugin pipeline and the sidecar", function () {
  this.timeout(90_000)
  let pod: LaunchedPod
  let plugin: Manifest

  before(async () => {
    plugin = await readManifest(PLUGIN)
  })

  eachLeavesNothing(async (made) => {
    pod = made.use(await newLaunchedPod())
    await addPodLink(pod.netns, { nic: 'ge0', mac: '02:00:00:00:01:00', isMultiQueue: true })
    await addPodLink(pod.netns, { nic: 'ge1', mac: '02:00:00:00:01:01' })
  })

  const define = async (
    context: Step['context'],
    options: Partial<Step> = {},
  ): Promise<Answer<Defined>> => {
    const plugins = [plugin]
    const domain = newDomainXml(VMI)
    const step = { do: 'define', vmi: VMI, domain, plugins, ...options } as const
    return pod.launcher.play<Defined>({ ...step, ...(context === undefined ? {} : { context }) })
  }

  const mustDefine = async (
    context: Step['context'],
    options?: Partial<Step>,
  ): Promise<Defined> => {
    const { result, ...trouble } = await define(context, options)
    if (result === undefined) throw new Error(`The domain was refused: ${JSON.stringify(trouble)}`)
    return result
  }

  for (const context of ['Boot', 'MigrationTarget'] as const) {
    it(`${context}: plugs in the NICs of all bindings and leaves the rest alone`, async () => {
      // As in a pod: KubeVirt may be first, and waits.
      const asked = mustDefine(context)
      await pod.launcher.newPluginSidecar({ name: NAME, socketPath: SOCKET })
      const result = await asked
      const common = { type: 'ethernet', managed: 'no', mtu: '1400', rom: 'no' }
      expect(readNics(result.after).filter(({ alias }) => alias !== 'mgmt')).to.eql([
        {
          ...common,
          alias: 'ge0',
          target: toTapName(toPodLinkName('ge0')),
          model: 'virtio-non-transitional',
          mac: '02:00:00:00:01:00',
          queues: result.queues,
        },
        {
          ...common,
          alias: 'ge1',
          target: toTapName(toPodLinkName('ge1')),
          model: 'e1000',
          mac: '02:00:00:00:01:01',
        },
      ])
      expect(withoutNics(result.after, OURS)).to.eql(result.before)
      expect(withoutNicText(result.xml, OURS)).to.equal(result.given)
      // On its way to a Plugin KubeVirt itself loses this at boot.
      const isPassedOn = context === 'MigrationTarget'
      expect(result.given.includes('-fw_cfg')).to.equal(isPassedOn)
    })
  }

  it('MigrationSource: leaves the domain of a running guest alone', async () => {
    await pod.launcher.newPluginSidecar({ name: NAME, socketPath: SOCKET })
    const { after, before, xml, given } = await mustDefine('MigrationSource')
    expect(after).to.eql(before)
    expect(xml).to.equal(given)
  })

  it('finds nothing to do where the sidecars of the bindings were first', async () => {
    const { launcher } = pod
    await launcher.newPluginSidecar({ name: NAME, socketPath: SOCKET })
    const byPlugin = await mustDefine('Boot')
    await launcher.newSidecar({ binding: 'l2wire', index: 0 })
    await launcher.newSidecar({ binding: 'l2wire-macvtap', index: 1 })
    await launcher.play({ do: 'collect', sidecars: 2, timeoutMs: COLLECT_MS })
    const bySidecars = await mustDefine('Boot', { plugins: [] })
    const byBoth = await mustDefine('Boot')
    expect(readNics(byBoth.after)).to.eql(readNics(bySidecars.after))
    expect(readNics(byPlugin.after)).to.eql(readNics(bySidecars.after))
    expect(byBoth.xml).to.equal(byPlugin.xml)
  })

  it('fails the start of a VM whose link is not there, unless the Plugin is to be ignored', async () => {
    const { netns, launcher } = pod
    const sidecar = await launcher.newPluginSidecar({ name: NAME, socketPath: SOCKET })
    const vmi = newVmi({ ge9: { binding: { name: 'l2wire' } } })
    const domain = newDomainXml(vmi)
    const { error } = await define('Boot', { vmi, domain })
    expect(error).to.match(/plugin l2wire hook 0 failed: .* FailedPrecondition: .*ge9/)
    const spec = { ...getMapping(plugin, 'spec'), failureStrategy: 'Ignore' }
    const without = await mustDefine('Boot', { vmi, domain, plugins: [{ ...plugin, spec }] })
    expect(without.after).to.eql(without.before)
    await addPodLink(netns, { nic: 'ge9', mac: '02:00:00:00:01:09' })
    expect(readNics((await mustDefine('Boot', { vmi, domain })).after)).to.have.length(1)
    expect(sidecar.readLog()).to.include('cannot answer')
  })
})
