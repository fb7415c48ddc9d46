// The agent as a kubelet's device plugin: the test plays the kubelet's side of both of its APIs on real
// sockets, and ADDs what it has given out in real namespaces.
import { readdir, rm } from 'node:fs/promises'
import { join } from 'node:path'

import { status } from '@grpc/grpc-js'
import { expect } from 'chai'
import { afterEach, beforeEach, describe, it } from 'mocha'

import { toPodLinkName, toTapName } from '../../../core/name.ts'
import { run } from '../../../kernel/run.ts'
import type { CniCall } from '../../../lab/cni.ts'
import { newLabKubelet, type ContainerDevice, type LabKubelet } from '../../../lab/kubelet.ts'
import { getNadConfig, readManifest, ROOT, type Manifest } from '../../../lab/manifests.ts'
import { newLabNetns, type LabNetns } from '../../../lab/netns.ts'
import { newLabNode, type LabNode } from '../../../lab/node.ts'
import { expectSoon } from '../../expect-soon.ts'
import { leavesNothing } from '../../nothing-left.ts'

const RESOURCE = 'l2wire.dev/macvtap'
const COUNT = 20

/** Its owner and mode, and "null" until its link is made, then the link's path in /sys. */
async function readDevice({ host_path: path }: ContainerDevice): Promise<string> {
  const text = await run(['stat', '-c', '%u:%g %a\n%Hr:%Lr', path])
  const [owner = '', number = ''] = text.split('\n')
  if (number === '1:3') return `${owner} null`
  const target = await run(['readlink', `/sys/dev/char/${number}`])
  return `${owner} ${target.trim().replace(/^.*\/net\//, '')}`
}

function getId({ container_path: path }: ContainerDevice): number {
  return Number(path.replace('/dev/tap', ''))
}

describe("a kubelet's device plugin", function () {
  this.timeout(90_000)
  let node: LabNode
  let kubelet: LabKubelet
  let root: string
  let bind: Manifest
  let options: readonly string[]

  leavesNothing(async (made) => {
    bind = getNadConfig(await readManifest('deploy/components/macvtap/binding-nad-macvtap.yaml'))
    // Its folder is one of the kubelet's, which is not there yet: the agent comes first.
    node = made.use(await newLabNode())
    root = join(node.folder, 'kubelet')
    options = [
      '--device-plugins',
      join(root, 'device-plugins'),
      '--pod-resources',
      join(root, 'pod-resources', 'kubelet.sock'),
      '--macvtap-devices',
      String(COUNT),
    ]
    await node.stopAgent('SIGTERM')
    await node.startAgent(options)
    await expectSoon('it waits', () => node.readLog().includes('waiting for a kubelet'))
    kubelet = await newLabKubelet(root)
    // The one that is there by then.
    made.defer(async () => kubelet[Symbol.asyncDispose]())
    await expectSoon('a registration', () => kubelet.devices().length > 0)
  })

  const toBind = (network: string): Manifest => ({
    ...bind,
    args: { cni: { logicNetworkName: network } },
  })

  it('registers with the kubelet that comes after it, and lists its devices', () => {
    expect(kubelet.registered.at(-1)).to.deep.equal({
      version: 'v1beta1',
      endpoint: 'l2wire-macvtap.sock',
      resource_name: RESOURCE,
      options: { pre_start_required: false, get_preferred_allocation_available: true },
    })
    expect(kubelet.devices()).to.have.length(COUNT)
    expect(new Set(kubelet.devices().map(({ ID }) => ID)).size).to.equal(COUNT)
    expect(kubelet.devices().every(({ health }) => health === 'Healthy')).to.equal(true)
    // Once per kubelet, however many files it makes meanwhile.
    expect(kubelet.registered).to.have.length(1)
  })

  it('says where it waits for a kubelet, and doctor is told where none is', async () => {
    const lines = node.readLog().split('\n')
    const waiting = lines.find((line) => line.includes('waiting for a kubelet')) ?? '{}'
    const folder = join(root, 'device-plugins')
    expect(JSON.parse(waiting)).to.include({ level: 40, folder })
    for (const [place, want] of [
      [folder, true],
      [root, false],
      [join(root, 'none'), null],
    ] as const) {
      const words = ['survey', '--state-dir', node.stateDir, '--device-plugins', place]
      const said = await run([join(ROOT, 'dist/bin/kubectl-l2wire'), ...words])
      expect(JSON.parse(said), place).to.include({ hasKubelet: want })
    }
  })

  it('answers the other calls of the API', async () => {
    expect(await kubelet.call('GetDevicePluginOptions', {})).to.deep.equal({
      pre_start_required: false,
      get_preferred_allocation_available: true,
    })
    expect(await kubelet.call('PreStartContainer', { devices_ids: ['70000001'] })).to.deep.equal({})
  })

  it('refuses to hand out what it has not', async () => {
    for (const id of ['70000999', '0000:03:02.0', '']) {
      const request = { container_requests: [{ devices_ids: [id] }] }
      const error: unknown = await kubelet
        .call('Allocate', request)
        .catch((thrown: unknown) => thrown)
      expect((error as { code: number }).code, id).to.equal(status.INVALID_ARGUMENT)
      expect((error as Error).message, id).to.include(RESOURCE)
    }
    expect(await readdir(join(node.folder, 'macvtap')).catch(() => [])).to.deep.equal([])
  })

  describe('and a launcher with two NICs', () => {
    let pod: LabNetns
    let given: readonly ContainerDevice[]
    const names = ['ge0', 'ge1']

    const toCall = (command: string, ifname: string, name = 'vm'): CniCall => ({
      command,
      containerID: 'c1',
      netns: pod.path,
      ifname,
      args: `K8S_POD_NAMESPACE=default;K8S_POD_NAME=${name}`,
    })
    const expectWhole = async (): Promise<void> => {
      for (const network of names)
        await node.mustCall(
          { ...toBind(network), prevResult: {} },
          toCall('CHECK', `net-${network}`),
        )
    }

    beforeEach(async () => {
      pod = await newLabNetns('launcher')
      given = await kubelet.admit('vm', 2)
      for (const network of names)
        await node.mustCall(
          { cniVersion: '1.1.0', name: network, type: 'l2wire' },
          toCall('ADD', toPodLinkName(network)),
        )
    })
    afterEach(async () => {
      for (const network of names) {
        await node.mustCall(toBind(network), toCall('DEL', `net-${network}`))
        await node.mustCall(
          { cniVersion: '1.1.0', name: network, type: 'l2wire' },
          toCall('DEL', toPodLinkName(network)),
        )
      }
      await pod[Symbol.asyncDispose]()
    })
    const addBoth = async (): Promise<void> => {
      for (const network of names)
        await node.mustCall(toBind(network), toCall('ADD', `net-${network}`))
    }

    it('each NIC gets one of the devices that the pod was given, by the number it will be opened by', async () => {
      expect(given).to.have.length(2)
      for (const device of given) {
        expect(device.permissions).to.equal('rw')
        expect(device.host_path).to.equal(
          join(node.folder, 'macvtap', device.container_path.replace('/dev/', '')),
        )
        expect(await readDevice(device)).to.equal('107:107 660 null')
      }
      await addBoth()
      const links = JSON.parse(await pod.run(['ip', '-j', 'link', 'show'])) as {
        ifname: string
        ifindex: number
      }[]
      const taps = names.map((network) => toTapName(toPodLinkName(network)))
      expect(
        links.filter(({ ifname }) => taps.includes(ifname)).map(({ ifindex }) => ifindex),
      ).to.have.members(given.map(getId))
      for (const device of given) {
        const tap = links.find(({ ifindex }) => ifindex === getId(device))?.ifname
        expect(await readDevice(device)).to.equal(`107:107 660 ${tap}/macvtap/tap${getId(device)}`)
      }
      await expectWhole()
    })

    it('a NIC more than the pod has devices is refused, as is a pod without any', async () => {
      await addBoth()
      await node.mustCall(
        { cniVersion: '1.1.0', name: 'ge2', type: 'l2wire' },
        toCall('ADD', toPodLinkName('ge2')),
      )
      const more = await node.call(toBind('ge2'), toCall('ADD', 'net-ge2'))
      expect(more.output).to.include({ code: 113 })
      expect(more.output?.['msg']).to.include('all 2 devices').and.include(RESOURCE)
      const none = await node.call(toBind('ge2'), toCall('ADD', 'net-ge2', 'another'))
      expect(none.output).to.include({ code: 113 })
      expect(none.output?.['msg']).to.include('resources.limits').and.include('resourceName')
      await node.mustCall(
        { cniVersion: '1.1.0', name: 'ge2', type: 'l2wire' },
        toCall('DEL', toPodLinkName('ge2')),
      )
      await expectWhole()
    })

    it('a device that no NIC uses leads nowhere, and its container starts all the same', async () => {
      await node.mustCall(toBind('ge0'), toCall('ADD', 'net-ge0'))
      const kinds = await Promise.all(given.map(readDevice))
      expect(kinds.filter((kind) => kind.endsWith('null'))).to.have.length(1)
    })

    it('a kubelet that starts anew finds its plugin again, and what it gave goes on', async () => {
      await addBoth()
      const devices = await Promise.all(given.map(readDevice))
      await kubelet[Symbol.asyncDispose]()
      kubelet = await newLabKubelet(root, kubelet.pods)
      await expectSoon('a registration', () => kubelet.devices().length === COUNT)
      expect(kubelet.registered).to.have.length(1)
      expect(await Promise.all(given.map(readDevice))).to.deep.equal(devices)
      await expectWhole()
      const more = await kubelet.admit('vm2', 1)
      expect(given.map(getId)).to.not.include(getId(more[0] as ContainerDevice))
    })

    it('an agent that starts anew registers again, and what was given goes on', async () => {
      await addBoth()
      const devices = await Promise.all(given.map(readDevice))
      await node.stopAgent('SIGKILL')
      await expectSoon('the kubelet misses it', () => kubelet.devices().length === 0)
      await node.startAgent(options)
      await expectSoon('a registration', () => kubelet.devices().length === COUNT)
      expect(await Promise.all(given.map(readDevice))).to.deep.equal(devices)
      await expectWhole()
      await kubelet.admit('vm3', 1)
    })

    it('an agent that is no device plugin any more leaves what was given as it is', async () => {
      await addBoth()
      const devices = await Promise.all(
        given.map(async ({ host_path: path }) => run(['stat', '-c', '%i %Hr:%Lr', path])),
      )
      await node.stopAgent('SIGTERM')
      await expectSoon('the kubelet misses it', () => kubelet.devices().length === 0)
      await node.startAgent()
      await expectWhole()
      expect(
        await Promise.all(
          given.map(async ({ host_path: path }) => run(['stat', '-c', '%i %Hr:%Lr', path])),
        ),
      ).to.deep.equal(devices)
      await node.stopAgent('SIGTERM')
      await node.startAgent(options)
      await expectSoon('a registration', () => kubelet.devices().length === COUNT)
      await expectWhole()
    })

    it('the pod of a virtual machine that starts again prefers devices that nobody has', async () => {
      await addBoth()
      // Its earlier pod has ended, and its sandbox has not been removed yet.
      kubelet.pods.delete('vm')
      const next = await kubelet.admit('vm', 2)
      for (const device of next) expect(given.map(getId)).to.not.include(getId(device))
      kubelet.pods.delete('vm')
    })

    it('a kubelet that does not tell of its pods: error 11, and once it does all is well', async () => {
      await node.stopAgent('SIGTERM')
      await node.startAgent([...options, '--pod-resources', join(root, 'none.sock')])
      const { output } = await node.call(toBind('ge0'), toCall('ADD', 'net-ge0'))
      expect(output).to.include({ code: 11 })
      expect(output?.['msg']).to.include('none.sock')
      await node.stopAgent('SIGTERM')
      await node.startAgent(options)
      await addBoth()
      await expectWhole()
    })
  })

  describe('whatever its kubelet does', () => {
    it('a kubelet that refuses at first is asked again', async () => {
      await kubelet[Symbol.asyncDispose]()
      kubelet = await newLabKubelet(root, kubelet.pods, { isRefusing: true })
      await expectSoon('a registration that was refused', () => kubelet.refused() > 1)
      kubelet.refuse(false)
      await expectSoon('a registration', () => kubelet.devices().length === COUNT)
    })

    it('a kubelet that drops the plugin is told again', async () => {
      const before = kubelet.registered.length
      kubelet.unwatch()
      await expectSoon('a registration', () => kubelet.registered.length > before)
      await expectSoon('the list', () => kubelet.devices().length === COUNT)
    })

    it("a folder that was removed and made again is the kubelet's all the same", async () => {
      await kubelet[Symbol.asyncDispose]()
      await rm(root, { recursive: true })
      kubelet = await newLabKubelet(root, kubelet.pods)
      await expectSoon('a registration', () => kubelet.devices().length === COUNT)
    })

    it('its socket goes with it', async () => {
      await node.stopAgent('SIGTERM')
      expect(await readdir(kubelet.folder)).to.deep.equal(['kubelet.sock'])
    })
  })
})
