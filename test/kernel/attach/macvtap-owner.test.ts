// Whose a macvtap's device is: the kubelet says it, whatever a configuration names, which a tenant may have written.
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'

import { expect } from 'chai'
import { afterEach, beforeEach, describe, it } from 'mocha'

import { MACVTAP_RESOURCE } from '../../../core/attach/macvtap.ts'
import { toPodLinkName, toTapName } from '../../../core/name.ts'
import { run } from '../../../kernel/run.ts'
import type { CniAnswer, CniCall } from '../../../lab/cni.ts'
import { newLabKubelet, type LabKubelet } from '../../../lab/kubelet.ts'
import type { Manifest } from '../../../lab/manifests.ts'
import { newLabNetns, type LabNetns } from '../../../lab/netns.ts'
import { newLabNode, type LabNode } from '../../../lab/node.ts'
import { expectSoon } from '../../expect-soon.ts'
import { leavesNothing } from '../../nothing-left.ts'
import { readLinks } from '../fixture-links.ts'
import { FIRST } from '../fixture-macvtap.ts'

const POD_LINK = toPodLinkName('ge0')
const TAP = toTapName(POD_LINK)
const COUNT = 4

interface Sandbox {
  readonly netns: LabNetns
  readonly bind: (command: string, more?: Manifest) => Promise<CniAnswer>
  readonly del: () => Promise<void>
}

async function hasTap({ netns }: Sandbox): Promise<boolean> {
  return (await readLinks(netns)).has(TAP)
}

async function readIndex({ netns }: Sandbox): Promise<number | undefined> {
  return (await readLinks(netns)).get(TAP)?.ifindex
}

describe("a macvtap's device", function () {
  this.timeout(90_000)
  let node: LabNode
  let kubelet: LabKubelet
  let options: readonly string[]
  let sandboxes: AsyncDisposableStack
  leavesNothing(async (made) => {
    node = made.use(await newLabNode())
    kubelet = made.use(await newLabKubelet(join(node.folder, 'kubelet')))
    options = [
      '--device-plugins',
      kubelet.folder,
      '--pod-resources',
      kubelet.podResources,
      '--macvtap-devices',
      String(COUNT),
    ]
    await startAnew()
  })
  beforeEach(() => {
    sandboxes = new AsyncDisposableStack()
  })
  afterEach(async () => {
    await sandboxes.disposeAsync()
    kubelet.pods.clear()
    for (const id of [FIRST, FIRST + 1, FIRST + 2]) await run(['rm', '-f', toPath(id)])
  })

  const startAnew = async (more: readonly string[] = []): Promise<void> => {
    await node.stopAgent('SIGTERM')
    const before = kubelet.registered.length
    await node.startAgent([...options, ...more])
    await expectSoon('a registration', () => kubelet.registered.length > before)
    await expectSoon('the list', () => kubelet.devices().length === COUNT)
  }
  const toPath = (id: number): string => join(node.folder, 'macvtap', `tap${id}`)
  /** File and device, so that one in its place is noticed. */
  const readFileOf = async (id: number): Promise<string> =>
    run(['stat', '-c', '%i %Hr:%Lr', toPath(id)])
  /** A launcher of a pod "NAMESPACE/NAME", plugged into a cable of its own. */
  const newSandbox = async (containerID: string, pod: string, uid = pod): Promise<Sandbox> => {
    const netns = sandboxes.use(await newLabNetns('launcher'))
    const [namespace = '', name = ''] = pod.split('/')
    const toCall = (command: string, ifname: string): CniCall => ({
      command,
      containerID,
      netns: netns.path,
      ifname,
      args: `K8S_POD_NAMESPACE=${namespace};K8S_POD_NAME=${name};K8S_POD_UID=${uid}`,
    })
    const wire = { cniVersion: '1.1.0', name: `cable-${containerID}`, type: 'l2wire' }
    const config = {
      cniVersion: '1.1.0',
      name: 'tenants-own',
      type: 'l2wire-bind',
      attach: 'macvtap',
      args: { cni: { logicNetworkName: 'ge0' } },
    }
    const bind: Sandbox['bind'] = async (command, more = {}) =>
      node.call({ ...config, ...more }, toCall(command, 'net1'))
    const del = async (): Promise<void> => {
      await node.mustCall(config, toCall('DEL', 'net1'))
      await node.mustCall(wire, toCall('DEL', POD_LINK))
    }
    sandboxes.defer(del)
    await node.mustCall(wire, toCall('ADD', POD_LINK))
    return { netns, bind, del }
  }
  /** A VM that runs with the first device. */
  const newVictim = async (): Promise<Sandbox> => {
    await kubelet.admit('team-a/vm', 1, [String(FIRST)])
    const victim = await newSandbox('victim', 'team-a/vm')
    const { exitCode, stdout } = await victim.bind('ADD')
    expect(exitCode, stdout).to.equal(0)
    return victim
  }

  for (const { name, pod, given } of [
    { name: 'a pod that was given none', pod: 'team-b/vm2', given: [] },
    { name: 'a pod of the same name in another namespace', pod: 'team-b/vm', given: [] },
    { name: 'another pod of the same namespace', pod: 'team-a/vm2', given: [] },
    { name: 'a pod that was given another', pod: 'team-b/vm', given: [String(FIRST + 1)] },
  ])
    it(`is not what the configuration of ${name} may name`, async () => {
      const victim = await newVictim()
      const before = await readFileOf(FIRST)
      if (given.length > 0) await kubelet.admit(pod, given.length, given)
      const attacker = await newSandbox('attacker', pod)
      for (const _ of ['once', 'and by another agent']) {
        const { output } = await attacker.bind('ADD', { deviceID: String(FIRST) })
        expect(output).to.include({ code: 113 })
        expect(output?.['msg']).to.include(`"${FIRST}" (deviceID)`).and.not.include('team-a')
        await startAnew()
      }
      expect((await attacker.bind('DEL', { deviceID: String(FIRST) })).exitCode).to.equal(0)
      expect(await hasTap(attacker)).to.equal(false)
      expect(await readFileOf(FIRST)).to.equal(before)
      expect(await readIndex(victim)).to.equal(FIRST)
      expect((await victim.bind('CHECK', { prevResult: {} })).exitCode).to.equal(0)
    })

  it("is the pod's that the kubelet gave it to, named or not, of several the one that is named", async () => {
    await kubelet.admit('team-a/vm', 2, [String(FIRST), String(FIRST + 1)])
    const named = await newSandbox('c1', 'team-a/vm')
    expect((await named.bind('ADD', { deviceID: String(FIRST + 1) })).exitCode).to.equal(0)
    expect(await readIndex(named)).to.equal(FIRST + 1)
  })

  it('of another plugin is none of ours, whatever its number', async () => {
    const devices = [{ resource_name: 'example.org/nic', device_ids: [String(FIRST)] }]
    const containers = [{ name: 'compute', devices }]
    kubelet.pods.set('team-b/vm', { name: 'vm', namespace: 'team-b', containers })
    const { bind } = await newSandbox('c1', 'team-b/vm')
    for (const more of [{ deviceID: String(FIRST) }, {}])
      expect((await bind('ADD', more)).output).to.include({ code: 113 })
  })

  it('is chosen by no other key that a configuration may have', async () => {
    await newVictim()
    await kubelet.admit('team-b/vm', 1, [String(FIRST + 1)])
    const before = await readFileOf(FIRST)
    const attacker = await newSandbox('attacker', 'team-b/vm')
    const id = String(FIRST)
    const { exitCode, stdout } = await attacker.bind('ADD', {
      pciBusID: id,
      capabilities: { deviceID: true, CNIDeviceInfoFile: true },
      runtimeConfig: { deviceID: id, CNIDeviceInfoFile: toPath(FIRST) },
      index: FIRST,
      devicePath: toPath(FIRST),
      args: {
        cni: {
          logicNetworkName: 'ge0',
          deviceID: id,
          K8S_POD_NAME: 'vm',
          K8S_POD_NAMESPACE: 'team-a',
        },
      },
    })
    expect(exitCode, stdout).to.equal(0)
    expect(await readIndex(attacker)).to.equal(FIRST + 1)
    expect(await readFileOf(FIRST)).to.equal(before)
  })

  it('is named in no other spelling, and by nothing but a text', async () => {
    await newVictim()
    const before = await readFileOf(FIRST)
    const { bind } = await newSandbox('attacker', 'team-b/vm')
    for (const deviceID of [
      FIRST,
      FIRST + 0.5,
      -FIRST,
      2 ** 53,
      true,
      [String(FIRST)],
      { id: String(FIRST) },
      ` ${FIRST}`,
      `${FIRST}\n`,
      `${FIRST}.0`,
      `-${FIRST}`,
      '0x42c1d81',
      '7.0000001e7',
      '../tap70000001',
      '99999999999999999999',
    ]) {
      const { output } = await bind('ADD', { deviceID })
      expect(output, JSON.stringify(deviceID)).to.include({ code: 7 })
    }
    expect(await readFileOf(FIRST)).to.equal(before)
  })

  it("is nobody's while the kubelet does not tell, whatever a configuration names", async () => {
    await kubelet.admit('team-a/vm', 1, [String(FIRST)])
    await startAnew(['--pod-resources', join(node.folder, 'none.sock')])
    const { bind, ...sandbox } = await newSandbox('c1', 'team-a/vm')
    for (const more of [{ deviceID: String(FIRST) }, {}])
      expect((await bind('ADD', more)).output).to.include({ code: 11 })
    expect(await hasTap({ bind, ...sandbox })).to.equal(false)
    await startAnew()
    expect((await bind('ADD', { deviceID: String(FIRST) })).exitCode).to.equal(0)
  })

  it('is not given while the kubelet has two pods of the name, one of which goes', async () => {
    await kubelet.admit('team-a/vm', 1, [String(FIRST)])
    const earlier = kubelet.pods.get('team-a/vm')
    await kubelet.admit('team-a/vm', 1, [String(FIRST + 1)])
    if (earlier !== undefined) kubelet.pods.set('earlier', earlier)
    const { bind, ...sandbox } = await newSandbox('c1', 'team-a/vm')
    for (const more of [{ deviceID: String(FIRST) }, {}])
      expect((await bind('ADD', more)).output).to.include({ code: 11 })
    kubelet.pods.delete('earlier')
    expect((await bind('ADD')).exitCode).to.equal(0)
    expect(await readIndex({ bind, ...sandbox })).to.equal(FIRST + 1)
  })

  for (const { name, pod, uid } of [
    { name: 'to another pod', pod: 'team-b/vm', uid: 'u2' },
    { name: 'to a later pod of the same name', pod: 'team-a/vm', uid: 'u2' },
  ])
    it(`that was given on ${name} waits until its last sandbox has gone`, async () => {
      const victim = await newVictim()
      // Its pod has ended, and its sandbox has not.
      kubelet.pods.clear()
      await kubelet.admit(pod, 1, [String(FIRST)])
      const handedOut = await readFileOf(FIRST)
      const later = await newSandbox('later', pod, uid)
      for (const more of [{ deviceID: String(FIRST) }, {}])
        expect((await later.bind('ADD', more)).output).to.include({ code: 11 })
      expect(await hasTap(later)).to.equal(false)
      expect(await readFileOf(FIRST)).to.equal(handedOut)
      await victim.del()
      expect((await later.bind('ADD', { deviceID: String(FIRST) })).exitCode).to.equal(0)
      expect(await readIndex(later)).to.equal(FIRST)
    })

  it('goes to one of two that ask at the same time', async () => {
    // A kubelet that lost its checkpoint in between.
    for (const pod of ['team-a/vm', 'team-b/vm']) await kubelet.admit(pod, 1, [String(FIRST)])
    const both = [await newSandbox('c1', 'team-a/vm'), await newSandbox('c2', 'team-b/vm')]
    const answers = await Promise.all(
      both.map(async ({ bind }) => bind('ADD', { deviceID: String(FIRST) })),
    )
    expect(answers.map(({ output }) => output?.['code'])).to.have.members([undefined, 11])
    const indices = await Promise.all(both.map(readIndex))
    expect(indices).to.have.members([FIRST, undefined])
  })

  it('is kept by a sandbox whose document cannot be read', async () => {
    const victim = await newVictim()
    const before = await readFileOf(FIRST)
    const path = join(node.stateDir, 'attachments/victim@net1.json')
    const document = await readFile(path)
    await node.stopAgent('SIGTERM')
    await writeFile(path, '{')
    await startAnew()
    kubelet.pods.set('team-b/vm', {
      name: 'vm',
      namespace: 'team-b',
      containers: [
        {
          name: 'compute',
          devices: [{ resource_name: MACVTAP_RESOURCE, device_ids: [String(FIRST)] }],
        },
      ],
    })
    const attacker = await newSandbox('attacker', 'team-b/vm')
    for (const more of [{ deviceID: String(FIRST) }, {}])
      expect((await attacker.bind('ADD', more)).output).to.include({ code: 11 })
    expect(await readFileOf(FIRST)).to.equal(before)
    await node.stopAgent('SIGTERM')
    await writeFile(path, document)
    await startAnew()
    expect(await readIndex(victim)).to.equal(FIRST)
    expect((await victim.bind('CHECK', { prevResult: {} })).exitCode).to.equal(0)
  })
})
