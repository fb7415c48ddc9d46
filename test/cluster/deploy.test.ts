// What an admin applies, asked of a real API server: every kustomization passes its schemas and checks,
// the agent's pod is admitted where it belongs, and its account may do what it needs and no more.
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, relative } from 'node:path'

import { expect } from 'chai'
import { before, describe, it } from 'mocha'
import { parseAllDocuments } from 'yaml'

import { CommandError } from '../../core/errors.ts'
import { run } from '../../kernel/run.ts'
import type { LabApiServer } from '../../lab/api-server.ts'
import { getMapping, ROOT, type Manifest } from '../../lab/manifests.ts'
import { expectSoon } from '../expect-soon.ts'
import { getApi } from './fixture-api.ts'

const DEPLOY = join(ROOT, 'deploy')
const FOLDERS = [
  '.',
  'overlays/kind',
  'overlays/k3s',
  'overlays/rke2',
  'overlays/k0s',
  'overlays/macvtap',
  'uninstall',
  'uninstall-force',
  'overlays/k3s-uninstall',
]
const AGENT = 'system:serviceaccount:l2wire:l2wire-agent'

describe('deploy', function () {
  this.timeout(90_000)
  let api: LabApiServer

  before(async () => {
    api = await getApi()
    // For real, so that what is namespaced below finds its namespace.
    await api.kubectl(['apply', '-k', DEPLOY])
  })

  const render = async (folder: string): Promise<readonly Manifest[]> => {
    const documents = parseAllDocuments(await api.kubectl(['kustomize', folder]))
    return documents.map((document) => document.toJS() as Manifest)
  }
  const getDaemonSet = async (folder: string): Promise<Manifest> => {
    const found = (await render(join(DEPLOY, folder))).filter(({ kind }) => kind === 'DaemonSet')
    expect(found).to.have.length(1)
    return found[0] as Manifest
  }
  const getPluginPath = async (folder: string): Promise<unknown> => {
    const { volumes } = getMapping(await getDaemonSet(folder), 'spec', 'template', 'spec')
    const plugins = (volumes as readonly Manifest[]).find(({ name }) => name === 'plugins')
    return getMapping(plugins ?? {}, 'hostPath')['path']
  }

  for (const folder of FOLDERS)
    it(`${folder} is accepted as a whole`, async () => {
      const path = join(DEPLOY, folder)
      const argv = ['apply', '-k', path, '--dry-run=server', '--validate=strict']
      const said = await api.kubectl(argv)
      const names = said.split('\n').filter((line) => line.includes('l2wire'))
      expect(names).to.have.length((await render(path)).length)
    })

  /** All of base with these components, once the API has taken it. */
  const renderComponents = async (
    ...components: readonly string[]
  ): Promise<readonly Manifest[]> => {
    const folder = await mkdtemp(join(tmpdir(), 'l2w-kustomize-'))
    try {
      const kustomization = {
        kind: 'Kustomization',
        resources: [relative(folder, join(DEPLOY, 'base'))],
        components: components.map((name) => relative(folder, join(DEPLOY, 'components', name))),
      }
      await writeFile(join(folder, 'kustomization.yaml'), JSON.stringify(kustomization))
      await api.kubectl(['apply', '-k', folder, '--dry-run=server', '--validate=strict'])
      return await render(folder)
    } finally {
      await rm(folder, { recursive: true })
    }
  }

  it('takes the component for nodes that keep taps from unprivileged containers', async () => {
    const { agent } = readAgent(await renderComponents('privileged'))
    expect(agent['securityContext']).to.deep.equal({ privileged: true })
  })

  it("shows the agents nothing of the kubelet's", async () => {
    for (const folder of FOLDERS.filter((one) => one !== 'overlays/macvtap')) {
      const text = JSON.stringify(await render(join(DEPLOY, folder)))
      for (const word of ['device-plugins', 'pod-resources', '/kubelet', 'l2wire-bind-macvtap'])
        expect(text, folder).to.not.include(word)
    }
  })

  for (const { components, root } of [
    { components: ['macvtap'], root: '/var/lib/kubelet' },
    { components: ['macvtap-k0s'], root: '/var/lib/k0s/kubelet' },
    { components: ['privileged', 'networkd', 'macvtap'], root: '/var/lib/kubelet' },
    { components: ['macvtap', 'networkd', 'privileged'], root: '/var/lib/kubelet' },
  ])
    it(`takes the components ${components.join(', ')}: the agents are device plugins of the kubelet in ${root}`, async () => {
      const objects = await renderComponents(...components)
      const { agent, volumes } = readAgent(objects)
      const before = readAgent(await render(join(DEPLOY, 'base'))).agent
      const [earlier, later] = [before, agent].map(({ args }) => args as readonly string[])
      expect(later).to.deep.equal([
        ...(earlier ?? []),
        '--device-plugins=/var/lib/kubelet/device-plugins',
      ])
      for (const name of ['device-plugins', 'pod-resources']) {
        const mounts = (agent['volumeMounts'] as readonly Manifest[]).filter(
          (mount) => mount['name'] === name,
        )
        expect(mounts).to.deep.equal([{ name, mountPath: `/var/lib/kubelet/${name}` }])
        const found = volumes.filter((volume) => volume['name'] === name)
        const hostPath = { path: `${root}/${name}`, type: 'DirectoryOrCreate' }
        expect(found).to.deep.equal([{ name, hostPath }])
      }
      const nads = objects.filter(({ kind }) => kind === 'NetworkAttachmentDefinition')
      expect(nads.map((nad) => getMapping(nad, 'metadata')['name'])).to.include(
        'l2wire-bind-macvtap',
      )
    })

  it('takes the uninstaller behind the component for macvtaps', async () => {
    const { agent } = readAgent(await renderComponents('macvtap', 'uninstall', 'uninstall-force'))
    expect(agent).to.include({ name: 'done' }).and.not.have.property('volumeMounts')
  })

  // An uninstaller has to find what the installer wrote, whichever component comes first.
  for (const order of [
    ['network-manager', 'networkd', 'uninstall', 'uninstall-force'],
    ['uninstall', 'uninstall-force', 'networkd', 'network-manager'],
  ])
    it(`takes the components ${order.join(', ')}, and gives all of them to the uninstaller`, async () => {
      const { daemonSet, volumes } = readAgent(await renderComponents(...order))
      const { initContainers } = getMapping(daemonSet, 'spec', 'template', 'spec')
      const [init] = initContainers as readonly [Manifest]
      const [program, command, ...options] = init['command'] as readonly string[]
      expect([program, command]).to.deep.equal(['l2wire-node', 'uninstall'])
      expect(options).to.have.members([
        '--plugins',
        '/host/opt/cni/bin',
        '--network-manager=/host/etc/NetworkManager/conf.d',
        '--networkd=/host/etc/systemd/network',
        '--force',
      ])
      const mounted = (init['volumeMounts'] as readonly Manifest[]).map(({ name }) => name)
      const names = volumes.map(({ name }) => name)
      expect(mounted).to.include.members(['plugins', 'state', 'networkd', 'network-manager'])
      expect(names).to.include.members(mounted)
      expect(getMapping(daemonSet, 'spec', 'updateStrategy', 'rollingUpdate')).to.deep.equal({
        maxUnavailable: '100%',
      })
    })

  const may = async (verb: string): Promise<boolean> =>
    mayDo(api, verb, 'virtualmachines.kubevirt.io', ['-A', '--as', AGENT])

  it('takes the component for the carrier of VMs, and has no right on them without it', async () => {
    await renderComponents('carrier-vm')
    expect(await may('patch')).to.equal(false)
    const rights = join(DEPLOY, 'components/carrier-vm/rbac.yaml')
    try {
      await api.kubectl(['apply', '-f', rights])
      await expectSoon('the right counts', async () => may('patch'))
      for (const verb of ['list', 'watch', 'create', 'update', 'delete'])
        expect(await may(verb), verb).to.equal(false)
    } finally {
      await api.kubectl(['delete', '-f', rights])
    }
    await expectSoon('the right is gone', async () => !(await may('patch')))
  })

  it('is applied a second time without a change', async () => {
    const said = await api.kubectl(['apply', '-k', DEPLOY])
    expect(said).to.include('daemonset.apps/l2wire-agent unchanged')
    expect(said).to.not.include('configured')
  })

  it('names the agent by digest in a release, whatever is made of its manifests', async () => {
    const parent = await mkdtemp(join(tmpdir(), 'l2w-release-'))
    try {
      const release = join(parent, 'l2wire')
      const [agent, sidecar] = ['a1', 'b2'].map((byte) => `sha256:${byte.repeat(32)}`)
      await run([join(ROOT, 'setup/pin-images.sh'), release, agent ?? '', sidecar ?? ''])
      for (const folder of FOLDERS) {
        const text = await api.kubectl(['kustomize', join(release, 'deploy', folder)])
        const images = [...text.matchAll(/^ *image: (.*)$/gm)].map(([, image]) => image)
        expect([...new Set(images)], folder).to.deep.equal([`ghcr.io/l2wire/agent@${agent}`])
      }
    } finally {
      await rm(parent, { recursive: true })
    }
  })

  it('puts the plugins where each distribution looks for them', async () => {
    expect(await getPluginPath('.')).to.equal('/opt/cni/bin')
    expect(await getPluginPath('overlays/rke2')).to.equal('/opt/cni/bin')
    for (const folder of ['overlays/k3s', 'overlays/k3s-uninstall'])
      expect(await getPluginPath(folder)).to.equal('/var/lib/rancher/k3s/data/cni')
  })

  it("the agent's pod is admitted in its namespace, and would not be in an ordinary one", async () => {
    const namespace = await api.newNamespace('baseline')
    const label = 'pod-security.kubernetes.io/enforce=baseline'
    await api.kubectl(['label', 'namespace', namespace, label])
    for (const folder of ['.', 'uninstall']) {
      const template = getMapping(await getDaemonSet(folder), 'spec', 'template')
      const pod = { apiVersion: 'v1', kind: 'Pod', ...template }
      const labels = getMapping(template, 'metadata')['labels']
      const place = (where: string): Manifest => ({
        ...pod,
        metadata: { name: `agent-${folder === '.' ? 'run' : folder}`, namespace: where, labels },
      })
      await api.apply(place('l2wire'))
      let refusal = ''
      try {
        await api.apply(place(namespace))
      } catch (error) {
        refusal = error instanceof CommandError ? error.stderr : String(error)
      }
      expect(refusal).to.include('violates PodSecurity "baseline')
      expect(refusal).to.include('host namespaces').and.include('non-default capabilities')
    }
  })

  describe("the agent's account", () => {
    const verbs = [
      'get',
      'list',
      'watch',
      'create',
      'update',
      'patch',
      'delete',
      'deletecollection',
    ]
    const rows = [
      { resource: 'wires.l2wire.dev', may: ['get', 'list', 'watch', 'create', 'update', 'delete'] },
      { resource: 'wires.l2wire.dev', subresource: 'status', may: ['update'] },
      { resource: 'vniclaims.l2wire.dev', may: ['get', 'list', 'create', 'patch', 'delete'] },
      { resource: 'pods', may: ['get'] },
      { resource: 'replicasets.apps', may: ['get'] },
      { resource: 'events', may: ['get', 'create', 'update'] },
      { resource: 'secrets', may: [] },
      { resource: 'nodes', may: ['list'] },
      { resource: 'network-attachment-definitions.k8s.cni.cncf.io', may: [] },
      { resource: 'virtualmachineinstances.kubevirt.io', may: ['get'] },
      { resource: 'virtualmachineinstancemigrations.kubevirt.io', may: ['get'] },
    ]
    for (const { resource, subresource, may } of rows)
      it(`may ${may.join(', ') || 'do nothing with'} ${resource}${subresource === undefined ? '' : `/${subresource}`}`, async () => {
        const allowed: string[] = []
        for (const verb of verbs)
          if (await mayDo(api, verb, resource, ['-A', '--as', AGENT], subresource))
            allowed.push(verb)
        expect(allowed).to.deep.equal(may)
      })
  })
})

/** What the DaemonSet among these runs on nodes. */
function readAgent(objects: readonly Manifest[]): {
  readonly daemonSet: Manifest
  readonly agent: Manifest
  readonly volumes: readonly Manifest[]
} {
  const daemonSet = objects.find(({ kind }) => kind === 'DaemonSet') ?? {}
  const { containers, volumes } = getMapping(daemonSet, 'spec', 'template', 'spec')
  const [agent = {}] = containers as readonly Manifest[]
  return { daemonSet, agent, volumes: volumes as readonly Manifest[] }
}

describe('a user of a namespace', () => {
  it('who may view it may see its wires, and write none', async () => {
    const api = await getApi()
    await api.kubectl(['apply', '-k', DEPLOY])
    const namespace = await api.newNamespace('user')
    // No controller gathers roles here: the label is what Kubernetes' own "view" goes by.
    const { metadata } = await api.getObject('clusterrole', 'l2wire-view')
    expect(getMapping({ metadata }, 'metadata', 'labels')).to.include({
      'rbac.authorization.k8s.io/aggregate-to-view': 'true',
    })
    const bind = ['create', 'rolebinding', 'viewer', '--user=student', '--clusterrole=l2wire-view']
    await api.kubectl([...bind, '-n', namespace])
    const student = ['-n', namespace, '--as', 'student']
    for (const verb of ['get', 'list', 'create', 'update', 'delete'])
      expect(await mayDo(api, verb, 'wires.l2wire.dev', student), verb).to.equal(
        ['get', 'list'].includes(verb),
      )
  })
})

async function mayDo(
  api: LabApiServer,
  verb: string,
  resource: string,
  who: readonly string[],
  subresource?: string,
): Promise<boolean> {
  const more = subresource === undefined ? [] : [`--subresource=${subresource}`]
  try {
    const argv = ['auth', 'can-i', verb, resource, ...more, ...who]
    return (await api.kubectl(argv)).trim() === 'yes'
  } catch (error) {
    // Its exit code is its answer.
    if (error instanceof CommandError && error.exitCode === 1) return false
    throw error
  }
}
