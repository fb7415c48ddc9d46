// A VM on a pod network migrates, as its target's agent sees it: by real Multus, Debian's bridge plugin and
// host-local, which has a single address on each node: the same one on two of them.
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'

import { expect } from 'chai'
import { before, beforeEach, describe, it } from 'mocha'

import { toPodLinkName } from '../../core/name.ts'
import type { LabApiServer } from '../../lab/api-server.ts'
import type { CniAnswer } from '../../lab/cni.ts'
import { getMapping, getNadConfig, readManifest, type Manifest } from '../../lab/manifests.ts'
import { newLabPod, readNetworkStatus, type LabPod } from '../../lab/multus.ts'
import { newTemporaryFolder } from '../../lab/temporary-folder.ts'
import { expectSoon } from '../expect-soon.ts'
import { leavesNothing } from '../nothing-left.ts'
import { getApi } from './fixture-api.ts'
import { newMultusNodes, newNad, type MultusNode } from './fixture-multus.ts'
import { newVmi, noteLauncher } from './fixture-owners.ts'

const ADDRESS = '198.51.100.7'
const OTHER_ADDRESS = '198.51.100.8'
const SOURCE = 'virt-launcher-r1-a'
const TARGET = 'virt-launcher-r1-b'
const MIGRATION = 'kubevirt-evacuation-4x7mz'

interface Lease {
  readonly mac: string
  readonly ipv4: string
}

describe('a VM on a pod network that migrates', function () {
  this.timeout(120_000)
  let api: LabApiServer
  let source: MultusNode
  let same: MultusNode
  let other: MultusNode
  let bindNamespace: string
  let folder: string
  let namespace: string
  let owner: Manifest
  let bindNad: string

  before(async () => {
    api = await getApi()
  })
  leavesNothing(async (made) => {
    folder = made.use(await newTemporaryFolder('ranges')).path
    const addresses = [ADDRESS, ADDRESS, OTHER_ADDRESS]
    const nodes = made.use(await newMultusNodes(api, addresses.length, addresses))
    ;[source, same, other] = nodes.list as [MultusNode, MultusNode, MultusNode]
    bindNamespace = await api.newNamespace('bind')
    const bind = getNadConfig(await readManifest('deploy/base/binding-nad.yaml'))
    bindNad = String(bind['name'])
    await api.apply(newNad(bindNamespace, bind))
  })
  beforeEach(async () => {
    namespace = await api.newNamespace('migrating')
    owner = await newVmi({ api, namespace }, 'r1', {
      domain: { devices: { interfaces: [toNic('default'), toNic('lan')] } },
      networks: [
        { name: 'default', pod: {} },
        { name: 'lan', multus: { networkName: 'lan' } },
      ],
    })
  })

  const patch = async (kind: string, name: string, status: Manifest): Promise<void> => {
    const at = ['patch', kind, name, '-n', namespace, '--type=merge']
    const sub = kind === 'vmi' ? [] : ['--subresource=status']
    await api.kubectl([...at, ...sub, '-p', JSON.stringify({ status })])
  }
  const toNetworks = (network: string, nads: readonly string[] = []): readonly Manifest[] => [
    ...nads.map((name) => ({ name, namespace, interface: toPodLinkName(network) })),
    { name: bindNad, namespace: bindNamespace, 'cni-args': { logicNetworkName: network } },
  ]
  const newLauncher = async (
    name: string,
    { name: nodeName }: MultusNode,
    networks: readonly Manifest[],
    more: Manifest = {},
  ): Promise<LabPod> => {
    const metadata = { ownerReferences: [owner], ...more }
    const pod = await newLabPod(api, {
      namespace,
      name,
      networks,
      metadata,
      nodeName,
      isLauncher: true,
    })
    await noteLauncher({ api, namespace }, 'r1', name, nodeName)
    return pod
  }
  /** Runs the VM: what kubelet and virt-handler then write. */
  const start = async (network = 'default', nads: readonly string[] = []): Promise<Running> => {
    await using made = new AsyncDisposableStack()
    const pod = made.use(await newLauncher(SOURCE, source, toNetworks(network, nads)))
    made.defer(async () => void (await source.multus.mustCall('DEL', pod)))
    await source.multus.mustCall('ADD', pod)
    await patch('pod', SOURCE, { podIP: ADDRESS, podIPs: [{ ip: ADDRESS }] })
    const lease = await readLease(source, pod)
    const { mac } = lease
    const interfaces = [{ name: network, infoSource: 'domain', mac, queueCount: 1 }]
    await patch('vmi', 'r1', { nodeName: source.name, interfaces })
    const resources = made.move()
    return { pod, lease, [Symbol.asyncDispose]: async () => resources.disposeAsync() }
  }
  /** What virt-controller makes: a migration, and its target's pod. */
  const newTarget = async (
    on: MultusNode,
    networks = toNetworks('default'),
    sourcePod = SOURCE,
  ): Promise<LabPod> => {
    await api.apply({
      apiVersion: 'kubevirt.io/v1',
      kind: 'VirtualMachineInstanceMigration',
      metadata: { name: MIGRATION, namespace },
      spec: { vmiName: 'r1' },
    })
    await patch('vmim', MIGRATION, { phase: 'Scheduling', migrationState: { sourcePod } })
    const migration = await api.getObject('vmim', MIGRATION, namespace)
    const uid = String(getMapping(migration, 'metadata')['uid'])
    return newLauncher(TARGET, on, networks, {
      labels: { 'kubevirt.io/migrationJobUID': uid },
      annotations: { 'kubevirt.io/migrationJobName': MIGRATION },
    })
  }
  const expectRuns = async ({ pod, lease }: Running): Promise<void> => {
    await source.multus.mustCall('CHECK', pod)
    expect(await readLease(source, pod)).to.deep.equal(lease)
  }
  const listRefusals = async (): Promise<readonly string[]> => {
    const items = '{range .items[?(@.reason=="MigrationRefused")]}'
    const path = `${items}{.type} {.involvedObject.kind} {.message}{"\\n"}{end}`
    const said = await api.kubectl(['get', 'events', '-n', namespace, '-o', `jsonpath=${path}`])
    return said.split('\n').filter(Boolean).toSorted()
  }
  const expectRefused = async (on: MultusNode, pod: LabPod, words: string): Promise<void> => {
    expectError(await on.multus.call('ADD', pod), words)
    expect(await on.node.listDocuments()).to.deep.equal([])
    await expectSoon('both are told', async () => (await listRefusals()).length === 2)
    const told = await listRefusals()
    for (const [at, kind] of ['Pod', 'VirtualMachineInstance'].entries())
      expect(told[at])
        .to.match(new RegExp(`^Warning ${kind} `))
        .and.include(words)
        .and.include('"evictionStrategy: None"')
  }

  it('gets a target that its CNI plugin gave the same address, by the MAC that it has', async () => {
    await using running = await start()
    await using pod = await newTarget(same)
    await same.multus.mustCall('ADD', pod)
    // Of KubeVirt's launchers it is the VM's.
    const hostname = TARGET
    expect(await readLease(same, pod)).to.deep.equal({ ...running.lease, hostname })
    const [primary] = await readNetworkStatus(api, pod)
    expect(primary?.['mac'], 'of its pod link').to.not.equal(running.lease.mac)
    expect(await listRefusals()).to.deep.equal([])
    await expectRuns(running)
    await withdraw(same, pod)
  })

  it('stays where it is if it would have another address, and its users hear why', async () => {
    await using running = await start()
    await using pod = await newTarget(other)
    const change = `here it would have ${OTHER_ADDRESS}, expected ${ADDRESS}, with which it runs`
    await expectRefused(other, pod, change)
    await expectRuns(running)
    await withdraw(other, pod)
    // As the pod of a VM that was stopped and starts on this node.
    await api.kubectl(['label', 'pod', TARGET, '-n', namespace, 'kubevirt.io/migrationJobUID-'])
    await other.multus.mustCall('ADD', pod)
    expect(await readLease(other, pod)).to.include({ ipv4: `${OTHER_ADDRESS}/24` })
    await withdraw(other, pod)
  })

  it('waits until KubeVirt says where it comes from', async () => {
    await using running = await start()
    await using pod = await newTarget(same, toNetworks('default'), 'none')
    for (const [sourcePod, words] of [
      ['none', 'names pod "none"'],
      [TARGET, `names pod "${TARGET}"`],
      [null, 'names no address of "eth0"'],
    ] as const) {
      await patch('vmim', MIGRATION, { migrationState: { sourcePod } })
      expectError(await same.multus.call('ADD', pod), words)
    }
    await patch('vmim', MIGRATION, { migrationState: { sourcePod: SOURCE } })
    await same.multus.mustCall('ADD', pod)
    await expectRuns(running)
    await withdraw(same, pod)
  })

  it('goes by what Multus says of a secondary network', async () => {
    for (const [name, last] of [
      ['lan-source', 7],
      ['lan-same', 7],
      ['lan-other', 8],
    ] as const) {
      const one = `203.0.113.${last}`
      const ranges = [[{ subnet: '203.0.113.0/24', rangeStart: one, rangeEnd: one }]]
      const ipam = { type: 'host-local', dataDir: join(folder, name), ranges }
      const nad = { cniVersion: '1.0.0', name, type: 'bridge', bridge: 'l2wlan0', ipam }
      await api.apply(newNad(namespace, nad))
    }
    await using running = await start('lan', ['lan-source'])
    expect(running.lease.ipv4).to.equal('203.0.113.7/24')
    {
      await using pod = await newTarget(same, toNetworks('lan', ['lan-other']))
      const change = 'here it would have 203.0.113.8, expected 203.0.113.7, with which it runs'
      await expectRefused(same, pod, change)
      await withdraw(same, pod)
      await api.kubectl(['delete', 'pod', TARGET, '-n', namespace, '--force', '--grace-period=0'])
    }
    await using pod = await newTarget(other, toNetworks('lan', ['lan-same']))
    await other.multus.mustCall('ADD', pod)
    expect(await readLease(other, pod)).to.include({ ipv4: '203.0.113.7/24' })
    await expectRuns(running)
    await withdraw(other, pod)
  })
})

function toNic(name: string): Manifest {
  return { name, binding: { name: 'l2wire' } }
}

async function readLease({ node }: MultusNode, pod: LabPod): Promise<Lease> {
  const name = (await node.listDocuments()).find((one) => one.startsWith(pod.containerID))
  const text = await readFile(join(node.stateDir, 'attachments', String(name)), 'utf8')
  return (JSON.parse(text) as { readonly lease: Lease }).lease
}

async function withdraw({ multus, node }: MultusNode, pod: LabPod): Promise<void> {
  await multus.mustCall('DEL', pod)
  expect(await node.listDocuments()).to.deep.equal([])
}

function expectError({ exitCode, output }: CniAnswer, words: string): void {
  expect(exitCode).to.not.equal(0)
  expect(output?.['msg']).to.include(words)
}

interface Running extends AsyncDisposable {
  readonly pod: LabPod
  readonly lease: Lease
}
