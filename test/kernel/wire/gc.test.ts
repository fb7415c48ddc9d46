// GC: what the runtime knows no more goes, if it is of the network and the type it asks about.
import { expect } from 'chai'
import { afterEach, describe, it } from 'mocha'

import type { Manifest } from '../../../lab/manifests.ts'
import { newLabNetns, type LabNetns } from '../../../lab/netns.ts'
import { newLabNode, type LabNode } from '../../../lab/node.ts'
import { leavesNothing } from '../../nothing-left.ts'
import { CONFIG, toCall } from '../fixture-pods.ts'

const OTHER = { ...CONFIG, name: 'other' }
const BIND = {
  cniVersion: '1.1.0',
  name: 'w',
  type: 'l2wire-bind',
  args: { cni: { logicNetworkName: 'default' } },
}
const KEY = 'cni.dev/valid-attachments'

describe('GC', function () {
  this.timeout(90_000)
  let node: LabNode
  let a: LabNetns
  let b: LabNetns

  leavesNothing(async (made) => {
    node = made.use(await newLabNode())
    a = made.use(await newLabNetns('a'))
    b = made.use(await newLabNetns('b'))
    await add(CONFIG, a, 'c1', 'eth0')
    await add(OTHER, a, 'c1', 'eth1')
    await add(BIND, a, 'c1', 'net1')
    await add(CONFIG, b, 'c2', 'eth1')
    made.defer(async () => {
      for (const [config, ifname, id] of [
        [BIND, 'net1', 'c1'],
        [OTHER, 'eth1', 'c1'],
        [CONFIG, 'eth0', 'c1'],
        [CONFIG, 'eth1', 'c2'],
      ] as const)
        await node.mustCall(config, toCall('DEL', a, id, ifname))
      expect(await node.listDocuments()).to.deep.equal([])
    })
  })
  afterEach('a GC of nothing changes nothing', async () => {
    const before = await node.listDocuments()
    await collect({ ...CONFIG, name: 'nobody' }, [])
    expect(await node.listDocuments()).to.deep.equal(before)
  })

  const add = async (
    config: Manifest,
    netns: LabNetns,
    id: string,
    ifname: string,
  ): Promise<Manifest> => node.mustCall(config, toCall('ADD', netns, id, ifname))
  const collect = async (config: Manifest, valid?: readonly string[]): Promise<void> => {
    const list = valid?.map((key) => {
      const [containerID, ifname] = key.split('@')
      return { containerID, ifname }
    })
    const more = list === undefined ? {} : { [KEY]: list }
    expect(await node.mustCall({ ...config, ...more }, { command: 'GC' })).to.deep.equal({})
  }
  const listAttachments = async (): Promise<readonly string[]> =>
    (await node.listDocuments()).filter((file) => file.includes('@'))
  const ALL = ['c1@eth0.json', 'c1@eth1.json', 'c1@net1.json', 'c2@eth1.json']

  it('leaves what is listed, and all where there is no list', async () => {
    await collect(CONFIG, ['c1@eth0', 'c2@eth1', 'c7@eth1'])
    await collect(CONFIG)
    expect(await listAttachments()).to.deep.equal(ALL)
  })

  it('refuses a list it cannot read, and leaves all', async () => {
    const answer = await node.call({ ...CONFIG, [KEY]: ['c1'] }, { command: 'GC' })
    expect(answer.output).to.include({ code: 7 })
    expect(await listAttachments()).to.deep.equal(ALL)
  })

  it('takes what is not listed, and nothing of another network or type', async () => {
    await collect(CONFIG, ['c1@eth0'])
    expect(await node.listDocuments()).to.deep.equal([
      'lab.other.json',
      'lab.w.json',
      'c1@eth0.json',
      'c1@eth1.json',
      'c1@net1.json',
    ])
    expect(await b.run(['ip', '-br', 'link', 'show'])).to.not.include('eth1')
    const far = await a.run(['ip', '-br', 'link', 'show', 'dev', 'eth0'])
    expect(far, 'its far end stays, without carrier').to.not.include('LOWER_UP')
    await add(CONFIG, b, 'c2', 'eth1')
    const again = await a.run(['ip', '-br', 'link', 'show', 'dev', 'eth0'])
    expect(again).to.include('LOWER_UP')
  })

  it('of a binding takes its taps alone', async () => {
    await collect(BIND, [])
    expect(await listAttachments()).to.deep.equal(ALL.filter((file) => file !== 'c1@net1.json'))
    expect(await a.run(['ip', '-br', 'link', 'show'])).to.not.include('tap0')
    await add(BIND, a, 'c1', 'net1')
  })

  it('takes what its sandbox is gone of', async () => {
    const gone = await newLabNetns('gone')
    await add(OTHER, gone, 'c5', 'eth1')
    await gone[Symbol.asyncDispose]()
    await collect(OTHER, ['c1@eth1'])
    expect(await listAttachments()).to.deep.equal(ALL)
  })

  it('with ten thousand attachments that are valid', async () => {
    const many = Array.from({ length: 10_000 }, (_, at) => `${'f'.repeat(60)}${at}@eth1`)
    await collect(CONFIG, [...many, 'c1@eth0', 'c2@eth1'])
    expect(await listAttachments()).to.deep.equal(ALL)
    await collect(OTHER, [...many, 'c1@eth1'])
    expect(await listAttachments()).to.deep.equal(ALL)
  })
})
