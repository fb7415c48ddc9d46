// The node behind the wall: tunnels, agents that were away, a reboot, what nobody has any more.
import { utimes } from 'node:fs/promises'
import { setTimeout as sleep } from 'node:timers/promises'

import { expect } from 'chai'
import { before, describe, it } from 'mocha'

import type { ClusterNode, LabCluster } from '../../../lab/cluster.ts'
import { newCountedFrames } from '../../../lab/counted-frames.ts'
import { newLabNetns, type LabNetns } from '../../../lab/netns.ts'
import type { WireStore } from '../../../store/wire-store.ts'
import { expectSoon } from '../../expect-soon.ts'
import { startListening } from '../../listening.ts'
import {
  checkOften,
  expectPassing,
  hasCarrier,
  ID,
  isPassing,
  plug,
  setOwner,
  toStation,
  TUNNEL,
  unplug,
  useWall,
  type End,
} from '../fixture-wall.ts'

describe('a node with cables in the wall', function () {
  this.timeout(90_000)
  const getWall = useWall()
  let cluster: LabCluster
  let store: WireStore
  let n1: ClusterNode
  let n2: ClusterNode
  let spaces: readonly [LabNetns, LabNetns]

  before(() => {
    ;({ cluster, store, n1, n2, spaces } = getWall())
  })

  describe('a tunnel', () => {
    let a: End
    let b: End

    before(() => {
      a = { on: n1, netns: spaces[0], pod: 'h1' }
      b = { on: n2, netns: spaces[1], pod: 'h2' }
    })

    const damages: readonly {
      name: string
      argv: readonly string[]
      isSilent?: true
    }[] = [
      { name: 'deleted', argv: ['ip', 'link', 'del', 'dev', TUNNEL] },
      { name: 'set down', argv: ['ip', 'link', 'set', 'dev', TUNNEL, 'down'] },
      { name: 'without its redirect', argv: ['tc', 'qdisc', 'del', 'dev', TUNNEL, 'clsact'] },
      {
        name: 'whose peer is forbidden',
        argv: ['nft', 'flush', 'set', 'inet', 'l2wire', 'peers4'],
        isSilent: true,
      },
      { name: 'without the table', argv: ['nft', 'flush', 'ruleset'], isSilent: true },
    ]
    for (const { name, argv, isSilent } of damages)
      it(`${name} is mended`, async () => {
        await using _ = isSilent ? await checkOften(n1) : undefined
        await plug(a)
        await plug(b)
        await expectSoon('joined', async () => (await hasCarrier(a)) && hasCarrier(b))
        await n1.netns.run(argv)
        await expectSoon('passing again', async () => isPassing(b, a))
        // Without a table nobody is kept out: that frames pass says nothing of it.
        await expectSoon('peers are let in', async () =>
          (await n1.netns.run(['nft', 'list', 'ruleset'])).includes('elements'),
        )
        await expectPassing(a, b)
        await unplug(a)
        await unplug(b)
      })

    it('is left alone by its agents, killed and started again in a stream', async () => {
      await plug(a)
      await plug(b)
      await expectSoon('joined', async () => (await hasCarrier(a)) && hasCarrier(b))
      await using capture = await startListening(b.netns.path, 'eth1')
      const frames = newCountedFrames(3000)
      const sending = toStation(a).send(frames)
      for (const { node } of [n1, n2]) {
        await node.stopAgent('SIGKILL')
        await node.startAgent()
        expect(node.readLog().split('"recovered"').at(-2)).to.include('"mended":0')
      }
      await sending
      expect((await capture.stopAfter(frames.length)).length).to.equal(frames.length)
      await unplug(a)
      await unplug(b)
    })

    it('is not sent into by a node that was away while its end moved', async () => {
      await plug(a)
      await plug(b)
      await expectSoon('joined', async () => (await hasCarrier(a)) && hasCarrier(b))
      await n2.node.stopAgent('SIGKILL')
      await using home = await newLabNetns('home', { ipv6: false })
      const moved = { on: n1, netns: home, pod: 'h2' }
      await plug(moved)
      await expectSoon('joined here', async () => (await hasCarrier(a)) && hasCarrier(moved))
      await expectPassing(a, moved)
      // Its half still leads into its tunnel, and nothing of that arrives.
      expect(await isPassing(b, a)).to.equal(false)
      await n2.node.startAgent()
      await expectSoon('released', async () => !(await hasCarrier(b)))
      expect(await n2.netns.run(['ip', '-br', 'link', 'show'])).to.not.include(TUNNEL)
      await expectPassing(a, moved)
      // Its sandbox lives, and the newer one goes.
      await unplug(moved)
      await expectSoon('joined again', async () => (await hasCarrier(a)) && hasCarrier(b))
      await expectPassing(a, b)
      await unplug(b)
      await unplug(a)
    })
  })

  it('an agent that was away sees what an owner did to an end that waits', async () => {
    const a: End = { on: n1, netns: spaces[0], pod: 'h1' }
    await plug(a)
    await n1.node.stopAgent('SIGKILL')
    await setOwner(a, 'down')
    await n1.node.startAgent()
    await expectSoon('down', async () => (await store.read(ID))?.ends[0]?.isUp === false)
    await unplug(a)
  })

  it('an agent that was away closes the door of a tunnel that somebody deleted', async () => {
    const a: End = { on: n1, netns: spaces[0], pod: 'h1' }
    const b: End = { on: n2, netns: spaces[1], pod: 'h2' }
    await plug(a)
    await plug(b)
    await expectSoon('joined', async () => (await hasCarrier(a)) && hasCarrier(b))
    await n2.node.stopAgent('SIGKILL')
    await n2.netns.run(['ip', 'link', 'del', 'dev', TUNNEL])
    await unplug(a)
    await n2.node.startAgent()
    const table = await n2.netns.run(['nft', 'list', 'table', 'inet', 'l2wire'])
    expect(table).to.not.include('elements')
    await unplug(b)
  })

  it('a node that was rebooted needs no hands', async () => {
    const a: End = { on: n1, netns: spaces[0], pod: 'h1' }
    const brief = [
      await newLabNetns('brief1', { ipv6: false }),
      await newLabNetns('brief2', { ipv6: false }),
    ] as const
    const b: End = { on: n2, netns: brief[0], pod: 'h2' }
    await plug(a)
    await plug(b)
    await plug({ on: n2, netns: brief[1], pod: 'h3' }, { name: 'other' })
    await expectSoon('joined', async () => (await hasCarrier(a)) && hasCarrier(b))
    // What a reboot leaves: the state directory and the store.
    await n2.node.stopAgent('SIGKILL')
    for (const netns of brief) await netns[Symbol.asyncDispose]()
    await n2.netns.run(['ip', 'link', 'del', 'dev', TUNNEL])
    await n2.netns.run(['nft', 'flush', 'ruleset'])
    await n2.node.startAgent()
    await expectSoon('a has no carrier', async () => !(await hasCarrier(a)))
    await expectSoon('no VNI', async () => (await cluster.listStore()).join() === 'lab.w.json')
    expect((await n2.node.listDocuments()).filter((file) => file.includes('@'))).to.deep.equal([])
    // The kubelet starts the pod again.
    const again = { on: n2, netns: spaces[1], pod: 'h2' }
    await plug(again)
    await expectSoon('joined again', async () => (await hasCarrier(a)) && hasCarrier(again))
    await expectPassing(a, again)
    await unplug(again)
    await unplug(a)
  })

  it('a flushed ruleset is made again at once, with its peers', async () => {
    const a: End = { on: n1, netns: spaces[0], pod: 'h1' }
    const b: End = { on: n2, netns: spaces[1], pod: 'h2' }
    await plug(a)
    await plug(b)
    await expectSoon('joined', async () => (await hasCarrier(a)) && hasCarrier(b))
    await n1.netns.run(['nft', 'flush', 'ruleset'])
    await expectSoon('table and peers', async () =>
      /fib saddr[^]*elements|elements[^]*fib saddr/.test(
        await n1.netns.run(['sh', '-c', 'nft list table inet l2wire 2>&1 || true']),
      ),
    )
    await expectPassing(a, b)
    await unplug(b)
    await unplug(a)
  })

  it('a VNI that no wire has is given back', async () => {
    await using _ = await checkOften(n1)
    const vni = await store.claimVni(
      { namespace: 'lab', name: 'gone' },
      { first: 9, last: 9 },
      undefined,
    )
    // Since long: a claim is made a moment before its wire says so.
    await utimes(`${cluster.storeFolder}/vni/${vni}`, 1, 1)
    await expectSoon('given back', async () => (await cluster.listStore()).length === 0)
  })

  describe('a wire whose VNI has become the one of another wire', () => {
    const OTHER = { namespace: 'lab', name: 'other' }
    let a: End
    let b: End
    let taken: number

    before(() => {
      a = { on: n1, netns: spaces[0], pod: 'h1' }
      b = { on: n2, netns: spaces[1], pod: 'h2' }
    })
    const isAnew = async (): Promise<boolean> => {
      const wire = await store.read(ID)
      if (wire?.vni === undefined || wire.vni === taken || wire.tunnelNodes.length < 2) return false
      const links = await Promise.all(
        [n1, n2].map(async ({ netns }) => netns.run(['ip', '-d', 'link', 'show'])),
      )
      return links.every((said) => said.includes(`vxlan id ${wire.vni} `))
    }
    const expectAnew = async (): Promise<void> => {
      await expectSoon('both nodes have a new VNI', isAnew)
      await expectPassing(a, b)
      await expectPassing(b, a)
      const vni = (await store.read(ID))?.vni
      const claims = async (): Promise<readonly (readonly [number, string])[]> =>
        (await store.listVnis()).map((one) => [one.vni, one.wire.name] as const)
      await expectSoon('one claim for each', async () => (await claims()).length === 2)
      expect(await claims()).to.have.deep.members([
        [taken, 'other'],
        [vni, 'w'],
      ])
      await unplug(a)
      await unplug(b)
      await store.releaseVni(taken, OTHER)
    }
    const plugBoth = async (): Promise<void> => {
      await plug(a)
      await plug(b)
      await expectSoon('joined', async () => (await hasCarrier(a)) && hasCarrier(b))
      taken = (await store.read(ID))?.vni ?? 0
    }
    const takeItsVni = async (): Promise<void> => {
      await store.releaseVni(taken, ID)
      await store.claimVni(OTHER, { first: 1, last: 1 }, taken)
    }

    it('takes a new one at both nodes', async () => {
      await plugBoth()
      await takeItsVni()
      await using _ = await checkOften(n1)
      await expectAnew()
    })

    it('takes a new one when it comes back, deleted while its nodes were away', async () => {
      await plugBoth()
      for (const { node } of [n1, n2]) await node.stopAgent('SIGKILL')
      await store.update(ID, () => undefined)
      await takeItsVni()
      for (const { node } of [n1, n2]) await node.startAgent()
      await expectAnew()
    })

    it('says so where its configuration asks for that very one', async () => {
      taken = 4711
      await plug(a, { vni: taken })
      await plug(b, { vni: taken })
      await expectSoon('joined', async () => (await hasCarrier(a)) && hasCarrier(b))
      await takeItsVni()
      await using _ = await checkOften(n1)
      await expectSoon('told', () => n1.node.readLog().includes('Cannot use VNI 4711'))
      expect((await store.read(ID))?.vni).to.equal(taken)
      await expectPassing(a, b)
      await unplug(a)
      await unplug(b)
      await store.releaseVni(taken, OTHER)
    })
  })

  it('a wire that is deleted under its tunnels has its VNI again, and the claim of it', async () => {
    const a: End = { on: n1, netns: spaces[0], pod: 'h1' }
    const b: End = { on: n2, netns: spaces[1], pod: 'h2' }
    for (const vni of [undefined, 4711]) {
      await plug(a, vni === undefined ? {} : { vni })
      await plug(b, vni === undefined ? {} : { vni })
      await expectSoon('joined', async () => (await hasCarrier(a)) && hasCarrier(b))
      for (let times = 0; times < 5; times += 1) {
        await store.update(ID, () => undefined)
        await expectSoon(
          'two tunnels again',
          async () => (await store.read(ID))?.tunnelNodes.length === 2,
        )
        await expectPassing(a, b)
        const wire = await store.read(ID)
        await expectSoon('the one claim', async () => {
          const claims = await store.listVnis()
          return claims.length === 1 && claims[0]?.vni === wire?.vni
        })
      }
      await unplug(a)
      await unplug(b)
    }
  })

  it('what is not ours is not touched, whatever it is called', async () => {
    await using _ = await checkOften(n1)
    const a = { on: n1, netns: spaces[0], pod: 'h1' }
    const foreign = ['lw0123456789abc', 'lx0123456789abc']
    for (const name of foreign)
      await n1.netns.run([
        'ip',
        'link',
        'add',
        'name',
        name,
        'type',
        'veth',
        'peer',
        'name',
        `p${name.slice(0, 8)}`,
      ])
    await plug(a)
    await unplug(a)
    // Two looks at everything.
    await sleep(2_500)
    for (const name of foreign) await n1.netns.run(['ip', 'link', 'del', 'dev', name])
  })
})
