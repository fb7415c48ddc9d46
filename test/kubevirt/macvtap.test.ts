// VMs by macvtap, with the devices of a real kubelet: installed and registered as docs/macvtap.md says, command by
// command, and taken away again after.
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'

import { expect } from 'chai'
import { after, before, describe, it } from 'mocha'

import { MACVTAP_RESOURCE } from '../../core/attach/macvtap.ts'
import type { WireDescription } from '../../core/view/description.ts'
import { getMapping, ROOT } from '../../lab/manifests.ts'
import { GUEST_IMAGE } from '../../lab/kube/images.ts'
import { expectSoon } from '../expect-soon.ts'
import { expectTransparent } from '../expect-transparent.ts'
import { newBlockVolume } from './fixture-block-volume.ts'
import { getLauncher, LIBVIRT, newPodStation, newVmStation } from './fixture-guest.ts'
import { newMigrant, preferring } from './fixture-migration.ts'
import { newPlace, toVm, type Place, type VmShape } from '../../lab/kube/place.ts'
import { expectTable } from './fixture-table.ts'

/** Longest frames the cable tester sends. */
const MTU = { mtu: 9216 }
const DEVICES = '/run/l2wire/macvtap'
const NODES = ['n1', 'n2'] as const
/** The first KubeVirt that leaves a network's annotation to others. */
const ANNOTATION_UNREAD_MINOR = 8
const ROLLOUT_MS = 300_000

/** A VM by macvtap that asks for so many devices; all else is for its disks. */
function toShape(devices: number, more: VmShape = {}): VmShape {
  const limits =
    devices === 0 ? {} : { resources: { limits: { [MACVTAP_RESOURCE]: `${devices}` } } }
  return { binding: 'l2wire-macvtap', ...more, domain: { ...limits, ...more.domain } }
}

/** Any file is a disk. */
const DISKS = [
  { name: 'image', containerDisk: { image: GUEST_IMAGE, path: '/boot/vmlinuz' } },
  { name: 'cloud', cloudInitNoCloud: { userData: '#cloud-config\n' } },
]
const PLUGGED = 'plugged'
/** KubeVirt plugs it in before QEMU starts. */
const PLUGGED_DISK = {
  name: PLUGGED,
  persistentVolumeClaim: { claimName: PLUGGED, hotpluggable: true },
}

/** Nothing boots: its firmware finds no system. KubeVirt 1.7 mounts no kernel beside a volume that is plugged in. */
function toDisksOnly(volumes: readonly { readonly name: string }[]): VmShape {
  const disks = volumes.map(({ name }) => ({
    name,
    disk: { bus: name === PLUGGED ? 'scsi' : 'virtio' },
  }))
  return { devices: { disks }, spec: { volumes }, domain: { firmware: {} } }
}

describe('VMs by macvtap in a cluster', function () {
  this.timeout(600_000)
  let place: Place
  let isAnnotationRead: boolean
  /** Of cgroups v1. Elsewhere a VM with such a volume does not start: docs/macvtap.md. */
  let canHotplug: boolean
  const made = new AsyncDisposableStack()

  before(async () => {
    place = await newPlace()
    const { cluster, namespace } = place
    const commands = await readCommands()
    expect(commands).to.have.length(2)
    for (const command of commands) await cluster.run(['sh', '-ec', `cd ${ROOT} && ${command}`])
    await waitForAgents()
    for (const node of NODES)
      await expectSoon(`${node} has devices`, async () => (await readAllocatable(node)) === '1k')

    const kubevirt = await cluster.getObject('kubevirt', 'kubevirt', 'kubevirt')
    const version = String(getMapping(kubevirt, 'status')['observedKubeVirtVersion'])
    isAnnotationRead = Number(version.split('.')[1]) < ANNOTATION_UNREAD_MINOR

    for (const name of ['r1-h1', 'r1-r2', 'r3-h3', 'r4-h4']) await place.addCable(name, MTU)
    // The same cable, by a network that asks for a device itself.
    await place.addCable('r2-r1', { ...MTU, wire: 'r1-r2' })
    const cgroups = await cluster.getNode('n2').run(['stat', '-fc', '%T', '/sys/fs/cgroup'])
    canHotplug = !cgroups.includes('cgroup2fs')
    if (canHotplug) made.use(await newBlockVolume(place, 'n2', PLUGGED))
    const annotation = `k8s.v1.cni.cncf.io/resourceName=${MACVTAP_RESOURCE}`
    await place.kubectl('annotate', 'network-attachment-definitions', 'r2-r1', annotation)
    const disks = [...DISKS, ...(canHotplug ? [PLUGGED_DISK] : [])]
    await cluster.apply(
      toVm(
        { name: 'r1', namespace },
        'n1',
        ['r1-h1', 'r1-r2'],
        toShape(2, { spec: preferring('n1') }),
      ),
      toVm({ name: 'r2', namespace }, 'n2', ['r2-r1'], toShape(isAnnotationRead ? 0 : 1)),
      toVm({ name: 'r3', namespace }, 'n2', ['r3-h3'], toShape(0)),
      toVm({ name: 'r4', namespace }, 'n2', ['r4-h4'], toShape(1, toDisksOnly(disks))),
    )
    await Promise.all([
      place.addPod('h1', 'n2', ['r1-h1']),
      ...['r1', 'r2'].map(place.waitUntilBooted),
    ])
    for (const wire of ['r1-h1', 'r1-r2']) await place.waitUntilConnected(wire)
  })
  after(async () => {
    try {
      await place[Symbol.asyncDispose]()
      await made.disposeAsync()
    } finally {
      await uninstall()
    }
  })

  const uninstall = async (): Promise<void> => {
    const { kubectl } = place.cluster
    const unregister = join(ROOT, 'kubevirt-patches/unregister-binding-macvtap.yaml')
    const kubevirt = ['patch', 'kubevirt', 'kubevirt', '-n', 'kubevirt', '--type', 'merge']
    await kubectl([...kubevirt, '--patch-file', unregister])
    await kubectl(['apply', '-k', join(ROOT, 'deploy')])
    const network = join(ROOT, 'deploy/components/macvtap/binding-nad-macvtap.yaml')
    await kubectl(['delete', '--ignore-not-found', '-f', network])
    await waitForAgents()
  }
  const waitForAgents = async (): Promise<void> => {
    const rollout = ['-n', 'l2wire', 'rollout', 'status', 'daemonset/l2wire-agent']
    await place.cluster.kubectl([...rollout, '--timeout=270s'], { timeoutMs: ROLLOUT_MS })
  }
  /** A quantity, as the kubelet writes it. */
  const readAllocatable = async (node: string): Promise<unknown> => {
    const status = getMapping(await place.cluster.getObject('node', node), 'status')
    return getMapping(status, 'allocatable')[MACVTAP_RESOURCE]
  }
  /** On the node, of those that lead to a macvtap. */
  const listDevices = async (node: string): Promise<readonly string[]> => {
    const listed = await place.cluster.getNode(node).run(['ls', DEVICES])
    return listed.split('\n').filter((name) => name !== '')
  }

  /** Of the domain that runs. */
  const listDisks = async (vm: string): Promise<readonly string[]> => {
    const launcher = await getLauncher(place, vm)
    const list = ['virsh', '-q', '-c', LIBVIRT, 'domblklist', `${place.namespace}_${vm}`]
    const said = await place.kubectl('exec', launcher, '-c', 'compute', '--', ...list)
    return said.split('\n').filter((line) => line.trim() !== '')
  }

  it('are given their devices by the kubelet, as many as they ask for', async () => {
    expect(await listDevices('n1')).to.have.length(2)
    const launcher = await getLauncher(place, 'r1')
    const inLauncher = ['exec', launcher, '-c', 'compute', '--', 'sh', '-c', 'ls /dev/tap*']
    const seen = (await place.kubectl(...inLauncher)).trim().split('\n')
    expect(seen).to.deep.equal((await listDevices('n1')).map((name) => `/dev/${name}`))
  })

  it('start with volumes, where KubeVirt gives their launcher devices and folders of its own', async () => {
    await expectSoon('QEMU runs', async () => {
      const instance = await place.cluster.getObject('vmi', 'r4', place.namespace)
      return getMapping(instance, 'status')['phase'] === 'Running'
    })
    const count = DISKS.length + (canHotplug ? 1 : 0)
    await expectSoon('it has its disks', async () => (await listDisks('r4')).length === count)
  })

  it('carry every class of frames to a container of another node, from link to link and from guest to end', async () => {
    await expectTable(place, 'r1-h1')
    await expectTransparent(
      await newVmStation(place, 'r1', 'ge0'),
      await newPodStation(place, 'h1', 'eth1'),
    )
  })

  it('carry every class of frames from guest to guest, the far one by a device that its network asks for', async () => {
    await expectTable(place, 'r1-r2')
    await expectTransparent(
      await newVmStation(place, 'r1', 'ge1'),
      await newVmStation(place, 'r2', 'ge0'),
    )
  })

  it('are drawn by describe with all that they are joined by', async () => {
    const said = await place.l2wire('describe', 'r1-r2', '-o', 'json')
    const { path, findings } = JSON.parse(said) as WireDescription
    expect(findings).to.deep.equal([])
    expect(path.join('\n')).to.include('vm/r1 ── tap').and.include('vm/r2 ── tap')
    expect(path.join('\n')).to.not.include('?').and.not.include('╳')
  })

  it('are on their cables where they run once KubeVirt has migrated them', async () => {
    const r1 = newMigrant(place, 'r1')
    await r1.begin('go')
    await r1.waitForPhase('go', 'Succeeded', 'Failed')
    expect(await r1.readPhase('go')).to.equal('Succeeded')
    expect(await r1.listHolders(['r1-h1', 'r1-r2'])).to.deep.equal(['n2', 'n2'])
    await expectSoon('n1 has its devices again', async () => (await listDevices('n1')).length === 0)
    await expectTable(place, 'r1-h1')
    await expectTransparent(
      await newVmStation(place, 'r1', 'ge1'),
      await newVmStation(place, 'r2', 'ge0'),
    )
  })

  it('are told of by an Event, where a volume of theirs would be in the way on other nodes', async function () {
    if (!canHotplug) this.skip()
    const which = ['--field-selector', 'reason=MacvtapHotplugVolume', '-o', 'json']
    const { items } = JSON.parse(await place.kubectl('get', 'events', ...which)) as {
      readonly items: readonly { readonly message: string }[]
    }
    expect(items.map(({ message }) => message).join()).to.include(`"${PLUGGED}"`)
  })

  it('wait for the device that nobody asked for, and an Event says how to ask', async () => {
    let told = ''
    await expectSoon('an Event tells', async () => {
      const path = '{range .items[*]}{.message}{"\\n"}{end}'
      const which = ['--field-selector', 'reason=FailedCreatePodSandBox']
      told = await place.kubectl('get', 'events', ...which, '-o', `jsonpath=${path}`)
      return told.includes('macvtap')
    })
    expect(told).to.include(`in the VM's resources.limits "${MACVTAP_RESOURCE}"`)
  })

  it('give their devices back', async () => {
    await place.kubectl('delete', 'vm', '--all', '--wait=true')
    for (const node of NODES)
      await expectSoon(`${node} has all its devices`, async () => {
        const inUse = await listDevices(node)
        return inUse.length === 0
      })
  })
})

/** Those that docs/macvtap.md begins with. */
async function readCommands(): Promise<readonly string[]> {
  const text = await readFile(join(ROOT, 'docs/macvtap.md'), 'utf8')
  return [...text.matchAll(/^ {4}(kubectl .+)$/gm)].map(([, command = '']) => command)
}
