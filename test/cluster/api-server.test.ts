// The lab's API server is a real one: schemas, access rules and absence are what other suites build on.
import { existsSync } from 'node:fs'
import { dirname } from 'node:path'

import { expect } from 'chai'
import { before, describe, it } from 'mocha'

import { CommandError } from '../../core/errors.ts'
import { newLabApiServer, type LabApiServer } from '../../lab/api-server.ts'
import { reachApi } from '../../lab/api-reach.ts'
import type { Manifest } from '../../lab/manifests.ts'
import { newLabNetns } from '../../lab/netns.ts'
import { run } from '../../kernel/run.ts'
import { getApi } from './fixture-api.ts'

/** What kubectl said when it refused. */
async function expectRefusal(refused: Promise<unknown>): Promise<string> {
  try {
    await refused
  } catch (error) {
    if (error instanceof CommandError) return error.stderr
    throw error
  }
  throw new Error('It was not refused')
}

function newConfigMap(namespace: string, name: string): Manifest {
  return { apiVersion: 'v1', kind: 'ConfigMap', metadata: { namespace, name }, data: { wire: 'w' } }
}

describe("the lab's API server", function () {
  this.timeout(90_000)
  let api: LabApiServer

  before(async () => {
    api = await getApi()
  })

  const rows = [
    {
      name: 'a NetworkAttachmentDefinition whose configuration is no text',
      apiVersion: 'k8s.cni.cncf.io/v1',
      kind: 'NetworkAttachmentDefinition',
      spec: { config: 5 },
      want: /spec\.config.*string/,
    },
    {
      name: 'a VirtualMachine without a template',
      apiVersion: 'kubevirt.io/v1',
      kind: 'VirtualMachine',
      spec: { runStrategy: 'Always' },
      want: /VirtualMachine.*"template"/,
    },
    {
      name: 'a KubeVirt with a binding that is no mapping',
      apiVersion: 'kubevirt.io/v1',
      kind: 'KubeVirt',
      spec: { configuration: { network: { binding: { l2wire: 'tap' } } } },
      want: /binding\.l2wire/,
    },
  ]
  for (const { name, want, ...object } of rows)
    it(`refuses ${name}`, async () => {
      const namespace = await api.newNamespace('schema')
      const text = await expectRefusal(api.apply({ ...object, metadata: { name: 'x', namespace } }))
      expect(text).to.match(want)
    })

  it('lets a service account do what its role says, and no more', async () => {
    const namespace = await api.newNamespace('rbac')
    const kubeconfig = await api.newServiceAccountKubeconfig(namespace, 'reader')
    await api.apply(newConfigMap(namespace, 'a'))
    const get = async (): Promise<string> =>
      api.kubectl(['get', 'configmap', 'a', '-n', namespace, '-o', 'name'], { kubeconfig })
    expect(await expectRefusal(get())).to.include('Forbidden')
    const rule = ['--verb=get', '--resource=configmaps']
    await api.kubectl(['create', 'role', 'reader', ...rule, '-n', namespace])
    const who = ['--role=reader', `--serviceaccount=${namespace}:reader`]
    await api.kubectl(['create', 'rolebinding', 'reader', ...who, '-n', namespace])
    expect(await get()).to.equal('configmap/a\n')
    const remove = api.kubectl(['delete', 'configmap', 'a', '-n', namespace], { kubeconfig })
    expect(await expectRefusal(remove)).to.include('Forbidden')
  })

  it('hangs while paused, is away while killed, and comes back with its objects', async () => {
    await using own = await newLabApiServer()
    await own.apply(newConfigMap('default', 'kept'))
    own.pause()
    const ask = ['get', 'configmap', 'kept', '-o', 'jsonpath={.data.wire}']
    const impatient = own.kubectl([...ask, '--request-timeout=1s'])
    expect(await expectRefusal(impatient)).to.match(/timeout|deadline/i)
    own.resume()
    expect(await own.kubectl(ask)).to.equal('w')
    await own.kill()
    expect(await expectRefusal(own.kubectl(ask))).to.include('refused')
    await own.start()
    expect(await own.kubectl(ask)).to.equal('w')
  })

  it('is in reach of a namespace under the same address, until that is cut off', async () => {
    await using netns = await newLabNetns('reach')
    const ask = async (): Promise<string> =>
      netns.run([api.kubectlPath, '--kubeconfig', api.kubeconfig, 'get', '--raw', '/readyz'])
    expect(await expectRefusal(ask())).to.include('refused')
    const reach = await reachApi(api, netns)
    try {
      expect(await ask()).to.equal('ok')
    } finally {
      await reach[Symbol.asyncDispose]()
    }
    expect(await expectRefusal(ask())).to.include('refused')
  })

  it('leaves nothing behind, also when it was paused', async () => {
    const own = await newLabApiServer()
    const folder = dirname(own.kubeconfig)
    own.pause()
    await own[Symbol.asyncDispose]()
    expect(existsSync(folder)).to.equal(false)
    expect(await run(['ps', '-eo', 'args='])).to.not.include(folder)
  })
})
