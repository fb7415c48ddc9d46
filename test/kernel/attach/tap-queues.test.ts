// Taps for several queues: who may open them is the kernel's to say, and an agent makes one again as it was.
import { expect } from 'chai'
import { afterEach, beforeEach, describe, it } from 'mocha'

import { toPodLinkName, toTapName } from '../../../core/name.ts'
import { CommandError } from '../../../core/errors.ts'
import { getNadConfig, readManifest, type Manifest } from '../../../lab/manifests.ts'
import { newLabNetns, type LabNetns } from '../../../lab/netns.ts'
import { newLabNode, type LabNode } from '../../../lab/node.ts'
import { expectSoon } from '../../expect-soon.ts'
import { hasQueues } from '../../has-queues.ts'
import { leavesNothing } from '../../nothing-left.ts'

const NETWORK = 'ge0'
const POD_LINK = toPodLinkName(NETWORK)
const TAP = toTapName(POD_LINK)
const WIRE = { cniVersion: '1.1.0', name: 'w', type: 'l2wire' }

describe('a tap for several queues', function () {
  this.timeout(90_000)
  let node: LabNode
  let pod: LabNetns
  let bind: Manifest

  leavesNothing(async (made) => {
    node = made.use(await newLabNode())
    bind = {
      ...getNadConfig(await readManifest('deploy/base/binding-nad.yaml')),
      args: { cni: { logicNetworkName: NETWORK } },
    }
  })
  beforeEach(async () => {
    pod = await newLabNetns('launcher')
  })
  afterEach(async () => {
    await call('DEL', 'net1', bind)
    await call('DEL', POD_LINK, WIRE)
    await pod[Symbol.asyncDispose]()
  })

  const call = async (command: string, ifname: string, config: Manifest) =>
    node.call(config, { command, containerID: pod.name, netns: pod.path, ifname })
  const plug = async (multiQueue: boolean): Promise<void> => {
    for (const [ifname, config] of [
      [POD_LINK, WIRE],
      ['net1', { ...bind, multiQueue }],
    ] as const) {
      const { exitCode, stdout } = await call('ADD', ifname, config)
      expect(exitCode, stdout).to.equal(0)
    }
  }
  /** Opens the tap as QEMU does, and takes it away: "ip tuntap" does the first for the second. */
  const open = async (...queues: readonly string[]): Promise<string> => {
    try {
      await pod.run(['ip', 'tuntap', 'del', 'dev', TAP, 'mode', 'tap', ...queues])
      return 'opened'
    } catch (error) {
      if (!(error instanceof CommandError)) throw error
      return error.stderr.trim()
    }
  }

  for (const isMultiQueue of [true, false])
    it(`is ${isMultiQueue ? '' : 'not '}what one with multiQueue ${isMultiQueue} is, and opens as such alone`, async () => {
      await plug(isMultiQueue)
      expect(await hasQueues(pod, TAP)).to.equal(isMultiQueue)
      const qdiscs = await pod.run(['tc', 'qdisc', 'show', 'dev', TAP])
      expect(qdiscs.match(/^qdisc \w+/gm), qdiscs).to.deep.equal(['qdisc noqueue', 'qdisc clsact'])
      const check = await call('CHECK', 'net1', { ...bind, prevResult: {} })
      expect(check.exitCode, check.stdout).to.equal(0)
      const [right, wrong] = isMultiQueue ? [['multi_queue'], []] : [[], ['multi_queue']]
      expect(await open(...wrong)).to.include('Invalid argument')
      expect(await hasQueues(pod, TAP)).to.equal(isMultiQueue)
      expect(await open(...right)).to.equal('opened')
    })

  it('is made again for several queues when it goes along with its pod link', async () => {
    await plug(true)
    await pod.run(['ip', 'link', 'del', 'dev', TAP])
    await pod.run(['ip', 'link', 'del', 'dev', POD_LINK])
    await expectSoon('the tap is back', async () => (await hasQueues(pod, TAP)) !== undefined)
    expect(await hasQueues(pod, TAP)).to.equal(true)
    await expectSoon('all of it', async () => {
      const { exitCode } = await call('CHECK', 'net1', { ...bind, prevResult: {} })
      return exitCode === 0
    })
  })

  it('is missed by CHECK when somebody put one for a single queue in its place', async () => {
    await plug(true)
    await pod.run(['ip', 'link', 'del', 'dev', TAP])
    await pod.run(['ip', 'tuntap', 'add', 'dev', TAP, 'mode', 'tap'])
    await pod.run(['ip', 'link', 'set', 'dev', TAP, 'up'])
    await pod.run(['tc', 'qdisc', 'add', 'dev', TAP, 'clsact'])
    const redirect = ['action', 'mirred', 'egress', 'redirect', 'dev']
    const match = ['bpf', 'bytecode', '1,6 0 0 4294967295,', ...redirect, POD_LINK]
    await pod.run(['tc', 'filter', 'add', 'dev', TAP, 'ingress', 'protocol', 'all', ...match])
    await pod.run(['tc', 'filter', 'del', 'dev', POD_LINK, 'ingress'])
    const back = ['bpf', 'bytecode', '1,6 0 0 4294967295,', ...redirect, TAP]
    await pod.run(['tc', 'filter', 'add', 'dev', POD_LINK, 'ingress', 'protocol', 'all', ...back])
    const { output } = await call('CHECK', 'net1', { ...bind, prevResult: {} })
    expect(output).to.include({ code: 105 })
    expect(output?.['msg']).to.include('multi_queue is false, expected true')
  })
})
