// A VM that release 0.2.0 attached to the pod network runs on under this one as it was: its launcher's stack
// may depend on a pod link that speaks.
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'

import { expect } from 'chai'
import { describe, it } from 'mocha'

import type { TapAttachment } from '../../../core/attach/attachment.ts'
import { renderClassifier } from '../../../core/steps/argv.ts'
import { openNetns } from '../../../kernel/netns.ts'
import { probeClassifier } from '../../../kernel/probe.ts'
import { run } from '../../../kernel/run.ts'
import { getNadConfig, readManifest, ROOT } from '../../../lab/manifests.ts'
import { newLabNetns, type LabNetns } from '../../../lab/netns.ts'
import { newLabNode } from '../../../lab/node.ts'
import { writeJsonFile } from '../../../store/json-file.ts'
import { leavesNothing } from '../../nothing-left.ts'

const DOCUMENT = 'attachments/h6-c1@net1.json'

/** The commands of release 0.2.0, for a VM that wanted network data of its sidecar. */
async function plug({ run: runInside }: LabNetns): Promise<void> {
  const match = renderClassifier(await probeClassifier(run))
  const all = `
    ip tuntap add dev tap0 mode tap user 107 group 107
    ip link set dev tap0 addrgenmode none arp off multicast off
    ip link set dev tap0 mtu 1500
    ip link set dev tap0 alias "l2wire network-data"
    ip link set dev eth0 addrgenmode none arp off multicast off
    tc qdisc replace dev tap0 root noqueue
    tc qdisc replace dev tap0 clsact
    tc filter replace dev tap0 ingress pref 1 protocol all handle 1 ${match} action mirred egress redirect dev eth0
    tc qdisc replace dev eth0 clsact
    tc filter replace dev eth0 ingress pref 1 protocol all handle 1 ${match} action mirred egress redirect dev tap0
    ip link set dev tap0 up
    ip link set dev eth0 up`
  await runInside(['sh', '-euc', all])
}

describe('a tap of release 0.2.0 on a pod network', function () {
  this.timeout(90_000)
  leavesNothing()

  it('stays as it is through a start of the agent, passes CHECK and goes with its DEL', async () => {
    await using node = await newLabNode()
    await using pod = await newLabNetns('launcher')
    await pod.run('ip link add name eth0 type veth peer name p0'.split(' '))
    await pod.run('ip address add 10.0.0.2/24 dev eth0'.split(' '))
    await pod.run('ip link set dev p0 up'.split(' '))
    await plug(pod)
    const look = async (): Promise<string> =>
      pod.run([
        'sh',
        '-euc',
        'ip -d link show; for at in ingress egress; do for dev in eth0 tap0; do tc filter show dev $dev $at; done; done',
      ])
    const before = await look()
    await node.stopAgent('SIGTERM')
    const text = await readFile(join(ROOT, 'test/fixtures/release-0.2.0', DOCUMENT), 'utf8')
    const written = JSON.parse(text) as TapAttachment
    const document = { ...written, netns: await openNetns(pod.path) }
    await writeJsonFile(join(node.stateDir, DOCUMENT), document)
    await node.startAgent()
    const nad = getNadConfig(await readManifest('deploy/base/binding-nad.yaml'))
    const bind = { ...nad, args: { cni: { logicNetworkName: 'default' } } }
    const { containerID, ifname } = written
    const call = { containerID, ifname, netns: pod.path }
    const checked = { ...bind, prevResult: {} }
    await node.mustCall(checked, { command: 'CHECK', ...call })
    // What the agent began at its start is done before it ends.
    await node.stopAgent('SIGTERM')
    expect(await look()).to.equal(before)
    await node.startAgent()
    await node.mustCall(bind, { command: 'DEL', ...call })
    expect(await pod.run(['ip', 'link', 'show'])).to.not.include('tap0')
    expect(await node.listDocuments()).to.deep.equal([])
  })
})
