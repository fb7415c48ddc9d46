// A cable in the wall: what its owners, other tools or bad luck do to it is shown, or mended, within
// moments, and the ends that stay are never replaced.
import { setTimeout as sleep } from 'node:timers/promises'

import { expect } from 'chai'
import { before, describe, it } from 'mocha'

import { changeEnd } from '../../../core/wire/ends.ts'
import { setUnplugged } from '../../../core/wire/wire.ts'
import { newLabNetns } from '../../../lab/netns.ts'
import type { WireStore } from '../../../store/wire-store.ts'
import { expectSoon } from '../../expect-soon.ts'
import {
  expectPassing,
  hasCarrier,
  ID,
  plug,
  setOwner,
  toHostEnd,
  unplug,
  useWall,
  type End,
} from '../fixture-wall.ts'

/** MAC and flags. */
async function readLink({ netns }: End): Promise<string> {
  const line = await netns.run(['ip', '-br', 'link', 'show', 'dev', 'eth1'])
  return line.split(/\s+/).slice(2).join(' ')
}

/** The numbers of the host end's redirects: one that is set again has another. */
async function readRedirectNumbers(end: End): Promise<readonly string[]> {
  const argv = ['tc', '-s', 'filter', 'show', 'dev', toHostEnd(end), 'ingress']
  return [...(await end.on.netns.run(argv)).matchAll(/index (\d+)/g)].map(([, index = '']) => index)
}

/** The number the kernel gave the interface: another one is another interface. */
async function readIfindex({ netns }: End): Promise<string> {
  return (await netns.run(['ip', '-o', 'link', 'show', 'dev', 'eth1'])).split('@')[0] ?? ''
}

describe('a cable in the wall', function () {
  this.timeout(90_000)
  const getWall = useWall()
  let store: WireStore

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
        const { n1, n2, spaces } = getWall()
        store = getWall().store
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

      it('does not set again what leads where it should', async () => {
        await connect()
        const before = await readRedirectNumbers(a)
        expect(before).to.have.length(1)
        await setOwner(b, 'down')
        await expectSoon('a has no carrier', async () => !(await hasCarrier(a)))
        await setOwner(b, 'up')
        await expectConnected()
        expect(await readRedirectNumbers(a)).to.deep.equal(before)
        await disconnect()
      })

      it('does not set again what an earlier agent has set', async () => {
        await connect()
        const before = await readRedirectNumbers(a)
        expect(before).to.have.length(1)
        await a.on.node.stopAgent('SIGTERM')
        await a.on.node.startAgent()
        const isUp = async (): Promise<boolean> =>
          (await store.read(ID))?.ends.every((end) => end.isUp) ?? false
        await expectSoon('the owners are up', isUp)
        // What is wrong in the store is looked at, and put right.
        await store.update(ID, (wire) =>
          (wire?.ends ?? []).reduce((so, end) => changeEnd(so, end, { isUp: false }), wire),
        )
        await expectSoon('the owners are up again', isUp)
        await expectConnected()
        expect(await readRedirectNumbers(a)).to.deep.equal(before)
        await disconnect()
      })

      it('ends with carrier where it is looked at while an owner has its interface down for a moment', async () => {
        await connect()
        const { netns } = a.on
        const dip = 'ip link set dev eth1 down; sleep 0.08; ip link set dev eth1 up'
        for (const afterMs of [50, 70, 90, 110]) {
          // A look comes a tenth of a second behind this, once there was none for a second.
          await sleep(1_100)
          await netns.run(['tc', 'filter', 'del', 'dev', toHostEnd(a), 'ingress', 'pref', '1'])
          await sleep(afterMs)
          await b.netns.run(['sh', '-euc', dip])
          await expectConnected()
        }
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
        // The kernel takes its time to find its own link-local address unused.
        const read = async (): Promise<string> =>
          (await a.netns.run(['ip', '-o', 'address', 'show', 'dev', 'eth1'])).replaceAll(
            /^\d+: | tentative/gm,
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
        const brief = await newLabNetns('brief', { ipv6: false })
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
})
