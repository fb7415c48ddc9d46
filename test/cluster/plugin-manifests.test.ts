// kubevirt-patches/plugin on a real API server, with KubeVirt's schema of a Plugin and its own admission policies.
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'

import { expect } from 'chai'
import { after, before, describe, it } from 'mocha'

import { OUR_BINDINGS } from '../../core/domain/bindings.ts'
import { CommandError } from '../../core/errors.ts'
import type { LabApiServer } from '../../lab/api-server.ts'
import { ensureKubevirtPolicies } from '../../lab/cluster-crds.ts'
import { getBinding, getMapping, readManifest, ROOT, type Manifest } from '../../lab/manifests.ts'
import { expectSoon } from '../expect-soon.ts'
import { newApi } from './fixture-api.ts'
import {
  addPodLink,
  newDomainXml,
  newLaunchedPod,
  newVmi,
  type Defined,
} from './fixture-kubevirt-hooks.ts'
import type { Answer } from './fixture-virt-launcher.ts'

const FOLDER = 'kubevirt-patches/plugin'
const PLUGIN = join(ROOT, FOLDER, 'plugin.yaml')
const NETWORKS = 'k8s.v1.cni.cncf.io/networks'

/** KubeVirt's, for one interface: the cable, then the binding's network (v1.9: network/multus/annotation.go). */
function toNetworks(binding: string): string {
  return JSON.stringify([
    { name: 'r1-h1', namespace: 'lab', interface: 'pod12345678901' },
    { name: binding, namespace: 'l2wire', 'cni-args': { logicNetworkName: 'ge0' } },
  ])
}

interface PodParts {
  readonly labels?: Manifest
  readonly annotations?: Manifest
  readonly volumes?: readonly Manifest[]
  readonly initContainers?: readonly Manifest[]
  readonly more?: readonly Manifest[]
}

const SOCKETS = { name: 'kubevirt-plugin-sockets', emptyDir: {} }

function newPod(parts: PodParts = {}): Manifest {
  const mounts = [{ name: SOCKETS.name, mountPath: '/var/run/kubevirt-plugin' }]
  const { volumes = [SOCKETS], initContainers, more = [] } = parts
  const volumeMounts = volumes.length === 0 ? [] : mounts
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: {
      name: 'virt-launcher-r1-x7k2p',
      labels: parts.labels ?? { 'kubevirt.io': 'virt-launcher' },
      annotations: parts.annotations ?? { [NETWORKS]: toNetworks('l2wire-bind') },
    },
    spec: {
      securityContext: { fsGroup: 107 },
      containers: [{ name: 'compute', image: 'launcher', volumeMounts }, ...more],
      ...(initContainers === undefined ? {} : { initContainers }),
      volumes,
    },
  }
}

describe('kubevirt-patches/plugin', function () {
  this.timeout(90_000)
  let api: LabApiServer
  let namespace: string
  let injector: string

  before(async () => {
    api = await newApi()
    // What README.md says for this server, which is older than 1.36.
    const text = await readFile(join(ROOT, FOLDER, 'inject-sidecar.yaml'), 'utf8')
    injector = text.replaceAll(/admissionregistration.k8s.io\/v1$/gm, '$&beta1')
    await api.kubectl(['apply', '-f', await ensureKubevirtPolicies()])
    await api.kubectl(['apply', '--validate=strict', '-f', '-'], { input: injector })
    namespace = await api.newNamespace('launchers')
    await api.kubectl([
      'label',
      'namespace',
      namespace,
      'pod-security.kubernetes.io/enforce=baseline',
    ])
    // Policies are in force a moment after they are stored.
    await expectSoon('KubeVirt refuses what is no plugin', async () => {
      const refusal = await findRefusal(await newPlugin({ socketPath: '/tmp/l2wire.sock' }))
      return refusal.includes('must start with /var/run/kubevirt-plugin/<plugin-name>/')
    })
    await expectSoon('sidecars are injected', async () => (await admit(newPod())).length > 0)
  })
  after(async () => {
    await api[Symbol.asyncDispose]()
  })

  const dryRun = async (object: Manifest): Promise<Manifest> => {
    const argv = ['create', '--dry-run=server', '--validate=strict', '-o', 'json', '-f', '-']
    const input = JSON.stringify(object)
    const where = object['kind'] === 'Pod' ? ['-n', namespace] : []
    return JSON.parse(await api.kubectl([...argv, ...where], { input })) as Manifest
  }
  const findRefusal = async (object: Manifest): Promise<string> => {
    try {
      await dryRun(object)
      return ''
    } catch (error) {
      if (error instanceof CommandError) return error.stderr
      throw error
    }
  }
  /** The init containers that the pod is stored with. */
  const admit = async (pod: Manifest): Promise<readonly Manifest[]> => {
    const { initContainers = [] } = getMapping(await dryRun(pod), 'spec')
    return initContainers as Manifest[]
  }

  it('is a Plugin that KubeVirt takes', async () => {
    await dryRun(await newPlugin({}))
    await api.kubectl(['apply', '--validate=strict', '-f', PLUGIN])
    expect(getMapping(await api.getObject('plugin', 'l2wire'), 'spec')).to.eql(
      getMapping(await newPlugin({}), 'spec'),
    )
  })

  const refused = [
    {
      name: 'a socket in the folder of another',
      hook: { socketPath: '/var/run/kubevirt-plugin/x/l2wire.sock' },
    },
    {
      name: 'a socket of another name',
      hook: { socketPath: '/var/run/kubevirt-plugin/l2wire/l2wire' },
    },
  ]
  for (const { name, hook } of refused)
    it(`would not be one with ${name}`, async () => {
      expect(await findRefusal(await newPlugin(hook))).to.include('sidecar socketPath must')
    })

  it('gives a launcher of ours the sidecar, behind its init containers', async () => {
    const disks = { name: 'container-disks', emptyDir: {} }
    // KubeVirt 1.9.0's own policy fails for an init container without mounts.
    const volumeMounts = [{ name: disks.name, mountPath: '/disks' }]
    const mine = { name: 'container-disk', image: 'disk', volumeMounts }
    for (const [initContainers, want] of [
      [undefined, ['l2wire-plugin']],
      [[mine], ['container-disk', 'l2wire-plugin']],
    ] as const) {
      const parts = initContainers === undefined ? {} : { initContainers }
      const admitted = await admit(newPod({ ...parts, volumes: [SOCKETS, disks] }))
      expect(admitted.map(({ name }) => name)).to.eql(want)
      const sidecar = admitted.at(-1) as Manifest
      expect(sidecar).to.deep.include({
        args: ['--plugin-socket', await readSocketPath()],
        restartPolicy: 'Always',
      })
      expect(sidecar['resources']).to.eql({
        limits: { cpu: '200m', memory: '64M' },
        requests: { cpu: '200m', memory: '64M' },
      })
      expect(sidecar['securityContext']).to.deep.include({ runAsUser: 107, runAsNonRoot: true })
      expect(sidecar['volumeMounts']).to.eql([
        { name: SOCKETS.name, mountPath: '/var/run/kubevirt-plugin/l2wire/', subPath: 'l2wire' },
      ])
    }
  })

  it("gives it the image of the bindings' sidecar", async () => {
    const [sidecar] = await admit(newPod())
    for (const file of ['register-binding.yaml', 'register-binding-macvtap.yaml']) {
      const { plugin } = getBinding(await readManifest(`kubevirt-patches/${file}`))
      expect(sidecar?.['image'], file).to.equal(plugin['sidecarImage'])
    }
  })

  it('finds the launchers of every binding that there is to register', async () => {
    const files = ['binding', 'binding-macvtap', 'binding-no-sidecar']
    const folders = ['kubevirt-patches', 'kubevirt-patches/isolated']
    for (const file of folders.flatMap((folder) =>
      files.map((one) => `${folder}/register-${one}.yaml`),
    )) {
      const { name, plugin } = getBinding(await readManifest(file))
      const [, network = ''] = String(plugin['networkAttachmentDefinition']).split('/')
      const pod = newPod({ annotations: { [NETWORKS]: toNetworks(network) } })
      expect(await admit(pod), file).to.have.length(1)
      expect(OUR_BINDINGS, file).to.include(name)
    }
  })

  const others: readonly { name: string; pod: Manifest }[] = [
    { name: 'a pod that is no launcher', pod: newPod({ labels: { app: 'x' } }) },
    { name: 'a launcher without networks', pod: newPod({ annotations: {} }) },
    {
      name: 'a launcher of another binding',
      pod: newPod({ annotations: { [NETWORKS]: toNetworks('netbindingpasst') } }),
    },
    {
      name: 'a launcher on a network that only sounds like ours',
      pod: newPod({ annotations: { [NETWORKS]: toNetworks('l2wire-binder') } }),
    },
    { name: 'a launcher made without the feature gate', pod: newPod({ volumes: [] }) },
  ]
  for (const { name, pod } of others)
    it(`leaves ${name} as it is`, async () => {
      expect(await admit(pod)).to.eql([])
    })

  it('keeps the rule that KubeVirt has for sidecars: a folder of their own', async () => {
    const volumeMounts = [{ name: SOCKETS.name, mountPath: '/x' }]
    const pod = newPod({ more: [{ name: 'nosy', image: 'nosy', volumeMounts }] })
    expect(await findRefusal(pod)).to.include('sidecar containers must use subPath')
  })

  it('comes off again', async () => {
    await api.kubectl(['delete', '-f', PLUGIN])
    await api.kubectl(['delete', '-f', '-'], { input: injector })
    await expectSoon('no sidecars are injected', async () => (await admit(newPod())).length === 0)
  })
})

async function readPlugin(file = 'plugin.yaml'): Promise<Manifest> {
  return readManifest(`${FOLDER}/${file}`)
}

/** The plugin, its hook's sidecar changed so. */
async function newPlugin(sidecar: Manifest): Promise<Manifest> {
  const plugin = await readPlugin()
  const spec = getMapping(plugin, 'spec')
  const [hook] = spec['domainHooks'] as readonly Manifest[]
  const changed = { ...hook, sidecar: { ...(hook?.['sidecar'] as Manifest), ...sidecar } }
  return { ...plugin, spec: { ...spec, domainHooks: [changed] } }
}

async function readSocketPath(): Promise<unknown> {
  const [hook] = getMapping(await readPlugin(), 'spec')['domainHooks'] as readonly Manifest[]
  return getMapping(hook ?? {}, 'sidecar')['socketPath']
}

describe('the Plugin of KubeVirt 1.10', () => {
  it('is that of 1.9 by the new names', async () => {
    const old = await readPlugin()
    const { domainHooks, ...spec } = getMapping(old, 'spec')
    const [hook] = domainHooks as readonly Manifest[]
    const sidecar = { ...(hook?.['sidecar'] as Manifest), permittedHooks: ['GuestDefinition'] }
    const launcherHooks = [{ ...hook, sidecar }]
    const wanted = { ...old, spec: { ...spec, launcherHooks } }
    expect(await readPlugin('plugin-1.10.yaml')).to.eql(wanted)
  })
})

describe("the Plugin's condition, evaluated by KubeVirt", function () {
  this.timeout(90_000)

  it('holds for VMs with a binding of ours, and no other VM waits for the hook', async () => {
    await using pod = await newLaunchedPod()
    const { netns, launcher } = pod
    await addPodLink(netns, { nic: 'ge0', mac: '02:00:00:00:01:00' })
    const plugins = [await readPlugin()]
    const define = async (nics: Parameters<typeof newVmi>[0]): Promise<Answer<Defined>> => {
      const vmi = newVmi(nics)
      return launcher.play({
        do: 'define',
        vmi,
        domain: newDomainXml(vmi),
        plugins,
        context: 'Boot',
      })
    }
    // There is no socket yet: KubeVirt would wait for it for longer than this test may take.
    const others = await define({ mgmt: { masquerade: {} }, vf: { binding: { name: 'passt' } } })
    expect(others.result?.xml).to.equal(others.result?.given)
    await launcher.newPluginSidecar({ name: 'l2wire', socketPath: String(await readSocketPath()) })
    for (const name of OUR_BINDINGS) {
      const { result } = await define({ mgmt: { masquerade: {} }, ge0: { binding: { name } } })
      expect(result?.xml, name).to.include('ua-ge0')
    }
  })
})
