// KubeVirt's own code calls the sidecar: its hooks manager finds the sockets, its types write the domain
// and read what comes back. Facts come from real links in a network namespace.
import { join } from 'node:path'

import { expect } from 'chai'
import { describe, it } from 'mocha'

import { toPodLinkName, toTapName } from '../../core/name.ts'
import { getBinding, readManifest, type Manifest } from '../../lab/manifests.ts'
import { eachLeavesNothing } from '../nothing-left.ts'
import { expectLogged } from '../expect-logged.ts'
import { expectSoon } from '../expect-soon.ts'
import {
  addPodLink,
  COLLECT_MS,
  newDomainXml,
  newVmi,
  newLaunchedPod,
  readNics,
  withoutNics,
  withoutNicText,
  type Defined,
  type LaunchedPod,
} from './fixture-kubevirt-hooks.ts'

const OURS = { binding: { name: 'l2wire' } }
const MACVTAP = { binding: { name: 'l2wire-macvtap' } }

const tapOf = (nic: string): string => toTapName(toPodLinkName(nic))

describe("KubeVirt's hooks manager and the sidecar", function () {
  this.timeout(90_000)
  let pod: LaunchedPod

  eachLeavesNothing(async (made) => {
    pod = made.use(await newLaunchedPod())
  })

  it('collects the sidecars of two bindings, and each plugs its own NICs in and nothing else', async () => {
    const { netns, launcher } = pod
    await addPodLink(netns, { nic: 'ge0', mac: '02:00:00:00:01:00' })
    await addPodLink(netns, { nic: 'ge1', mac: '02:00:00:00:01:01', isMultiQueue: true })
    await addPodLink(netns, { nic: 'ge2', mac: '02:00:00:00:01:02' })
    const vmi = newVmi({
      ge1: { ...OURS, bootOrder: 1, acpiIndex: 101 },
      mgmt: { masquerade: {} },
      ge0: { ...OURS, model: 'e1000e', macAddress: '02:00:00:00:02:00', state: 'down' },
      ge2: { ...MACVTAP, pciAddress: '0000:03:00.0' },
    })
    // As in a pod: all containers are started at the same time.
    const collected = launcher.play({ do: 'collect', sidecars: 2, timeoutMs: COLLECT_MS })
    const sidecars = await Promise.all([
      launcher.newSidecar({ binding: 'l2wire', index: 0 }),
      launcher.newSidecar({ binding: 'l2wire-macvtap', index: 1 }),
    ])
    expect(await collected).to.eql({ result: {} })

    const { result } = await launcher.play<Defined>({
      do: 'define',
      vmi,
      domain: newDomainXml(vmi),
    })
    if (result === undefined) throw new Error('The domain was refused')
    // KubeVirt generates no other, so whatever else the VM has is the sidecars'.
    expect(result.generated).to.eql(['ua-mgmt'])
    const nics = readNics(result.after)
    const common = { type: 'ethernet', managed: 'no', mtu: '1400' }
    const virtio = { ...common, model: 'virtio-non-transitional' }
    expect(nics.filter(({ alias }) => alias !== 'mgmt')).to.eql([
      {
        ...virtio,
        alias: 'ge1',
        target: tapOf('ge1'),
        mac: '02:00:00:00:01:01',
        queues: result.queues,
        boot: 1,
        acpi: 101,
      },
      {
        ...common,
        alias: 'ge0',
        target: tapOf('ge0'),
        mac: '02:00:00:00:02:00',
        model: 'e1000e',
        link: 'down',
        rom: 'no',
      },
      {
        ...virtio,
        alias: 'ge2',
        target: tapOf('ge2'),
        mac: '02:00:00:00:01:02',
        pci: '0x0000:0x03:0x00.0x0',
        rom: 'no',
      },
    ])
    expect(result.queues).to.equal(3)
    const ours = ['ge0', 'ge1', 'ge2']
    expect(withoutNics(result.after, ours)).to.eql(result.before)
    expect(withoutNicText(result.xml, ours)).to.equal(result.given)
    expect(result.given).to.include('<qemu:commandline>')
    for (const { readLog } of sidecars) expect(readLog()).not.to.include('cannot answer')

    // virt-launcher defines a domain more than once, and gives what it got to the hooks again.
    const again = await launcher.play<Defined>({ do: 'define', vmi, domain: result.xml })
    expect(again.result?.after).to.eql(result.after)
    expect(again.result?.xml).to.equal(again.result?.given)
  })

  it('is no obstacle to cloud-init data, nor to a VM without any', async () => {
    const { launcher } = pod
    await launcher.newSidecar({ binding: 'l2wire', index: 0 })
    await launcher.play({ do: 'collect', sidecars: 1, timeoutMs: COLLECT_MS })
    const preCloudInitIso = async (cloudInitNoCloud?: object): Promise<unknown> => {
      const volumes = cloudInitNoCloud === undefined ? [] : [{ name: 'seed', cloudInitNoCloud }]
      const vmi = newVmi({ ge0: OURS }, { volumes })
      const { result, ...trouble } = await launcher.play<CloudInit>({ do: 'preCloudInitIso', vmi })
      expect(trouble).to.eql({})
      expect(result?.after).to.eql(result?.before)
      return result?.after?.NoCloudMetaData
    }
    expect(await preCloudInitIso()).to.equal(undefined)
    for (const seed of [
      { userData: '#cloud-config\n' },
      { networkData: 'version: 2' },
      { userData: '#cloud-config\n', networkData: 'version: 2' },
    ])
      expect(await preCloudInitIso(seed)).to.include({ 'local-hostname': 'r1' })
  })

  it('lets a VM on cables be migrated, and one whose pod network it has if it is registered so', async () => {
    const { launcher } = pod
    const bindings = await readBindings()
    const onCables = newVmi({ mgmt: { masquerade: {} }, ge0: OURS, ge1: MACVTAP })
    expect(await launcher.play({ do: 'migratable', vmi: onCables, bindings })).to.eql({
      result: {},
    })
    const migratable = await readBindings('register-migratable.yaml')
    for (const nic of [OURS, MACVTAP]) {
      const bound = newVmi({ eth0: nic, ge0: OURS })
      const [, cable] = bound.spec.networks ?? []
      const vmi = {
        ...bound,
        spec: { ...bound.spec, networks: [{ name: 'eth0', pod: {} }, cable] },
      }
      const { error } = await launcher.play({ do: 'migratable', vmi, bindings })
      expect(error).to.include('cannot migrate')
      const asked = await launcher.play({ do: 'migratable', vmi, bindings: migratable })
      if (nic === OURS) expect(asked).to.eql({ result: {} })
      else expect(asked.error).to.include('cannot migrate')
    }
  })

  it('ends when virt-launcher does', async () => {
    const { launcher } = pod
    const sidecars = await Promise.all([
      launcher.newSidecar({ binding: 'l2wire', index: 0 }),
      launcher.newSidecar({ binding: 'l2wire-macvtap', index: 1 }),
    ])
    await launcher.play({ do: 'collect', sidecars: 2, timeoutMs: COLLECT_MS })
    expect(await launcher.play({ do: 'shutdown' })).to.eql({ result: {} })
    expect(await Promise.all(sidecars.map(async ({ exited }) => exited))).to.eql([0, 0])
    expect(await launcher.listSockets()).to.eql([])
  })

  it('is waited for while it is slow', async () => {
    const { launcher } = pod
    const sidecar = await launcher.newSidecar({ binding: 'l2wire', index: 0 })
    sidecar.kill('SIGSTOP')
    const collected = launcher.play({ do: 'collect', sidecars: 1, timeoutMs: COLLECT_MS })
    // Its socket takes connections, and nobody speaks on them.
    await expectSoon('KubeVirt finds it not ready', () =>
      launcher.readLog().includes('might not be ready yet'),
    )
    sidecar.kill('SIGCONT')
    expect(await collected).to.eql({ result: {} })
  })

  it('fails the start of the VM while it is dead, and not when it is back', async () => {
    const { netns, launcher } = pod
    await addPodLink(netns, { nic: 'ge0', mac: '02:00:00:00:01:00' })
    const vmi = newVmi({ ge0: OURS })
    const domain = newDomainXml(vmi)
    const sidecar = await launcher.newSidecar({ binding: 'l2wire', index: 0 })
    await launcher.play({ do: 'collect', sidecars: 1, timeoutMs: COLLECT_MS })
    sidecar.kill('SIGKILL')
    await sidecar.exited
    const sockets = await launcher.listSockets()
    expect(sockets).to.have.length(1)
    const refused = await launcher.play({ do: 'define', vmi, domain })
    expect(refused).to.have.all.keys('error')

    await launcher.newSidecar({ binding: 'l2wire', index: 0 })
    expect(await launcher.listSockets()).to.eql(sockets)
    const { result } = await launcher.play<Defined>({ do: 'define', vmi, domain })
    expect(result?.xml).to.include('"ua-ge0"')
  })

  it('has a socket named after its container: of two with one name KubeVirt sees one', async () => {
    const { launcher } = pod
    const containerName = 'hook-sidecar-0'
    await launcher.newSidecar({ binding: 'l2wire', index: 0, containerName })
    await launcher.newSidecar({ binding: 'l2wire-macvtap', index: 1, containerName })
    const alike = await launcher.play({ do: 'collect', sidecars: 2, timeoutMs: 1_000 })
    expect(alike.error).to.include('Failed to collect all expected sidecar hook sockets')
    await launcher.newSidecar({ binding: 'l2wire', index: 2 })
    const distinct = await launcher.play({ do: 'collect', sidecars: 2, timeoutMs: COLLECT_MS })
    expect(distinct).to.eql({ result: {} })
  })

  it('refuses a NIC whose link is not there by a status and a sentence, and goes on', async () => {
    const { netns, launcher } = pod
    const sidecar = await launcher.newSidecar({ binding: 'l2wire', index: 0 })
    await launcher.play({ do: 'collect', sidecars: 1, timeoutMs: COLLECT_MS })
    const vmi = newVmi({ ge0: OURS })
    const domain = newDomainXml(vmi)
    const { error } = await launcher.play({ do: 'define', vmi, domain })
    expect(error).to.match(/code = FailedPrecondition desc = .*ge0/)
    await addPodLink(netns, { nic: 'ge0', mac: '02:00:00:00:01:00' })
    expect(await launcher.play({ do: 'define', vmi, domain })).to.have.all.keys('result')
    await expectLogged(sidecar, 'cannot answer')
  })

  it('takes the largest VM that the API server does, and a domain of a thousand disks', async () => {
    const { netns, launcher } = pod
    await addPodLink(netns, { nic: 'ge0', mac: '02:00:00:00:01:00' })
    await launcher.newSidecar({ binding: 'l2wire', index: 0 })
    await launcher.play({ do: 'collect', sidecars: 1, timeoutMs: COLLECT_MS })
    const disks = Array.from({ length: 1_000 }, (_, index) => ({ name: `disk${index}` }))
    const vmi = newVmi({ ge0: OURS }, { disks, annotations: { large: 'x'.repeat(1_400_000) } })
    const { result } = await launcher.play<Defined>({
      do: 'define',
      vmi,
      domain: newDomainXml(vmi),
    })
    if (result === undefined) throw new Error('The domain was refused')
    expect(withoutNics(result.after, ['ge0'])).to.eql(withoutNics(result.before, []))
    expect(withoutNicText(result.xml, ['ge0'])).to.equal(result.given)
  })
})

/** As an admin has registered them, with what these files add. */
async function readBindings(...more: readonly string[]): Promise<Manifest> {
  const bindings: Record<string, Manifest> = {}
  for (const file of ['register-binding.yaml', 'register-binding-macvtap.yaml', ...more]) {
    const { name, plugin } = getBinding(await readManifest(join('kubevirt-patches', file)))
    bindings[name] = { ...bindings[name], ...plugin }
  }
  return bindings
}

interface CloudInit {
  readonly before: CloudInitData | null
  readonly after: CloudInitData | null
}

interface CloudInitData {
  readonly NoCloudMetaData: object
}
