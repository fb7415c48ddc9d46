// What becomes of VirtualMachines in a real API server, with KubeVirt's own schemas, when a cable of a network
// with "carrier": "vm" leads nowhere. KubeVirt's admission and controllers are not there: that a running
// guest then sees its link go is theirs to do.
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'

import { expect } from 'chai'
import { after, afterEach, before, beforeEach, describe, it } from 'mocha'
import { pino } from 'pino'

import { forgetGuest, tellGuest } from '../../agent/guest-carrier.ts'
import { newKeyQueue } from '../../agent/key-queue.ts'
import type { Cluster, Node } from '../../agent/node.ts'
import { report, toReport } from '../../agent/report.ts'
import { newAttachmentState } from '../../agent/state.ts'
import { toClaim, toWireAttachment, type WireAttachment } from '../../core/attachment.ts'
import { decodePluginConfig, type WireConfig } from '../../core/cni/config.ts'
import { CommandError } from '../../core/errors.ts'
import { planCarrier } from '../../core/guest-carrier.ts'
import { toPodLinkName } from '../../core/name.ts'
import { claimEnd, reportWire } from '../../core/wire.ts'
import type { LabApiServer } from '../../lab/api-server.ts'
import { getMapping, type Manifest } from '../../lab/manifests.ts'
import { expectSoon } from '../expect-soon.ts'
import { getApi } from './fixture-api.ts'

const { openNodeCluster } = await import('../../store/kubernetes/open-cluster.ts')

const COMPONENT = 'deploy/components/carrier-vm/rbac.yaml'
const MARK = 'l2wire.dev/carrier.ge0'
const LINK = toPodLinkName('ge0')
const CONFIG = { cniVersion: '1.1.0', name: 'r1-h1', type: 'l2wire', carrier: 'vm' }
/** Longer than a change takes to settle. */
const SETTLED_MS = 1_500

describe('a VM whose network says "carrier": "vm"', function () {
  this.timeout(90_000)
  let api: LabApiServer
  let kubeconfig: string
  let namespace: string
  let folder: string
  let plugged: { node: Node; attachment: WireAttachment }[]

  before(async () => {
    api = await getApi()
    await api.kubectl(['apply', '-f', 'deploy/base/namespace.yaml', '-f', 'deploy/base/rbac.yaml'])
    kubeconfig = await api.newServiceAccountKubeconfig('l2wire', 'l2wire-agent')
  })
  const grant = async (): Promise<void> => {
    await api.kubectl(['apply', '-f', COMPONENT])
    await expectRight('yes')
  }
  const revoke = async (): Promise<void> => {
    await api.kubectl(['delete', '--ignore-not-found', '-f', COMPONENT])
    await expectRight('no')
  }
  // The API server hears of its own rights a moment later.
  const expectRight = async (want: string): Promise<void> => {
    const asked = ['auth', 'can-i', 'patch', 'virtualmachines.kubevirt.io', '-n', 'default']
    await expectSoon(`the agent's right: ${want}`, async () => {
      try {
        return (await api.kubectl(asked, { kubeconfig })).trim() === want
      } catch (error) {
        if (!(error instanceof CommandError)) throw error
        return want === 'no' && error.exitCode === 1
      }
    })
  }
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'l2w-guest-'))
    namespace = await api.newNamespace('guest')
    plugged = []
    await grant()
  })
  afterEach(async () => {
    for (const { node, attachment } of plugged) forgetGuest(node, attachment)
    await rm(folder, { recursive: true })
  })
  after(async () => {
    await api.kubectl(['delete', '--ignore-not-found', '-f', COMPONENT])
  })

  const newManifest = (nic: Manifest = {}): Manifest => ({
    apiVersion: 'kubevirt.io/v1',
    kind: 'VirtualMachine',
    metadata: { name: 'r1', namespace, annotations: { course: 'ccna' } },
    spec: {
      runStrategy: 'Always',
      template: {
        spec: {
          domain: {
            devices: {
              interfaces: [
                { name: 'mgmt', masquerade: {} },
                { name: 'ge0', binding: { name: 'l2wire' }, ...nic },
              ],
            },
          },
          networks: [
            { name: 'mgmt', pod: {} },
            { name: 'ge0', multus: { networkName: 'r1-h1' } },
          ],
        },
      },
    },
  })
  const newInstance = async (owner?: Manifest): Promise<void> => {
    const ownerReferences = owner === undefined ? [] : [{ ...owner, controller: true }]
    await api.apply({
      apiVersion: 'kubevirt.io/v1',
      kind: 'VirtualMachineInstance',
      metadata: { name: 'r1', namespace, ownerReferences },
      spec: { domain: { devices: {} } },
    })
  }
  const newVm = async (nic: Manifest = {}): Promise<void> => {
    const manifest = newManifest(nic)
    await api.apply(manifest)
    const { uid } = getMapping(await getVm(), 'metadata')
    await newInstance({ apiVersion: 'kubevirt.io/v1', kind: 'VirtualMachine', name: 'r1', uid })
  }
  const getVm = async (): Promise<Manifest> => api.getObject('vm', 'r1', namespace)
  const readVm = async (): Promise<Manifest> => {
    const vm = await getVm()
    const spec = getMapping(vm, 'spec', 'template', 'spec', 'domain', 'devices')
    const [, nic] = spec['interfaces'] as readonly Manifest[]
    return { state: nic?.['state'], mark: getMapping(vm, 'metadata', 'annotations')[MARK] }
  }
  const patchVm = async (patch: unknown): Promise<void> => {
    await api.kubectl([
      'patch',
      'vm',
      'r1',
      '-n',
      namespace,
      '--type=json',
      '-p',
      JSON.stringify(patch),
    ])
  }
  const expectVm = async (state: string | undefined, mark: string | undefined): Promise<void> =>
    expectSoon(`the VM says ${String(state)}, marked ${String(mark)}`, async () => {
      const said = await readVm()
      return said['state'] === state && said['mark'] === mark
    })
  const expectCondition = async (status: string, reason: string, word = ''): Promise<void> =>
    expectSoon(`CarrierShown is ${status}, ${reason}`, async () => {
      const wire = await api.getObject('wire', 'r1-h1', namespace)
      const { conditions } = getMapping(wire, 'status')
      const found = (conditions as readonly Manifest[]).find(({ type }) => type === 'CarrierShown')
      return (
        found?.['status'] === status &&
        found['reason'] === reason &&
        String(found['message']).includes(word)
      )
    })
  /** Requests for KubeVirt's kinds so far, by verb. */
  const countRequests = async (verb: string): Promise<number> => {
    const metrics = await api.kubectl(['get', '--raw', '/metrics'])
    return metrics
      .split('\n')
      .filter((line) => line.startsWith('apiserver_request_total{'))
      .filter((line) => line.includes('group="kubevirt.io"') && line.includes(`verb="${verb}"`))
      .reduce((sum, line) => sum + Number(line.split(' ').at(-1)), 0)
  }

  /** An agent with one end of the VM, claimed and reported on, as its ADD leaves it. */
  const plug = async (
    config: Manifest = CONFIG,
    nodeName = 'n1',
  ): Promise<{ node: Node; attachment: WireAttachment }> => {
    const { store, ...cluster } = openNodeCluster({ kubeconfig }, nodeName)
    const findPodOwner: Cluster['findPodOwner'] = async (place, name) =>
      (await cluster.findPod(place, name))?.owner
    const needed: Pick<Node, 'name' | 'store' | 'cluster' | 'state' | 'queue' | 'log'> = {
      name: nodeName,
      store,
      cluster: { ...cluster, findPodOwner },
      state: newAttachmentState(join(folder, nodeName)),
      queue: newKeyQueue(),
      log: pino({ level: 'silent' }),
    }
    // The rest of a node is for devices, of which there are none here.
    const node = needed as Node
    const args = {
      command: 'ADD' as const,
      containerID: `c-${nodeName}`,
      netns: '/run/netns/l2w-none',
      ifname: LINK,
      args: `K8S_POD_NAMESPACE=${namespace};K8S_POD_NAME=virt-launcher-r1-x`,
      path: '',
    }
    const instance = { apiVersion: 'kubevirt.io/v1', kind: 'VirtualMachineInstance' }
    const subject = { ...instance, namespace, name: 'r1', uid: 'any' }
    const netns = { path: args.netns, inode: 1, bootId: 'b' }
    const wireConfig = decodePluginConfig(config, args) as WireConfig
    const owner = { holder: 'vm/r1', subjects: [subject] }
    const attachment: WireAttachment = {
      ...toWireAttachment(args, wireConfig, netns, { name: nodeName, mtuBytes: 1500 }, owner),
      phase: 'ready',
    }
    await node.state.put(attachment)
    const { wire: id } = attachment
    const wire = await store.update(id, (current) =>
      claimEnd(current, id, toClaim(attachment, '192.0.2.1')),
    )
    if (wire !== undefined) report(node, id, [attachment], toReport(node, wire, 'waiting'))
    plugged.push({ node, attachment })
    return { node, attachment }
  }

  it('says down while the far end is away, and what it said before when that is back', async () => {
    for (const [before, mark] of [
      [undefined, 'down'],
      ['up', 'down-was-up'],
    ] as const) {
      await newVm(before === undefined ? {} : { state: before })
      const first = await getVm()
      const { node, attachment } = await plug()
      tellGuest(node, attachment, false)
      await expectVm('down', mark)
      await expectCondition('True', 'Shown', 'vm/r1')
      tellGuest(node, attachment, true)
      await expectVm(before, undefined)
      const last = await getVm()
      expect(last['spec']).to.deep.equal(first['spec'])
      expect(getMapping(last, 'metadata', 'annotations')).to.deep.equal(
        getMapping(first, 'metadata', 'annotations'),
      )
      forgetGuest(node, attachment)
      await api.kubectl(['delete', 'vm,vmi', 'r1', '-n', namespace])
    }
  })

  it('is asked nothing while nothing changes, and read once by an agent that starts', async () => {
    await newVm()
    const { node, attachment } = await plug()
    tellGuest(node, attachment, false)
    await expectVm('down', 'down')
    await expectCondition('True', 'Shown')
    const wire = await api.getObject('wire', 'r1-h1', namespace)
    const [gets, patches] = [await countRequests('GET'), await countRequests('PATCH')]
    for (let look = 1; look <= 100; look += 1) tellGuest(node, attachment, false)
    await sleep(SETTLED_MS)
    expect(await countRequests('GET')).to.equal(gets)
    const again = await plug()
    tellGuest(again.node, again.attachment, false)
    await expectSoon('it has read', async () => (await countRequests('GET')) === gets + 2)
    await sleep(SETTLED_MS)
    expect(await countRequests('GET')).to.equal(gets + 2)
    expect(await countRequests('PATCH')).to.equal(patches)
    expect(getMapping(await api.getObject('wire', 'r1-h1', namespace), 'status')).to.deep.equal(
      getMapping(wire, 'status'),
    )
  })

  it('is patched once or twice by a far end that flaps ten times in a second', async () => {
    await newVm()
    const { node, attachment } = await plug()
    tellGuest(node, attachment, true)
    await expectCondition('True', 'Shown')
    const patches = await countRequests('PATCH')
    for (let flap = 1; flap <= 10; flap += 1) {
      tellGuest(node, attachment, false)
      await sleep(50)
      tellGuest(node, attachment, true)
      await sleep(50)
    }
    tellGuest(node, attachment, false)
    await expectVm('down', 'down')
    await sleep(SETTLED_MS)
    expect((await countRequests('PATCH')) - patches).to.be.within(1, 2)
    expect(await readVm()).to.deep.equal({ state: 'down', mark: 'down' })
  })

  it("keeps a user's own down", async () => {
    await newVm({ state: 'down' })
    const { node, attachment } = await plug()
    const patches = await countRequests('PATCH')
    for (const hasCarrier of [true, false, true]) {
      tellGuest(node, attachment, hasCarrier)
      await expectCondition('False', 'UserSet', 'interface ge0')
      await sleep(SETTLED_MS)
    }
    expect(await countRequests('PATCH')).to.equal(patches)
    expect(await readVm()).to.deep.equal({ state: 'down', mark: undefined })
  })

  it("keeps what a user makes of our down, also past an agent's restart", async () => {
    await newVm()
    const { node, attachment } = await plug()
    tellGuest(node, attachment, false)
    await expectVm('down', 'down')
    const path = '/spec/template/spec/domain/devices/interfaces/1/state'
    await patchVm([{ op: 'replace', path, value: 'up' }])
    for (let start = 1; start <= 2; start += 1) {
      forgetGuest(node, attachment)
      const again = await plug()
      tellGuest(again.node, again.attachment, false)
      await expectCondition('False', 'UserSet', 'state: up')
      await expectVm('up', 'user')
      forgetGuest(again.node, again.attachment)
    }
    const last = await plug()
    tellGuest(last.node, last.attachment, true)
    await expectVm('up', undefined)
    await expectCondition('True', 'Shown')
  })

  it("what kubectl makes of an interface that is down: apply sets the user's, --server-side asks", async () => {
    await newVm()
    const { node, attachment } = await plug()
    tellGuest(node, attachment, false)
    await expectVm('down', 'down')
    let refusal = ''
    try {
      const input = JSON.stringify(newManifest())
      await api.kubectl(['apply', '--server-side', '-f', '-'], { input })
    } catch (error) {
      refusal = error instanceof CommandError ? error.stderr : String(error)
    }
    expect(refusal).to.include('conflict').and.include('l2wire-agent')
    await api.apply(newManifest())
    await expectVm(undefined, 'down')
    tellGuest(node, attachment, true)
    await expectVm(undefined, undefined)
  })

  it('is not patched by the index of an interface that has moved', async () => {
    await newVm()
    const { patch } = planCarrier(await getVm(), LINK, false)
    const nic = { name: 'new', masquerade: {} }
    await patchVm([
      { op: 'add', path: '/spec/template/spec/domain/devices/interfaces/0', value: nic },
    ])
    let refusal = ''
    try {
      await patchVm(patch)
    } catch (error) {
      refusal = error instanceof CommandError ? error.stderr : String(error)
    }
    expect(refusal).to.include('The request is invalid')
    const { node, attachment } = await plug()
    tellGuest(node, attachment, false)
    await expectSoon('the right one is down', async () => {
      const devices = getMapping(await getVm(), 'spec', 'template', 'spec', 'domain', 'devices')
      const states = (devices['interfaces'] as readonly Manifest[]).map(({ state }) => state)
      return states[2] === 'down' && states[0] === undefined && states[1] === undefined
    })
  })

  it('is told by the one of two agents that is heard, while others write to it', async () => {
    await newVm()
    const both = [await plug(), await plug(CONFIG, 'n2')]
    const writes = Array.from({ length: 20 }, async (_, at) =>
      api.kubectl(['label', 'vm', 'r1', '-n', namespace, `l${at}=x`]),
    )
    for (const { node, attachment } of both) tellGuest(node, attachment, false)
    await Promise.all(writes)
    await expectVm('down', 'down')
    for (const { node, attachment } of both) tellGuest(node, attachment, true)
    await expectVm(undefined, undefined)
  })

  it('is not told where the agent may not, and is once it may', async () => {
    await newVm()
    await revoke()
    const { node, attachment } = await plug()
    tellGuest(node, attachment, false)
    await expectCondition('False', 'Forbidden', 'expected deploy/components/carrier-vm')
    expect(await readVm()).to.deep.equal({ state: undefined, mark: undefined })
    await grant()
    await expectVm('down', 'down')
    await expectCondition('True', 'Shown')
  })

  it('an instance that stands alone, or whose network asks for nothing, says so', async () => {
    await newInstance()
    const alone = await plug()
    tellGuest(alone.node, alone.attachment, false)
    await expectCondition('False', 'NoVirtualMachine', 'VirtualMachineInstance r1')
    const { carrier: _carrier, ...silent } = CONFIG
    const gets = await countRequests('GET')
    const unasked = await plug(silent)
    tellGuest(unasked.node, unasked.attachment, false)
    await expectCondition('False', 'NotAsked', '"carrier": "vm"')
    expect(await countRequests('GET')).to.equal(gets)
  })

  it('is left alone by an end that is unplugged, or lost its cable, before its change has settled', async () => {
    await newVm()
    const { node, attachment } = await plug()
    const patches = await countRequests('PATCH')
    tellGuest(node, attachment, false)
    forgetGuest(node, attachment)
    const taken = await plug()
    await taken.node.state.put({ ...taken.attachment, phase: 'released' })
    tellGuest(taken.node, taken.attachment, false)
    await sleep(SETTLED_MS)
    expect(await countRequests('PATCH')).to.equal(patches)
  })

  it('is told once the API is back, and the wire says so meanwhile', async () => {
    await newVm()
    const { node, attachment } = await plug()
    tellGuest(node, attachment, true)
    await expectCondition('True', 'Shown')
    await api.kill()
    try {
      tellGuest(node, attachment, false)
      await sleep(SETTLED_MS)
    } finally {
      await api.start()
    }
    await expectVm('down', 'down')
    await expectCondition('True', 'Shown')
  })

  it("a node's next report keeps what is known of its guests", async () => {
    await newVm({ state: 'down' })
    const { node, attachment } = await plug()
    tellGuest(node, attachment, true)
    await expectCondition('False', 'UserSet')
    const { wire: id } = attachment
    const wire = await node.store.update(id, (current) =>
      reportWire(current, { node: node.name, state: 'failed', ends: [], message: 'lost' }),
    )
    if (wire !== undefined) report(node, id, [attachment], toReport(node, wire, 'waiting'))
    await expectCondition('False', 'UserSet', 'interface ge0')
  })
})
