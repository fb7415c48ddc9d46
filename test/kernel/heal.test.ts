// A cable in the wall: what its owners, other tools or bad luck do to it is shown, or mended, within
// moments, and the ends that stay are never replaced.
import { utimes } from 'node:fs/promises'
import { setTimeout as sleep } from 'node:timers/promises'

import { expect } from 'chai'
import { after, afterEach, before, describe, it } from 'mocha'

import { toHostDeviceName, toTunnelDeviceName } from '../../core/name.ts'
import { setUnplugged } from '../../core/wire.ts'
import { newNetnsStation } from '../../kernel/netns-station.ts'
import { run } from '../../kernel/run.ts'
import type { Station } from '../../kernel/station.ts'
import { newLabCluster, type ClusterNode, type LabCluster } from '../../lab/cluster.ts'
import type { CniCall } from '../../lab/cni.ts'
import { newCountedFrames } from '../../lab/counted-frames.ts'
import { newLabNetns, type LabNetns } from '../../lab/netns.ts'
import { listTraces } from '../../lab/traces.ts'
import { newFileStore } from '../../store/file-store.ts'
import type { WireStore } from '../../store/wire-store.ts'
import { expectSoon } from '../expect-soon.ts'

const CONFIG = { cniVersion: '1.1.0', name: 'w', type: 'l2wire' }
const ID = { namespace: 'lab', name: 'w' }
const TUNNEL = toTunnelDeviceName('lab/w')

interface End {
  readonly on: ClusterNode
  readonly netns: LabNetns
  readonly pod: string
}

function toCall(command: string, { netns, pod }: End): CniCall {
  return {
    command,
    containerID: `${pod}-${netns.name}`,
    netns: netns.path,
    ifname: 'eth1',
    args: `K8S_POD_NAMESPACE=lab;K8S_POD_NAME=${pod}`,
  }
}

function toHostEnd({ netns, pod }: End): string {
  return toHostDeviceName(`${pod}-${netns.name}`, 'eth1')
}

async function plug(end: End, more: object = {}): Promise<void> {
  await end.on.node.mustCall({ ...CONFIG, ...more }, toCall('ADD', end))
}

async function unplug(end: End): Promise<void> {
  await end.on.node.mustCall(CONFIG, toCall('DEL', end))
}

async function hasCarrier({ netns }: End): Promise<boolean> {
  return (await netns.run(['ip', '-br', 'link', 'show'])).match(/^eth1\S* .*LOWER_UP/m) !== null
}

async function setOwner({ netns }: End, state: 'up' | 'down'): Promise<void> {
  await netns.run(['ip', 'link', 'set', 'dev', 'eth1', state])
}

function toStation({ netns, pod }: End): Station {
  return newNetnsStation(run, { label: pod, netns: netns.path, ifname: 'eth1' })
}

/** MAC and flags. */
async function readLink({ netns }: End): Promise<string> {
  const line = await netns.run(['ip', '-br', 'link', 'show', 'dev', 'eth1'])
  return line.split(/\s+/).slice(2).join(' ')
}

/** The number the kernel gave the interface: another one is another interface. */
async function readIfindex({ netns }: End): Promise<string> {
  return (await netns.run(['ip', '-o', 'link', 'show', 'dev', 'eth1'])).split('@')[0] ?? ''
}

async function isPassing(from: End, to: End): Promise<boolean> {
  await using capture = await toStation(to).startCapture()
  const frames = newCountedFrames(3)
  await toStation(from).send(frames)
  await sleep(100)
  return (await capture.stop()).length === frames.length
}

async function expectPassing(from: End, to: End): Promise<void> {
  await expectSoon(`${from.pod} reaches ${to.pod}`, async () => isPassing(from, to))
}

/** An agent that looks at everything once a second, for what no event tells; disposed, it is as before. */
async function checkOften({ node }: ClusterNode): Promise<AsyncDisposable> {
  await node.stopAgent('SIGTERM')
  await node.startAgent(['--check-seconds', '1'])
  return {
    [Symbol.asyncDispose]: async () => {
      await node.stopAgent('SIGTERM')
      await node.startAgent()
    },
  }
}

describe('a cable in the wall', function () {
  this.timeout(60_000)
  let cluster: LabCluster
  let store: WireStore
  let n1: ClusterNode
  let n2: ClusterNode
  let spaces: readonly [LabNetns, LabNetns]
  let traces: readonly string[]

  before(async () => {
    traces = await listTraces()
    // What events are to tell must not be found by looking at everything now and then.
    cluster = await newLabCluster({ more: ['--check-seconds', '3600'] })
    ;[n1, n2] = cluster.nodes as [ClusterNode, ClusterNode]
    store = newFileStore(n1.node.storeUrl.slice('file://'.length))
    spaces = [await newLabNetns('a'), await newLabNetns('b')]
  })
  after(async () => {
    for (const netns of spaces) await netns[Symbol.asyncDispose]()
    await cluster[Symbol.asyncDispose]()
    expect(await listTraces()).to.deep.equal(traces)
  })
  afterEach('leaves nothing', async () => {
    await expectSoon('store empty', async () => (await cluster.listStore()).length === 0)
    for (const { netns } of cluster.nodes) {
      const links = await netns.run(['ip', '-br', 'link', 'show'])
      expect(links).to.not.match(/^l[wx][0-9a-f]/m)
      const table = await netns.run(['nft', 'list', 'table', 'inet', 'l2wire'])
      expect(table).to.not.include('elements')
    }
  })

  const expectDownInStore = async (): Promise<void> =>
    expectSoon(
      'the wire says that an owner is down',
      async () => (await store.read(ID))?.ends.some(({ isUp }) => !isUp) === true,
    )

  for (const where of ['on one node', 'across nodes'] as const)
    describe(where, () => {
      let a: End
      let b: End

      before(() => {
        a = { on: n1, netns: spaces[0], pod: 'h1' }
        b = { on: where === 'on one node' ? n1 : n2, netns: spaces[1], pod: 'h2' }
      })

      const connect = async (): Promise<void> => {
        await plug(a)
        await plug(b)
        await expectConnected()
      }
      const disconnect = async (): Promise<void> => {
        await unplug(a)
        await unplug(b)
      }
      const expectConnected = async (): Promise<void> => {
        await expectSoon('both have carrier', async () => (await hasCarrier(a)) && hasCarrier(b))
        await expectPassing(a, b)
        await expectPassing(b, a)
      }

      it('shows each end that the other owner has its interface down, and up again', async () => {
        await connect()
        const before = await readIfindex(a)
        await setOwner(b, 'down')
        await expectSoon('a has no carrier', async () => !(await hasCarrier(a)))
        await expectDownInStore()
        await setOwner(a, 'down')
        await setOwner(b, 'up')
        await expectSoon('b has no carrier', async () => !(await hasCarrier(b)))
        await setOwner(a, 'up')
        await expectConnected()
        expect(await readIfindex(a)).to.equal(before)
        await disconnect()
      })

      it('shows an end that is plugged in later an owner who is down already', async () => {
        await plug(a)
        await setOwner(a, 'down')
        await expectDownInStore()
        await plug(b)
        await sleep(300)
        expect(await hasCarrier(b)).to.equal(false)
        await setOwner(a, 'up')
        await expectConnected()
        await disconnect()
      })

      it('can be taken out and put back, without touching a pod', async () => {
        await connect()
        const before = [await readIfindex(a), await readIfindex(b)]
        await store.update(ID, (wire) => setUnplugged(wire, ID, true))
        await expectSoon(
          'no carrier at either end',
          async () => !(await hasCarrier(a)) && !(await hasCarrier(b)),
        )
        // Whoever comes and goes at its ends: it stays out.
        await unplug(b)
        await plug(b)
        await sleep(300)
        expect(await hasCarrier(b)).to.equal(false)
        await store.update(ID, (wire) => setUnplugged(wire, ID, false))
        await expectConnected()
        expect(await readIfindex(a)).to.equal(before[0])
        await disconnect()
      })

      const damages: readonly { name: string; argv: (end: End) => readonly string[] }[] = [
        { name: 'host end deleted', argv: (end) => ['ip', 'link', 'del', 'dev', toHostEnd(end)] },
        {
          name: 'host end set down',
          argv: (end) => ['ip', 'link', 'set', 'dev', toHostEnd(end), 'down'],
        },
        {
          name: 'redirect deleted',
          argv: (end) => ['tc', 'filter', 'del', 'dev', toHostEnd(end), 'ingress', 'pref', '1'],
        },
        {
          name: 'qdisc deleted',
          argv: (end) => ['tc', 'qdisc', 'del', 'dev', toHostEnd(end), 'clsact'],
        },
      ]
      for (const { name, argv } of damages)
        it(`mends a ${name}`, async () => {
          await connect()
          await a.on.netns.run(argv(a))
          await expectConnected()
          await disconnect()
        })

      it('makes a deleted interface again as it was: MAC, MTU and addresses', async () => {
        const asked = {
          capabilities: { ips: true },
          runtimeConfig: { ips: ['10.9.0.1/24', 'fd00::1/64'] },
        }
        await plug(a, asked)
        await plug(b)
        await expectConnected()
        const read = async (): Promise<string> =>
          (await a.netns.run(['ip', '-o', 'address', 'show', 'dev', 'eth1'])).replaceAll(
            /^\d+: /gm,
            '',
          )
        const link = await readLink(a)
        const before = await read()
        expect(before).to.include('10.9.0.1/24').and.include('fd00::1/64')
        await a.netns.run(['ip', 'link', 'del', 'dev', 'eth1'])
        await expectSoon('it is back', async () =>
          (await a.netns.run(['ip', '-br', 'link', 'show'])).includes('eth1'),
        )
        await expectConnected()
        expect(await read()).to.equal(before)
        expect(await readLink(a)).to.equal(link)
        await disconnect()
      })

      it('finishes making an interface again that was cut off, addresses and all', async () => {
        await plug(a, {
          capabilities: { ips: true },
          runtimeConfig: { ips: ['10.9.0.1/24'] },
        })
        await plug(b)
        await expectConnected()
        // As an agent leaves it that is killed in the middle: devices, and nothing else.
        await a.on.node.stopAgent('SIGKILL')
        await a.on.netns.run(['ip', 'link', 'del', 'dev', toHostEnd(a)])
        const ends = [
          'eth1',
          'type',
          'veth',
          'peer',
          'name',
          toHostEnd(a),
          'netns',
          a.on.netns.path,
        ]
        await a.netns.run(['ip', 'link', 'add', 'name', ...ends])
        await a.on.node.startAgent()
        await expectConnected()
        expect(await a.netns.run(['ip', '-o', 'address', 'show', 'dev', 'eth1'])).to.include(
          '10.9.0.1/24',
        )
        await disconnect()
      })

      it('says so where an interface cannot be made again, and takes the carrier from the other end', async () => {
        await connect()
        await a.on.node.stopAgent('SIGKILL')
        await a.on.netns.run(['ip', 'link', 'del', 'dev', toHostEnd(a)])
        const foreign = ['eth1', 'type', 'veth', 'peer', 'name', 'p1']
        await a.netns.run(['ip', 'link', 'add', 'name', ...foreign])
        await a.on.node.startAgent()
        await expectSoon(
          'the report says so',
          async () =>
            (await store.read(ID))?.reports.some(
              ({ state, message }) => state === 'failed' && /File exists/.test(message ?? ''),
            ) === true,
        )
        if (where === 'on one node')
          await expectSoon('b has no carrier', async () => !(await hasCarrier(b)))
        await a.netns.run(['ip', 'link', 'del', 'dev', 'eth1'])
        await expectConnected()
        await disconnect()
      })

      it('claims anew what somebody emptied in the store', async () => {
        await connect()
        await store.update(ID, () => undefined)
        await expectSoon('claimed again', async () => (await store.read(ID))?.ends.length === 2)
        await expectConnected()
        await disconnect()
      })

      it('forgets a sandbox that went without a word, and frees its end', async () => {
        await plug(a)
        const brief = await newLabNetns('brief')
        await plug({ ...b, netns: brief })
        await expectSoon('a has carrier', async () => hasCarrier(a))
        await brief[Symbol.asyncDispose]()
        await expectSoon('its claim is gone', async () => (await store.read(ID))?.ends.length === 1)
        await expectSoon('a has no carrier', async () => !(await hasCarrier(a)))
        await plug({ ...b, pod: 'h3' })
        await expectConnected()
        await unplug({ ...b, pod: 'h3' })
        await unplug(a)
      })
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
      await using capture = await toStation(b).startCapture()
      const frames = newCountedFrames(3000)
      const sending = toStation(a).send(frames)
      for (const { node } of [n1, n2]) {
        await node.stopAgent('SIGKILL')
        await node.startAgent()
        expect(node.readLog().split('"recovered"').at(-2)).to.include('"mended":0')
      }
      await sending
      await sleep(300)
      expect((await capture.stop()).length).to.equal(frames.length)
      await unplug(a)
      await unplug(b)
    })

    it('is not sent into by a node that was away while its end moved', async () => {
      await plug(a)
      await plug(b)
      await expectSoon('joined', async () => (await hasCarrier(a)) && hasCarrier(b))
      await n2.node.stopAgent('SIGKILL')
      await using home = await newLabNetns('home')
      const moved = { on: n1, netns: home, pod: 'h2' }
      await plug(moved)
      await expectSoon('joined here', async () => (await hasCarrier(a)) && hasCarrier(moved))
      await expectPassing(a, moved)
      // Its half still leads into its tunnel, and nothing of that arrives.
      expect(await isPassing(b, a)).to.equal(false)
      await unplug(moved)
      await n2.node.startAgent()
      await expectSoon('released', async () => !(await hasCarrier(b)))
      expect(await n2.netns.run(['ip', '-br', 'link', 'show'])).to.not.include(TUNNEL)
      expect((await store.read(ID))?.ends.map(({ holder }) => holder)).to.deep.equal(['pod/h1'])
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
    const brief = [await newLabNetns('brief1'), await newLabNetns('brief2')] as const
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

  it('a VNI that no wire has is given back', async () => {
    await using _ = await checkOften(n1)
    const vni = await store.claimVni(
      { namespace: 'lab', name: 'gone' },
      { first: 9, last: 9 },
      undefined,
    )
    // Since long: a claim is made a moment before its wire says so.
    const file = `${n1.node.storeUrl.slice('file://'.length)}/vni/${vni}`
    await utimes(file, 1, 1)
    await expectSoon('given back', async () => (await cluster.listStore()).length === 0)
  })

  describe('what is not ours', () => {
    it('is not touched, whatever it is called', async () => {
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
})
