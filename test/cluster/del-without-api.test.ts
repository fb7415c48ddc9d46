// DEL while the API is away, or silent, or both API and agent are: the pod goes, and all it had once they
// are back.
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'

import { expect } from 'chai'
import { before, describe, it } from 'mocha'

import type { LabApiServer } from '../../lab/api-server.ts'
import { newLabCluster, type ClusterNode, type LabCluster } from '../../lab/cluster.ts'
import type { Manifest } from '../../lab/manifests.ts'
import type { LabNetns } from '../../lab/netns.ts'
import { listFolder } from '../../store/json-file.ts'
import { getApi } from './fixture-api.ts'
import { callForPod, mustCallForPod, newPod, type PodCall } from './fixture-pod.ts'
import { expectSoon } from '../expect-soon.ts'
import { leavesNothing } from '../nothing-left.ts'

const CONFIG = { cniVersion: '1.1.0', name: 'r1-h1', type: 'l2wire' }

describe('DEL without the Kubernetes API', function () {
  this.timeout(120_000)
  let api: LabApiServer
  let cluster: LabCluster
  let n1: ClusterNode
  let n2: ClusterNode

  before(async () => {
    api = await getApi()
  })
  leavesNothing(async (made) => {
    cluster = made.use(await newLabCluster({ api, prefix: 'del-test-' }))
    ;[n1, n2] = cluster.nodes as [ClusterNode, ClusterNode]
  })

  const absences = [
    { name: 'away', go: async () => api.kill(), back: async () => api.start() },
    { name: 'silent', go: async () => api.pause(), back: async () => api.resume() },
  ]
  for (const { name, go, back } of absences)
    it(`${name}: yes, with an agent and without; nothing is left once both are back`, async () => {
      const namespace = await api.newNamespace('del')
      await using a = await newPod(api, namespace, 'h1')
      await using b = await newPod(api, namespace, 'h2')
      const toCall = (command: string, on: ClusterNode, netns: LabNetns, pod: string): PodCall => ({
        command,
        on,
        namespace,
        pod,
        netns,
        config: CONFIG,
      })
      const must = async (...args: Parameters<typeof toCall>): Promise<void> =>
        mustCallForPod(toCall(...args))

      await must('ADD', n1, a, 'h1')
      await must('ADD', n2, b, 'h2')
      await expectSoon('connected', async () => {
        const wire = await api.getObject('wire', 'r1-h1', namespace)
        return JSON.stringify(wire).includes('Connected')
      })
      await go()
      let isBack = false
      try {
        await must('DEL', n1, a, 'h1')
        expect(await a.run(['ip', '-br', 'link', 'show'])).to.not.include('eth1')
        expect(await readPhase(n1, `h1-${a.name}`)).to.equal('leaving')
        expect(await listNotes(n1), 'its agent has answered').to.deep.equal([])
        await must('DEL', n1, a, 'h1')
        expect((await callForPod(toCall('ADD', n1, a, 'h1'))).output).to.include({ code: 11 })
        await n2.node.stopAgent('SIGKILL')
        await must('DEL', n2, b, 'h2')
        expect(await listNotes(n2)).to.deep.equal([`h2-${b.name}@eth1.json`])
        await back()
        isBack = true
      } finally {
        if (!isBack) await back()
      }
      await n2.node.startAgent()
      await expectSoon('no wires and no VNIs', async () => {
        const wires = await api.kubectl(['get', 'wires', '-n', namespace, '-o', 'name'])
        const vnis = await api.kubectl(['get', 'vniclaims', '-o', 'name'])
        return `${wires}${vnis}`.trim() === ''
      })
      for (const one of cluster.nodes) {
        const hasDocuments = async (): Promise<boolean> =>
          (await one.node.listDocuments()).length > 0
        await expectSoon('no documents', async () => !(await hasDocuments()))
        expect(await one.netns.run(['ip', '-br', 'link', 'show'])).to.not.match(/^l[wx][0-9a-f]/m)
        expect(await listNotes(one)).to.deep.equal([])
      }
    })
})

async function readPhase({ node }: ClusterNode, containerID: string): Promise<unknown> {
  const path = join(node.stateDir, 'attachments', `${containerID}@eth1.json`)
  return (JSON.parse(await readFile(path, 'utf8')) as Manifest)['phase']
}

async function listNotes({ node }: ClusterNode): Promise<readonly string[]> {
  return listFolder(join(node.folder, 'released'))
}
