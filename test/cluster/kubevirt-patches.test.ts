// Registering and taking back, as an admin does it, on KubeVirt objects in a real API server: what was
// there before is there afterwards, to the byte.
import { readdir, readFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'

import { expect } from 'chai'
import { before, describe, it } from 'mocha'
import { parse } from 'yaml'

import { CommandError } from '../../core/errors.ts'
import { run } from '../../kernel/run.ts'
import type { LabApiServer } from '../../lab/api-server.ts'
import { getBinding, getMapping, readManifest, ROOT, type Manifest } from '../../lab/manifests.ts'
import { getApi } from './fixture-api.ts'

const FOLDER = join(ROOT, 'kubevirt-patches')
const GATE_SCRIPT = join(FOLDER, 'feature-gate.sh')
const GATE = 'NetworkBindingPlugins'

const OTHERS = {
  configuration: {
    developerConfiguration: { featureGates: ['LiveMigration', 'Snapshot'], logVerbosity: {} },
    network: {
      defaultNetworkInterface: 'masquerade',
      binding: { passt: { networkAttachmentDefinition: 'netbindingpasst', migration: {} } },
    },
    supportContainerResources: [{ type: 'sidecar', resources: { limits: { memory: '64M' } } }],
  },
}
/** What unregistering leaves where there were no bindings: the mapping that registering made. */
const LEFT = { network: { binding: {} } }
const FRESH = { developerConfiguration: { featureGates: [] } }

/** A KubeVirt that an admin has configured, and those in which something is not there yet. */
const OBJECTS: readonly { name: string; spec: Manifest; left: Manifest }[] = [
  { name: 'with gates and another binding', spec: OTHERS, left: OTHERS },
  {
    name: 'as it comes',
    spec: { configuration: FRESH },
    left: { configuration: { ...FRESH, ...LEFT } },
  },
  { name: 'without any configuration', spec: {}, left: { configuration: LEFT } },
]

const TWINS: Readonly<Record<string, string>> = {
  'register-binding.yaml': 'unregister-binding.yaml',
  'register-binding-no-sidecar.yaml': 'unregister-binding.yaml',
  'register-binding-macvtap.yaml': 'unregister-binding-macvtap.yaml',
  'isolated/register-binding.yaml': 'unregister-binding.yaml',
  'isolated/register-binding-no-sidecar.yaml': 'unregister-binding.yaml',
  'isolated/register-binding-macvtap.yaml': 'unregister-binding-macvtap.yaml',
}

/** What registers on top of a binding, and what takes it back. */
const MIGRATABLE = {
  register: 'register-migratable.yaml',
  unregister: 'unregister-migratable.yaml',
}

interface Subject {
  readonly namespace: string
  readonly patch: (file: string) => Promise<void>
  /** Runs the script that the folder has for the list of feature gates. */
  readonly gate: (command: string) => Promise<string>
  /** Everything an admin may have written, as text. */
  readonly read: () => Promise<string>
  readonly readSpec: () => Promise<Manifest>
}

async function newSubject(api: LabApiServer, spec: Manifest): Promise<Subject> {
  const namespace = await api.newNamespace('kubevirt')
  const labels = { team: 'network' }
  await api.apply({
    apiVersion: 'kubevirt.io/v1',
    kind: 'KubeVirt',
    metadata: { name: 'kubevirt', namespace, labels },
    spec,
  })
  const at = ['kubevirt', 'kubevirt', '-n', namespace]
  const path = '{.metadata.labels}{.metadata.annotations}{.spec}'
  return {
    namespace,
    patch: async (file) => {
      await api.kubectl(['patch', ...at, '--type', 'merge', '--patch-file', join(FOLDER, file)])
    },
    gate: async (command) => runGateScript(api, command, GATE, namespace),
    read: async () => api.kubectl(['get', ...at, '-o', `jsonpath=${path}`]),
    readSpec: async () =>
      getMapping(await api.getObject('kubevirt', 'kubevirt', namespace), 'spec'),
  }
}

describe('kubevirt-patches', function () {
  this.timeout(90_000)
  let api: LabApiServer

  before(async () => {
    api = await getApi()
  })

  it('are all in the table of this test', async () => {
    const files = await readdir(FOLDER, { recursive: true, encoding: 'utf8' })
    const registering = files.filter((file) => /(^|\/)register-.*\.yaml$/.test(file))
    expect(registering.sort()).to.deep.equal([...Object.keys(TWINS), MIGRATABLE.register].sort())
  })

  for (const [file, twin] of Object.entries(TWINS))
    describe(file, () => {
      it("is what KubeVirt's schema knows, and names a network that exists", async () => {
        const { name, plugin } = getBinding(await readManifest(join('kubevirt-patches', file)))
        // A null is a deletion; it is never stored.
        const binding = Object.fromEntries(
          Object.entries(plugin).filter(([, value]) => value !== null),
        )
        const namespace = await api.newNamespace('schema')
        const dryRun = async (more: Manifest): Promise<string> =>
          api.kubectl(['apply', '--dry-run=server', '--validate=strict', '-f', '-'], {
            input: JSON.stringify({
              apiVersion: 'kubevirt.io/v1',
              kind: 'KubeVirt',
              metadata: { name: 'kubevirt', namespace },
              spec: {
                configuration: { network: { binding: { [name]: { ...binding, ...more } } } },
              },
            }),
          })
        await dryRun({})
        let refusal = ''
        try {
          await dryRun({ sidecarimage: 'x' })
        } catch (error) {
          refusal = error instanceof CommandError ? error.stderr : String(error)
        }
        expect(refusal, 'strictness').to.include('sidecarimage')
        expect(await listNads()).to.include(binding['networkAttachmentDefinition'])
      })

      for (const { name, spec, left } of OBJECTS)
        it(`registers on a KubeVirt ${name}, twice, and comes off without a trace`, async () => {
          const subject = await newSubject(api, spec)
          const before = await subject.read()
          const patch = await readManifest(join('kubevirt-patches', file))
          const { name: binding, plugin } = getBinding(patch)
          await subject.patch(file)
          const registered = await subject.readSpec()
          const bindings = getMapping(registered, 'configuration', 'network', 'binding')
          const wanted = Object.entries(plugin).filter(([, value]) => value !== null)
          expect(bindings[binding]).to.deep.equal(Object.fromEntries(wanted))
          const once = await subject.read()
          await subject.patch(file)
          expect(await subject.read()).to.equal(once)
          for (const _ of ['once', 'twice']) {
            await subject.patch(twin)
            expect(await subject.readSpec()).to.deep.equal(left)
            if (left === spec) expect(await subject.read()).to.equal(before)
          }
        })
    })

  it('replace each other: with a sidecar, without, with', async () => {
    const subject = await newSubject(api, OTHERS)
    const read = async (): Promise<unknown> =>
      getMapping(await subject.readSpec(), 'configuration', 'network', 'binding', 'l2wire')[
        'sidecarImage'
      ]
    await subject.patch('register-binding.yaml')
    expect(await read()).to.match(/sidecar/)
    await subject.patch('register-binding-no-sidecar.yaml')
    expect(await read()).to.equal(undefined)
    await subject.patch('register-binding.yaml')
    expect(await read()).to.match(/sidecar/)
  })

  it('take back what earlier releases have set: that a binding can migrate', async () => {
    for (const file of Object.keys(TWINS)) {
      const { name } = getBinding(await readManifest(join('kubevirt-patches', file)))
      const binding = { [name]: { domainAttachmentType: 'tap', migration: {} } }
      const subject = await newSubject(api, { configuration: { network: { binding } } })
      await subject.patch(file)
      const spec = await subject.readSpec()
      const registered = getMapping(spec, 'configuration', 'network', 'binding', name)
      expect(registered, file).not.to.have.property('migration')
    }
  })

  for (const file of Object.keys(TWINS).filter((one) => !one.includes('macvtap')))
    it(`register-migratable.yaml adds one key to what ${file} registers, twice, and comes off`, async () => {
      const subject = await newSubject(api, OTHERS)
      const readBinding = async (): Promise<Manifest> =>
        getMapping(await subject.readSpec(), 'configuration', 'network', 'binding', 'l2wire')
      await subject.patch(file)
      const before = await subject.read()
      const registered = await readBinding()
      for (const _ of ['once', 'twice']) {
        await subject.patch(MIGRATABLE.register)
        expect(await readBinding()).to.deep.equal({ ...registered, migration: {} })
      }
      for (const takeBack of [MIGRATABLE.unregister, file]) {
        await subject.patch(MIGRATABLE.register)
        await subject.patch(takeBack)
        expect(await subject.read()).to.equal(before)
      }
    })

  it('both bindings stand side by side', async () => {
    const subject = await newSubject(api, OTHERS)
    await subject.patch('register-binding.yaml')
    await subject.patch('register-binding-macvtap.yaml')
    const readNames = async (): Promise<readonly string[]> =>
      Object.keys(getMapping(await subject.readSpec(), 'configuration', 'network', 'binding'))
    expect(await readNames()).to.have.members(['passt', 'l2wire', 'l2wire-macvtap'])
    await subject.patch('unregister-binding.yaml')
    expect(await readNames()).to.have.members(['passt', 'l2wire-macvtap'])
  })

  describe('feature-gate.sh', () => {
    for (const { name, spec } of OBJECTS)
      it(`adds a gate to a KubeVirt ${name}, once, and takes it away again`, async () => {
        const subject = await newSubject(api, spec)
        const before = await subject.read()
        const gates = spec === OTHERS ? ['LiveMigration', 'Snapshot'] : []
        await subject.gate('enable')
        expect(await readGates(subject)).to.deep.equal([...gates, GATE])
        expect(await subject.gate('enable')).to.include('already')
        expect(await readGates(subject)).to.deep.equal([...gates, GATE])
        await subject.gate('disable')
        expect(await readGates(subject)).to.deep.equal(gates)
        expect(await subject.gate('disable')).to.include('not there')
        if (Object.keys(spec).length > 0) expect(await subject.read()).to.equal(before)
      })

    it('adds and takes away whatever gate it is told of', async () => {
      const subject = await newSubject(api, OTHERS)
      await runGateScript(api, 'enable', 'Plugins', subject.namespace)
      expect(await readGates(subject)).to.deep.equal(['LiveMigration', 'Snapshot', 'Plugins'])
      await runGateScript(api, 'disable', 'Plugins', subject.namespace)
      expect(await readGates(subject)).to.deep.equal(['LiveMigration', 'Snapshot'])
    })

    it('takes a gate from between others, and mistakes none of a longer name for it', async () => {
      const featureGates = ['A', GATE, `${GATE}V2`, 'B']
      const subject = await newSubject(api, {
        configuration: { developerConfiguration: { featureGates } },
      })
      await subject.gate('disable')
      expect(await readGates(subject)).to.deep.equal(['A', `${GATE}V2`, 'B'])
      await subject.gate('enable')
      expect(await readGates(subject)).to.deep.equal(['A', `${GATE}V2`, 'B', GATE])
    })

    it('adds a gate that somebody has switched off by name', async () => {
      const developerConfiguration = { disabledFeatureGates: ['A', GATE, 'B'] }
      const subject = await newSubject(api, { configuration: { developerConfiguration } })
      expect(await subject.gate('enable')).to.include('disabledFeatureGates')
      expect(await readGates(subject)).to.deep.equal([GATE])
      const { disabledFeatureGates } = getMapping(
        await subject.readSpec(),
        'configuration',
        'developerConfiguration',
      )
      expect(disabledFeatureGates).to.deep.equal(['A', 'B'])
    })

    it('refuses in words without a command, a gate that is none, and without a KubeVirt', async () => {
      const subject = await newSubject(api, {})
      for (const [argv, words] of [
        [['juggle', GATE, subject.namespace], 'Usage'],
        [['enable', 'A,B', subject.namespace], 'Usage'],
        [['enable', GATE, subject.namespace, 'other'], '"other" not found'],
      ] as const) {
        let said = ''
        try {
          await runGateScript(api, ...argv)
        } catch (error) {
          said = error instanceof CommandError ? error.stderr : String(error)
        }
        expect(said).to.include(words)
      }
    })
  })
})

async function runGateScript(api: LabApiServer, ...argv: readonly string[]): Promise<string> {
  const cache = join(dirname(api.kubeconfig), 'kubectl-cache')
  const kubectl = `${api.kubectlPath} --kubeconfig ${api.kubeconfig} --cache-dir ${cache}`
  return run(['env', `KUBECTL=${kubectl}`, GATE_SCRIPT, ...argv])
}

async function readGates(subject: Subject): Promise<unknown> {
  const spec = await subject.readSpec()
  return getMapping(spec, 'configuration', 'developerConfiguration')['featureGates']
}

/** The networks that deploy/ and isolated/nads.yaml bring, as namespace/name. */
async function listNads(): Promise<readonly string[]> {
  const folders = ['base', 'components/macvtap'].map((folder) => join(ROOT, 'deploy', folder))
  const listed = folders.map(async (folder) =>
    (await readdir(folder))
      .filter((file) => file.startsWith('binding-nad'))
      .map((file) => join(folder, file)),
  )
  const paths = [...(await Promise.all(listed)).flat(), join(FOLDER, 'isolated/nads.yaml')]
  const texts = await Promise.all(paths.map(async (path) => readFile(path, 'utf8')))
  return texts
    .flatMap((text) => text.split(/^---$/m))
    .map((text) => getMapping(parse(text) as Manifest, 'metadata'))
    .map(({ namespace, name }) => `${String(namespace)}/${String(name)}`)
}
