// An agent whose writes the policies refuse: it says why, and goes on.
import { expect } from 'chai'
import { before, describe, it } from 'mocha'

import type { LabApiServer } from '../../lab/api-server.ts'
import { newLabNetns } from '../../lab/netns.ts'
import { newLabNode } from '../../lab/node.ts'
import { leavesNothing } from '../nothing-left.ts'
import { getApi } from './fixture-api.ts'

const CONFIG = { cniVersion: '1.1.0', name: 'w', type: 'l2wire' }
const REFUSAL = 'token names no node'

describe('an agent that the policies refuse', function () {
  this.timeout(120_000)
  let api: LabApiServer

  before(async () => {
    api = await getApi()
  })
  leavesNothing()

  it('starts, says why it cannot plug in, and leaves nothing', async () => {
    await api.newAgentKubeconfig('policy-agent')
    const namespace = await api.newNamespace('refused')
    const kubeconfig = await api.newServiceAccountKubeconfig('l2wire', 'l2wire-agent')
    await using pod = await newLabNetns('pod')
    await using node = await newLabNode({ nodeName: 'policy-agent', kubeconfig })
    const call = async (command: string): ReturnType<typeof node.call> =>
      node.call(CONFIG, {
        command,
        containerID: pod.name,
        netns: pod.path,
        ifname: 'eth1',
        args: `K8S_POD_NAMESPACE=${namespace};K8S_POD_NAME=h1`,
      })
    for (const attempt of [1, 2]) {
      const { output } = await call('ADD')
      expect(output, `attempt ${attempt}`).to.include({ code: 109 })
      expect(output?.['details']).to.include('ValidatingAdmissionPolicy').and.to.include(REFUSAL)
      expect(await pod.run(['ip', '-br', 'link', 'show'])).to.not.include('eth1')
      expect((await call('DEL')).exitCode).to.equal(0)
    }
    expect(node.readLog(), 'its log').to.include(REFUSAL)
    expect(node.isRunning()).to.equal(true)
    expect(await node.listDocuments()).to.deep.equal([])
  })
})
