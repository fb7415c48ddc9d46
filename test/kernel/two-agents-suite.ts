// Two real agents with one node name, whatever keeps the wires: the newer one has it, the older one stands
// down without costing anybody a frame.
import { expect } from 'chai'
import { afterEach, beforeEach, describe, it } from 'mocha'

import { FRAME_ROWS } from '../../core/tester/frames.ts'
import { newNetnsStation } from '../../kernel/netns-station.ts'
import { run } from '../../kernel/run.ts'
import type { Station } from '../../kernel/station.ts'
import type { CniCall } from '../../lab/cni.ts'
import { newLabNetns, type LabNetns } from '../../lab/netns.ts'
import { newLabNode, type LabNode, type LabNodeOptions } from '../../lab/node.ts'
import { expectSoon } from '../expect-soon.ts'
import { expectTransparent } from '../expect-transparent.ts'

export interface SharedPlace extends AsyncDisposable {
  readonly namespace: string
  readonly options: LabNodeOptions
  /** All that is kept of a wire, as text. */
  readonly readWire: (name: string) => Promise<string>
}

const CONFIG = { cniVersion: '1.1.0', name: 'w', type: 'l2wire', mtu: 9216 }
const OTHER = { ...CONFIG, name: 'other' }

export function describeTwoAgents(name: string, newPlace: () => Promise<SharedPlace>): void {
  describe(`two agents with one node name, ${name}`, function () {
    this.timeout(90_000)
    let made: AsyncDisposableStack
    let place: SharedPlace
    let first: LabNode
    let second: LabNode
    let a: LabNetns
    let b: LabNetns
    let c: LabNetns

    beforeEach(async () => {
      made = new AsyncDisposableStack()
      place = made.use(await newPlace())
      for (const netns of ([a, b, c] = [
        await newLabNetns('a'),
        await newLabNetns('b'),
        await newLabNetns('c'),
      ]))
        made.use(netns)
      first = made.use(await newLabNode(place.options))
    })
    afterEach(async () => made.disposeAsync())

    const toCall = (command: string, netns: LabNetns): CniCall => ({
      command,
      containerID: netns.name,
      netns: netns.path,
      ifname: 'eth1',
      args: `K8S_POD_NAMESPACE=${place.namespace};K8S_POD_NAME=${netns.name}`,
    })
    const startSecond = async (): Promise<void> => {
      second = made.use(await newLabNode(place.options))
      await expectSoon('the first is told', () => isTold(first))
    }
    const getStatus = async (node: LabNode): Promise<unknown> =>
      (await node.call(CONFIG, { ...toCall('STATUS', a), containerID: '', ifname: '' })).output?.[
        'code'
      ]

    it('the older one plugs nothing in, unplugs, and leaves store and frames alone', async () => {
      for (const netns of [a, b]) await first.mustCall(CONFIG, toCall('ADD', netns))
      await startSecond()
      const [line = ''] = listTold(first)
      const { identity, holder } = JSON.parse(line) as Record<string, string>
      expect(identity).to.match(/_[0-9a-f-]{36}$/)
      expect(holder).to.match(/_[0-9a-f-]{36}$/)
      expect(holder).to.not.equal(identity)
      expect(line).to.include('--node-name')
      expect(listTold(second)).to.deep.equal([])
      expect(await getStatus(first)).to.equal(111)
      expect(await getStatus(second)).to.equal(undefined)
      const refused = await first.call(OTHER, toCall('ADD', c))
      expect(refused.output).to.include({ code: 111 })
      expect(refused.output?.['msg']).to.include(identity).and.include(holder)
      expect(await c.run(['ip', '-br', 'link', 'show'])).to.not.include('eth1')
      await expectTransparent(toStation(a), toStation(b), FRAME_ROWS.slice(0, 5))
      await second.mustCall(OTHER, toCall('ADD', c))
      const before = await place.readWire('w')
      await first.mustCall(CONFIG, toCall('DEL', a))
      await expectSoon('no carrier', async () =>
        (await b.run(['ip', '-br', 'link', 'show', 'dev', 'eth1'])).includes('NO-CARRIER'),
      )
      await first.mustCall(CONFIG, toCall('DEL', b))
      for (const netns of [a, b])
        expect(await netns.run(['ip', '-br', 'link', 'show'])).to.not.include('eth1')
      expect(await place.readWire('w')).to.equal(before)
      await second.mustCall(OTHER, toCall('DEL', c))
    })

    it('an agent that is started again takes nothing from itself, and all from another one', async () => {
      await first.stopAgent('SIGKILL')
      await first.startAgent()
      expect(listTold(first)).to.deep.equal([])
      await startSecond()
      await first.stopAgent('SIGTERM')
      await first.startAgent()
      await expectSoon('the second is told', () => isTold(second))
      expect(await getStatus(second)).to.equal(111)
      expect(await getStatus(first)).to.equal(undefined)
      await first.mustCall(CONFIG, toCall('ADD', a))
      await first.mustCall(CONFIG, toCall('DEL', a))
    })
  })
}

function listTold(node: LabNode): readonly string[] {
  return node
    .readLog()
    .split('\n')
    .filter((line) => line.includes("another agent has taken this node's name"))
}

function isTold(node: LabNode): boolean {
  return listTold(node).length > 0
}

function toStation(netns: LabNetns): Station {
  return newNetnsStation(run, { label: netns.name, netns: netns.path, ifname: 'eth1' })
}
