// What an agent reads of a launcher in a real API server, with KubeVirt's own schemas: its pod, its
// VirtualMachineInstance, and what becomes of an ADD when one of them is not there.
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'

import { expect } from 'chai'
import { before, beforeEach, describe, it } from 'mocha'

import { toPodLinkName, toTapName } from '../../core/name.ts'
import { newLabApiServer, type LabApiServer } from '../../lab/api-server.ts'
import { newLabCluster, type ClusterNode, type LabCluster } from '../../lab/cluster.ts'
import type { CniAnswer } from '../../lab/cni.ts'
import { newLabKubelet, type LabKubelet } from '../../lab/kubelet.ts'
import { getMapping, getNadConfig, readManifest, type Manifest } from '../../lab/manifests.ts'
import { newLabNetns, type LabNetns } from '../../lab/netns.ts'
import { newTemporaryFolder } from '../../lab/temporary-folder.ts'
import { expectLogged } from '../expect-logged.ts'
import { expectSoon } from '../expect-soon.ts'
import { hasQueues } from '../has-queues.ts'
import { leavesNothing } from '../nothing-left.ts'
import { getApi } from './fixture-api.ts'
import { noteLauncher } from './fixture-owners.ts'

const { newKubeClient } = await import('../../store/kubernetes/client.ts')
const { newLauncherReader } = await import('../../store/kubernetes/launchers.ts')

const NETWORK = 'ge0'
const POD_LINK = toPodLinkName(NETWORK)
const TAP = toTapName(POD_LINK)
const POD = 'virt-launcher-r1-x7k2p'
/** As the kubelet writes it for the agent. */
const RESOLV_CONF =
  'search l2wire.svc.cluster.local svc.cluster.local cluster.local\nnameserver 10.96.0.10\noptions ndots:5\n'
const ROLE = 'deploy/base/rbac.yaml'

function toVolumes(hotpluggable: boolean): readonly Manifest[] {
  return [{ name: 'data', persistentVolumeClaim: { claimName: 'c', hotpluggable } }]
}

describe('the launcher of a VM, as an agent sees it', function () {
  this.timeout(90_000)
  let api: LabApiServer
  let cluster: LabCluster
  let on: ClusterNode
  let folder: string
  let kubelet: LabKubelet
  let namespace: string
  let bind: Manifest

  before(async () => {
    api = await getApi()
  })
  leavesNothing(async (made) => {
    folder = made.use(await newTemporaryFolder('launcher')).path
    const resolvConf = join(folder, 'resolv.conf')
    await writeFile(resolvConf, RESOLV_CONF)
    kubelet = made.use(await newLabKubelet(folder))
    const more = [
      '--resolv-conf',
      resolvConf,
      '--device-plugins',
      kubelet.folder,
      '--pod-resources',
      kubelet.podResources,
    ]
    cluster = made.use(await newLabCluster({ api, count: 1, prefix: 'launcher-test-', more }))
    ;[on] = cluster.nodes as [ClusterNode]
    bind = {
      ...getNadConfig(await readManifest('deploy/base/binding-nad.yaml')),
      args: { cni: { logicNetworkName: NETWORK } },
    }
  })
  beforeEach(async () => {
    namespace = await api.newNamespace('launchers')
  })

  /** Returns its UID. */
  const newVmi = async (domain: Manifest = {}): Promise<unknown> => {
    await api.apply({
      apiVersion: 'kubevirt.io/v1',
      kind: 'VirtualMachineInstance',
      metadata: { name: 'r1', namespace },
      spec: {
        domain: {
          cpu: { sockets: 4 },
          devices: {
            networkInterfaceMultiqueue: true,
            interfaces: [{ name: NETWORK, binding: { name: 'l2wire' } }],
          },
          ...domain,
        },
        networks: [{ name: NETWORK, multus: { networkName: 'r1-h1' } }],
      },
    })
    return getMapping(await api.getObject('vmi', 'r1', namespace), 'metadata')['uid']
  }
  const newLauncher = async (uid: unknown, to = api, spec: Manifest = {}): Promise<void> => {
    await to.apply({
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: {
        name: POD,
        namespace,
        ownerReferences: [
          {
            apiVersion: 'kubevirt.io/v1',
            kind: 'VirtualMachineInstance',
            name: 'r1',
            uid,
            controller: true,
          },
        ],
      },
      spec: { hostname: 'r1', containers: [{ name: 'compute', image: 'none' }], ...spec },
    })
    if (to === api) await noteLauncher({ api, namespace }, 'r1', POD)
  }
  const call = async (command: string, netns: LabNetns, config = bind): Promise<CniAnswer> =>
    on.node.call(config, {
      command,
      containerID: netns.name,
      netns: netns.path,
      ifname: 'net1',
      args: `K8S_POD_NAMESPACE=${namespace};K8S_POD_NAME=${POD}`,
    })
  const rows: readonly { name: string; domain?: Manifest; config?: Manifest; want: boolean }[] = [
    { name: 'one that asks for several queues', want: true },
    { name: 'one with a single vCPU', domain: { cpu: { sockets: 1, maxSockets: 4 } }, want: false },
    {
      name: 'one whose NIC is no virtio',
      domain: {
        devices: {
          networkInterfaceMultiqueue: true,
          interfaces: [{ name: NETWORK, binding: { name: 'l2wire' }, model: 'e1000' }],
        },
      },
      want: false,
    },
    { name: 'one whose network says no', config: { multiQueue: false }, want: false },
  ]
  for (const { name, domain, config, want } of rows)
    it(`makes a tap for ${want ? 'several queues' : 'one queue'}: ${name}`, async () => {
      await newLauncher(await newVmi(domain))
      await using netns = await newSandbox()
      const added = await call('ADD', netns, { ...bind, ...config })
      expect(added.exitCode, added.stdout).to.equal(0)
      expect(await hasQueues(netns, TAP)).to.equal(want)
      expect((await call('DEL', netns)).exitCode).to.equal(0)
    })

  const patchVmi = async (patch: Manifest): Promise<string> =>
    api.kubectl([
      ...'patch vmi r1 --type=merge -n'.split(' '),
      namespace,
      '-p',
      JSON.stringify(patch),
    ])

  const attach = async (more: Manifest): Promise<void> => {
    await using netns = await newSandbox()
    const added = await call('ADD', netns, { ...bind, ...more })
    expect(added.exitCode, added.stdout).to.equal(0)
    expect((await call('DEL', netns)).exitCode).to.equal(0)
  }
  const readWarnings = async (): Promise<readonly string[]> => {
    const items = '{range .items[?(@.reason=="MacvtapHotplugVolume")]}'
    const path = `${items}{.involvedObject.kind} {.message}{"\\n"}{end}`
    const said = await api.kubectl(['get', 'events', '-n', namespace, '-o', `jsonpath=${path}`])
    return said.split('\n').filter(Boolean).toSorted()
  }
  it('tells pod and VM that a volume to hot-plug takes the device of a macvtap from QEMU', async () => {
    await newLauncher(await newVmi())
    await expectSoon('a registration', () => kubelet.devices().length > 0)
    await kubelet.admit(`${namespace}/${POD}`, 1)
    await attach({ attach: 'macvtap' })
    await patchVmi({ spec: { volumes: toVolumes(false) } })
    await attach({ attach: 'macvtap' })
    await patchVmi({ spec: { volumes: toVolumes(true) } })
    await attach({})
    await attach({ attach: 'macvtap' })
    await expectSoon('both are told', async () => (await readWarnings()).length === 2)
    const [pod, vmi] = await readWarnings()
    for (const [text, kind] of [
      [pod, 'Pod'],
      [vmi, 'VirtualMachineInstance'],
    ] as const)
      expect(text)
        .to.match(new RegExp(`^${kind} `))
        .and.include('volume "data"')
        .and.include('the binding "l2wire"')
    const count = '{.items[?(@.reason=="MacvtapHotplugVolume")].count}'
    const told = await api.kubectl(['get', 'events', '-n', namespace, '-o', `jsonpath=${count}`])
    expect(told, 'none of the ADDs before').to.equal('1 1')
  })

  it('goes by the queues that the VM runs with: a NIC keeps them when it migrates', async () => {
    await newLauncher(await newVmi())
    const status = { interfaces: [{ name: NETWORK, infoSource: 'domain', queueCount: 1 }] }
    const patch = JSON.stringify({ status })
    await api.kubectl(['patch', 'vmi', 'r1', '-n', namespace, '--type=merge', '-p', patch])
    await using netns = await newSandbox()
    const added = await call('ADD', netns)
    expect(added.exitCode, added.stdout).to.equal(0)
    expect(await hasQueues(netns, TAP)).to.equal(false)
    expect((await call('DEL', netns)).exitCode).to.equal(0)
  })

  it('tells the VM the name and the resolvers of its pod, under the MAC and with the DHCP options that the VMI asks for', async () => {
    const nic = {
      name: NETWORK,
      binding: { name: 'l2wire' },
      macAddress: '02-AB-00-00-00-01',
      dhcpOptions: {
        bootFileName: 'pxe/router.0',
        ntpServers: ['192.0.2.123'],
        privateOptions: [{ option: 240, value: 'lab' }],
      },
    }
    const uid = await newVmi({ devices: { interfaces: [nic] } })
    const dnsConfig = { nameservers: ['192.0.2.53'], searches: ['lan.example'] }
    await newLauncher(uid, api, { subdomain: 'routers', dnsConfig })
    await using netns = await newSandbox()
    await netns.run(['ip', 'address', 'add', '10.0.0.2/24', 'dev', POD_LINK])
    const added = await call('ADD', netns)
    expect(added.exitCode, added.stdout).to.equal(0)
    const document = join(on.node.stateDir, 'attachments', `${netns.name}@net1.json`)
    const { lease } = JSON.parse(await readFile(document, 'utf8')) as Manifest
    const services = `${namespace}.svc.cluster.local`
    expect(lease).to.deep.include({
      mac: '02:ab:00:00:00:01',
      ipv4: '10.0.0.2/24',
      hostname: 'r1',
      nameservers: ['10.96.0.10', '192.0.2.53'],
      searches: [
        `routers.${services}`,
        services,
        'svc.cluster.local',
        'cluster.local',
        'lan.example',
      ],
      dhcpOptions: [
        { code: 67, text: 'pxe/router.0' },
        { code: 42, addresses: ['192.0.2.123'] },
        { code: 240, text: 'lab' },
      ],
    })
    expect((await call('DEL', netns)).exitCode).to.equal(0)
  })

  it('tells a VM that migrates by the MAC that it runs with', async () => {
    await newLauncher(await newVmi())
    const runs = { name: NETWORK, infoSource: 'domain, guest-agent', mac: '02:cd:00:00:00:02' }
    await patchVmi({ status: { interfaces: [runs] } })
    await using netns = await newSandbox()
    await netns.run(['ip', 'address', 'add', '10.0.0.2/24', 'dev', POD_LINK])
    const added = await call('ADD', netns)
    expect(added.exitCode, added.stdout).to.equal(0)
    const document = join(on.node.stateDir, 'attachments', `${netns.name}@net1.json`)
    const { lease } = JSON.parse(await readFile(document, 'utf8')) as Manifest
    expect(lease).to.include({ mac: runs.mac, ipv4: '10.0.0.2/24' })
    expect((await call('DEL', netns)).exitCode).to.equal(0)
  })

  it("takes the pod's primary link for the VMI's pod network alone", async () => {
    await newLauncher(await newVmi())
    await using netns = await newSandbox()
    await netns.run(['ip', 'link', 'set', 'dev', POD_LINK, 'name', 'eth0'])
    expect((await call('ADD', netns)).output).to.include({ code: 104 })
    const shown = await netns.run(['tc', 'filter', 'show', 'dev', 'eth0', 'egress'])
    expect(shown, 'it is not mute').to.equal('')
    await patchVmi({ spec: { networks: [{ name: NETWORK, pod: {} }] } })
    const added = await call('ADD', netns)
    expect(added.exitCode, added.stdout).to.equal(0)
    expect(await hasQueues(netns, 'tap0')).to.equal(true)
    expect((await call('DEL', netns)).exitCode).to.equal(0)
  })

  it('reads the pod and the VMI as they are', async () => {
    await newLauncher(await newVmi())
    const read = newLauncherReader(newKubeClient({ kubeconfig: api.kubeconfig }))
    const { pod, vmi } = await read(namespace, POD)
    expect(pod).to.have.nested.property('spec.hostname', 'r1')
    expect(pod).to.have.nested.property('spec.dnsPolicy', 'ClusterFirst')
    expect(vmi).to.have.nested.property('spec.domain.cpu.sockets', 4)
  })

  it('takes a launcher for a plain pod where KubeVirt is not installed', async () => {
    await using bare = await newLabApiServer()
    namespace = await bare.newNamespace('bare')
    await newLauncher('c0ffee00-0000-4000-8000-000000000001', bare)
    const read = newLauncherReader(newKubeClient({ kubeconfig: bare.kubeconfig }))
    const { pod, vmi, refusal } = await read(namespace, POD)
    expect(pod).to.have.nested.property('spec.hostname', 'r1')
    expect({ vmi, refusal }).to.deep.equal({ vmi: undefined, refusal: undefined })
  })

  it('says that a launcher is gone: no pod, no VMI, or another one of its name', async () => {
    await using netns = await newSandbox()
    const expectGone = async (what: string): Promise<void> => {
      const { output } = await call('ADD', netns)
      expect(output).to.include({ code: 112 })
      expect(output?.['msg']).to.include(`${what} is gone`)
      expect(await hasQueues(netns, TAP)).to.equal(undefined)
    }
    const uid = await newVmi()
    await expectGone(`pod "${namespace}/${POD}"`)
    await newLauncher(uid)
    await api.kubectl(['delete', 'vmi', 'r1', '-n', namespace])
    await expectGone(`VirtualMachineInstance "${namespace}/r1"`)
    await newVmi()
    await expectGone(`VirtualMachineInstance "${namespace}/r1"`)
    expect((await call('DEL', netns)).exitCode).to.equal(0)
  })

  it('goes on with one queue where it may not read VMIs, and says so in its log', async () => {
    await newLauncher(await newVmi())
    await using netns = await newSandbox()
    const index = await findRule()
    const path = `/rules/${index}/resources`
    const patch = JSON.stringify([{ op: 'replace', path, value: ['virtualmachines'] }])
    await api.kubectl(['patch', 'clusterrole', 'l2wire-agent', '--type=json', '-p', patch])
    try {
      // The API server hears of its own rights a moment later.
      await expectSoon('one queue', async () => {
        expect((await call('ADD', netns)).exitCode).to.equal(0)
        const isMultiQueue = await hasQueues(netns, TAP)
        expect((await call('DEL', netns)).exitCode).to.equal(0)
        return isMultiQueue === false
      })
      await expectLogged(on.node, /cannot get resource .*virtualmachineinstances/)
    } finally {
      await api.kubectl(['apply', '-f', ROLE])
    }
  })

  it('is told to come again while the API is away, and leaves nothing', async () => {
    await newLauncher(await newVmi())
    await using netns = await newSandbox()
    await api.kill()
    try {
      expect((await call('ADD', netns)).output).to.include({ code: 11 })
      expect(await hasQueues(netns, TAP)).to.equal(undefined)
    } finally {
      await api.start()
    }
    expect((await call('DEL', netns)).exitCode).to.equal(0)
  })

  const findRule = async (): Promise<number> => {
    const { rules } = await api.getObject('clusterrole', 'l2wire-agent')
    const all = rules as readonly { resources?: readonly string[] }[]
    return all.findIndex(({ resources = [] }) => resources.includes('virtualmachineinstances'))
  }
})

async function newSandbox(): Promise<LabNetns> {
  const netns = await newLabNetns('launcher')
  await netns.run(['ip', 'link', 'add', 'name', POD_LINK, 'type', 'veth', 'peer', 'name', 'p0'])
  for (const dev of ['p0', POD_LINK]) await netns.run(['ip', 'link', 'set', 'dev', dev, 'up'])
  return netns
}
