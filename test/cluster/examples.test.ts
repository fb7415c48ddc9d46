// Every example is accepted by a real API server, with KubeVirt's schemas, field by field.
import { readdirSync } from 'node:fs'
import { dirname, join } from 'node:path'

import { expect } from 'chai'
import { before, describe, it } from 'mocha'

import type { LabApiServer } from '../../lab/api-server.ts'
import { byName, EXAMPLES, getName, readExample } from '../../lab/example.ts'
import { getMapping, getNadConfig, ROOT, type Manifest } from '../../lab/manifests.ts'
import { run } from '../../kernel/run.ts'
import { getApi } from './fixture-api.ts'

const FOLDERS = readdirSync(join(ROOT, EXAMPLES), { withFileTypes: true })
  .filter((entry) => entry.isDirectory())
  .map((entry) => entry.name)

function isStudent(object: Manifest): boolean {
  return /^student-\d\d$/.test(String(getMapping(object, 'metadata')['namespace']))
}

describe('examples', function () {
  this.timeout(120_000)
  let api: LabApiServer

  before(async () => {
    api = await getApi()
  })

  for (const name of FOLDERS)
    it(`${name} is accepted, and kept as it is written`, async () => {
      const namespace = await api.newNamespace(`example-${name}`)
      const where = ['--namespace', namespace, '--filename', join(ROOT, EXAMPLES, name)]
      await api.kubectl(['apply', '--server-side', '--validate=strict', ...where])
      for (const object of await readExample(name)) {
        const { kind } = object
        const isCable = kind === 'NetworkAttachmentDefinition'
        const resource = isCable ? 'net-attach-def' : String(kind)
        const kept = await api.getObject(resource, getName(object), namespace)
        if (isCable) expect(getNadConfig(kept)).to.deep.equal(getNadConfig(object))
        if (kind === 'VirtualMachine')
          expect(getMapping(kept, 'spec', 'template', 'spec')).to.deep.include(
            getMapping(object, 'spec', 'template', 'spec'),
          )
      }
    })

  it('would notice a misspelt field, deep in a VirtualMachine', async () => {
    const namespace = await api.newNamespace('misspelt')
    const [vm] = Object.values(byName(await readExample('two-vms'), 'VirtualMachine'))
    const input = JSON.stringify(vm).replace('"binding":{"name"', '"binding":{"nmae"')
    const argv = ['apply', '-n', namespace, '--server-side', '--validate=strict', '-f', '-']
    expect(await api.kubectl(argv, { input }).catch(String)).to.match(/binding\.nmae/)
  })

  it("a student's lab needs no privilege, and what runs daemons says that it does", async () => {
    const namespace = await api.newNamespace('baseline')
    const label = 'pod-security.kubernetes.io/enforce=baseline'
    await api.kubectl(['label', 'namespace', namespace, label])
    const apply = async (name: string): Promise<string> =>
      api.kubectl(['apply', '-n', namespace, '-f', join(ROOT, EXAMPLES, name)]).catch(String)
    expect(await apply('class-of-30')).to.include('pod/pc1 created')
    expect(await apply('lldp')).to.match(/pods "h1" is forbidden: violates PodSecurity "baseline/)
  })

  it('class-of-30 makes thirty namespaces, and takes them away', async () => {
    const script = join(ROOT, EXAMPLES, 'class-of-30/class.sh')
    const env = [`KUBECONFIG=${api.kubeconfig}`, `PATH=${dirname(api.kubectlPath)}:/usr/bin:/bin`]
    const cache = `KUBECACHEDIR=${join(dirname(api.kubeconfig), 'class-cache')}`
    const callClass = async (verb: string): Promise<string> =>
      run(['env', ...env, cache, script, verb], { timeoutMs: 110_000 })
    await callClass('apply')
    const wires = await list(['network-attachment-definitions', '--all-namespaces'])
    const pods = await list(['pods', '--all-namespaces'])
    expect(wires.filter(isStudent)).to.have.length(30)
    expect(pods.filter(isStudent)).to.have.length(60)
    await callClass('delete')
    const going = (await list(['namespaces'])).filter((object) =>
      getName(object).startsWith('student-'),
    )
    for (const object of going)
      expect(getMapping(object, 'metadata'), getName(object)).to.have.property('deletionTimestamp')
  })

  async function list(argv: readonly string[]): Promise<readonly Manifest[]> {
    const listed = JSON.parse(await api.kubectl(['get', ...argv, '-o', 'json'])) as {
      readonly items: readonly Manifest[]
    }
    return listed.items
  }
})
