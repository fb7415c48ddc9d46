// What a kubelet does beside what is asked of it first (pkg/kubelet/cm/devicemanager): it keeps a pod's devices through
// failed ADDs, gives numbers on before their last sandbox has gone, and asks for several containers; and what becomes
// of a device whose sandbox goes in another way than by a DEL.
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'

import { expect } from 'chai'
import { afterEach, beforeEach, describe, it } from 'mocha'

import { MACVTAP_RESOURCE } from '../../../core/attach/macvtap.ts'
import { toPodLinkName, toTapName } from '../../../core/name.ts'
import { run } from '../../../kernel/run.ts'
import type { CniCall } from '../../../lab/cni.ts'
import { newLabKubelet, type ContainerDevice, type LabKubelet } from '../../../lab/kubelet.ts'
import { getNadConfig, readManifest, type Manifest } from '../../../lab/manifests.ts'
import { newLabNetns, type LabNetns } from '../../../lab/netns.ts'
import { newLabNode, type LabNode } from '../../../lab/node.ts'
import { expectLogged } from '../../expect-logged.ts'
import { expectSoon } from '../../expect-soon.ts'
import { leavesNothing } from '../../nothing-left.ts'

/** As many as a test needs at a time: what is given next may be what has just come back. */
const COUNT = 3
const FIRST = 70_000_001
const NULL = '107:107 660 null'

interface Allocated {
  readonly container_responses: readonly { readonly devices: readonly ContainerDevice[] }[]
}

function toWire(network: string): Manifest {
  return { cniVersion: '1.1.0', name: network, type: 'l2wire' }
}

/** A device that is as ADD left it. */
function toWhole(network: string, id: number): string {
  return `107:107 660 ${toTapName(toPodLinkName(network))}/macvtap/tap${id}`
}

/** Its path leads to another namespace then, as it may. */
async function vanish({ name }: LabNetns): Promise<void> {
  await run(['ip', 'netns', 'del', name])
  await run(['ip', 'netns', 'add', name])
}

async function readIndex(netns: LabNetns, network: string): Promise<number> {
  const dev = toTapName(toPodLinkName(network))
  const said = await netns.run(['ip', '-o', 'link', 'show', 'dev', dev])
  return Number(said.split(':')[0])
}

describe('a kubelet', function () {
  this.timeout(90_000)
  let node: LabNode
  let kubelet: LabKubelet
  let bind: Manifest
  let pods: AsyncDisposableStack
  leavesNothing(async (made) => {
    bind = getNadConfig(await readManifest('deploy/components/macvtap/binding-nad-macvtap.yaml'))
    node = made.use(await newLabNode())
    const root = join(node.folder, 'kubelet')
    kubelet = made.use(await newLabKubelet(root))
    await node.stopAgent('SIGTERM')
    await node.startAgent([
      '--device-plugins',
      join(root, 'device-plugins'),
      '--pod-resources',
      join(root, 'pod-resources', 'kubelet.sock'),
      '--macvtap-devices',
      String(COUNT),
      '--check-seconds',
      '1',
    ])
    await expectSoon('a registration', () => kubelet.devices().length === COUNT)
  })
  beforeEach(() => {
    pods = new AsyncDisposableStack()
  })
  afterEach(async () => {
    kubelet.pods.clear()
    await pods.disposeAsync()
    await expectSoon('nothing is left', async () => (await node.listDocuments()).length === 0)
    for (const file of await listFiles()) await run(['rm', join(node.folder, 'macvtap', file)])
  })

  const listFiles = async (): Promise<readonly string[]> =>
    readdir(join(node.folder, 'macvtap')).catch(() => [])
  const readDevice = async (id: number): Promise<string> => {
    const path = join(node.folder, 'macvtap', `tap${id}`)
    const text = await run(['stat', '-c', '%u:%g %a\n%Hr:%Lr', path]).catch(() => 'none\n')
    const [owner = '', number = ''] = text.split('\n')
    if (number === '1:3') return `${owner} null`
    const target = await run(['readlink', `/sys/dev/char/${number}`]).catch(() => '')
    return `${owner} ${target.trim().replace(/^.*\/net\//, '')}`.trim()
  }
  /** A sandbox of a pod, with a wire's end for each network. */
  const newSandbox = async (containerID: string, pod: string, networks: readonly string[]) => {
    const netns = pods.use(await newLabNetns('launcher'))
    const toCall = (command: string, ifname: string): CniCall => ({
      command,
      containerID,
      netns: netns.path,
      ifname,
      args: `K8S_POD_NAMESPACE=default;K8S_POD_NAME=${pod}`,
    })
    for (const network of networks)
      await node.mustCall(toWire(network), toCall('ADD', toPodLinkName(network)))
    const callBind = async (command: string, network: string, more: Manifest = {}) =>
      node.call(
        { ...bind, ...more, args: { cni: { logicNetworkName: network } } },
        toCall(command, `net-${network}`),
      )
    const add = async (network: string): Promise<void> => {
      const { exitCode, stdout } = await callBind('ADD', network)
      expect(exitCode, stdout).to.equal(0)
    }
    const del = async (): Promise<void> => {
      for (const network of networks) {
        expect((await callBind('DEL', network)).exitCode).to.equal(0)
        await node.mustCall(toWire(network), toCall('DEL', toPodLinkName(network)))
      }
    }
    return { netns, callBind, add, del }
  }
  /** Those that nobody has come first, the lowest of them. */
  const expectFree = async (id: number): Promise<void> => {
    expect(await readDevice(id)).to.equal('none')
    kubelet.pods.clear()
    const [given] = await kubelet.admit('next', 1)
    expect(given?.container_path).to.equal(`/dev/tap${id}`)
  }
  const collect = async (valid: readonly object[]): Promise<Manifest> =>
    node.mustCall({ ...bind, 'cni.dev/valid-attachments': valid }, { command: 'GC' })

  it('that takes a registration and does not watch is told again', async () => {
    const before = kubelet.registered.length
    kubelet.ignore(2)
    kubelet.unwatch()
    await expectSoon('a third', () => kubelet.registered.length === before + 3)
    await expectSoon('the list', () => kubelet.devices().length === COUNT)
    await expectLogged(node, 'does not watch the list')
  })

  it('may ask for several containers at once, for the same device twice', async () => {
    const ask = [['70000001', '70000002'], ['70000002'], []].map((ids) => ({ devices_ids: ids }))
    const answer = await kubelet.call<Allocated>('Allocate', { container_requests: ask })
    expect(
      answer.container_responses.map(({ devices }) => devices.map((one) => one.container_path)),
    ).to.deep.equal([['/dev/tap70000001', '/dev/tap70000002'], ['/dev/tap70000002'], []])
    for (const id of [FIRST, FIRST + 1]) expect(await readDevice(id)).to.equal(NULL)
    expect(await listFiles()).to.have.members(['tap70000001', 'tap70000002'])
    const prefer = [
      { must_include: ['70000003'], size: 2 },
      { must_include: [], size: 1 },
    ].map(({ must_include: must, size }) => ({
      available_deviceIDs: ['70000001', '70000002', '70000003'],
      must_include_deviceIDs: must,
      allocation_size: size,
    }))
    expect(
      await kubelet.call('GetPreferredAllocation', { container_requests: prefer }),
    ).to.deep.equal({
      container_responses: [{ deviceIDs: ['70000003', '70000001'] }, { deviceIDs: ['70000001'] }],
    })
  })

  it('may give a container what an init container had', async () => {
    await kubelet.admit('vm', 1, ['70000002'])
    const entry = kubelet.pods.get('vm')
    const devices = [{ resource_name: MACVTAP_RESOURCE, device_ids: ['70000002'] }]
    const containers = ['init', 'compute'].map((name) => ({ name, devices }))
    kubelet.pods.set('vm', { name: 'vm', namespace: 'default', ...entry, containers })
    const sandbox = await newSandbox('c1', 'vm', ['ge0', 'ge1'])
    await sandbox.add('ge0')
    expect(await readIndex(sandbox.netns, 'ge0')).to.equal(FIRST + 1)
    const { output } = await sandbox.callBind('ADD', 'ge1')
    expect(output).to.include({ code: 113 })
    expect(output?.['msg']).to.include('all 1 devices')
    await sandbox.del()
  })

  it('keeps what a pod was given while its ADDs fail, and the next sandbox gets the same', async () => {
    await kubelet.admit('vm', 2)
    // The second NIC's link is not there.
    const first = await newSandbox('c1', 'vm', ['ge0'])
    await first.add('ge0')
    expect((await first.callBind('ADD', 'ge1')).output).to.include({ code: 104 })
    await first.del()
    const second = await newSandbox('c2', 'vm', ['ge0', 'ge1'])
    for (const network of ['ge0', 'ge1']) await second.add(network)
    expect(await readIndex(second.netns, 'ge0')).to.equal(FIRST)
    expect(await readDevice(FIRST)).to.equal(toWhole('ge0', FIRST))
    expect(await readDevice(FIRST + 1)).to.equal(toWhole('ge1', FIRST + 1))
    // Its earlier sandbox may be one that nobody has removed yet.
    const third = await newSandbox('c3', 'vm', ['ge0'])
    expect((await third.callBind('ADD', 'ge0')).output).to.include({ code: 11 })
    await second.del()
    await third.add('ge0')
    expect(await readDevice(FIRST)).to.equal(toWhole('ge0', FIRST))
    await third.del()
    expect(await readDevice(FIRST)).to.equal('none')
  })

  it('that has lost its checkpoint gives on what a running VM has, which keeps it until it ends', async () => {
    await kubelet.admit('vm', 1, ['70000001'])
    const running = await newSandbox('c1', 'vm', ['ge0'])
    await running.add('ge0')
    kubelet.pods.clear()
    await kubelet.admit('vm2', 1, ['70000001'])
    expect(await readDevice(FIRST)).to.equal(NULL)
    // What brings a macvtap to where its ADD left it must not hand it to whoever has the number now.
    await running.netns.run(['ip', 'link', 'del', 'dev', toPodLinkName('ge0')])
    await expectSoon('it is made again', async () => {
      const index = await readIndex(running.netns, 'ge0').catch(() => undefined)
      return index === FIRST
    })
    expect(await readDevice(FIRST)).to.equal(NULL)
    const newer = await newSandbox('c2', 'vm2', ['ge1'])
    const refused = await newer.callBind('ADD', 'ge1')
    expect(refused.output).to.include({ code: 11 })
    expect(refused.output?.['msg']).to.include('still there')
    expect(await readIndex(running.netns, 'ge0')).to.equal(FIRST)
    await running.del()
    await newer.add('ge1')
    expect(await readDevice(FIRST)).to.equal(toWhole('ge1', FIRST))
    await newer.del()
  })

  it("is asked of a device that a network names, which may be anybody's", async () => {
    await kubelet.admit('victim', 1, ['70000001'])
    await kubelet.admit('vm', 1, ['70000002'])
    const sandbox = await newSandbox('c1', 'vm', ['ge0'])
    for (const id of ['70000001', '70000003', '0070000001']) {
      const { output } = await sandbox.callBind('ADD', 'ge0', { deviceID: id })
      expect(output, id).to.include({ code: 113 })
      expect(output?.['msg']).to.include('did not give it to this pod')
    }
    expect(await readDevice(FIRST)).to.equal(NULL)
    expect((await sandbox.callBind('ADD', 'ge0', { deviceID: '70000002' })).exitCode).to.equal(0)
    expect(await readDevice(FIRST + 1)).to.equal(toWhole('ge0', FIRST + 1))
    await sandbox.del()
  })

  describe('gives a device again', () => {
    it('whose pod vanished without a DEL', async () => {
      await kubelet.admit('vm', 1)
      const sandbox = await newSandbox('c1', 'vm', ['ge0'])
      await sandbox.add('ge0')
      kubelet.pods.clear()
      const [meanwhile] = await kubelet.admit('other', 1)
      expect(meanwhile?.container_path, 'not while its sandbox lives').to.equal('/dev/tap70000002')
      await vanish(sandbox.netns)
      await expectSoon('it is let go', async () => (await readDevice(FIRST)) === 'none')
      await expectFree(FIRST)
    })

    it('that a GC took, and leaves one that is valid', async () => {
      await kubelet.admit('vm', 2)
      const sandbox = await newSandbox('c1', 'vm', ['ge0', 'ge1'])
      for (const network of ['ge0', 'ge1']) await sandbox.add(network)
      await collect([{ containerID: 'c1', ifname: 'net-ge1' }])
      expect(await readDevice(FIRST)).to.equal('none')
      expect(await readDevice(FIRST + 1)).to.equal(toWhole('ge1', FIRST + 1))
      expect((await sandbox.callBind('CHECK', 'ge1', { prevResult: {} })).exitCode).to.equal(0)
      const left = await sandbox.netns.run(['ip', '-br', 'link', 'show'])
      expect(left)
        .to.include(toPodLinkName('ge0'))
        .and.not.include(toTapName(toPodLinkName('ge0')))
      await collect([])
      expect(await readDevice(FIRST + 1)).to.equal('none')
      await expectFree(FIRST)
      await sandbox.del()
    })

    it('whose launcher a GC finds gone', async () => {
      await kubelet.admit('vm', 1)
      const sandbox = await newSandbox('c1', 'vm', ['ge0'])
      await sandbox.add('ge0')
      await vanish(sandbox.netns)
      await collect([])
      await expectFree(FIRST)
    })
  })
})
