// What every WireStore must do, whatever keeps the wires: the same rows run on a folder and on a real
// Kubernetes API server.
import { expect } from 'chai'
import { afterEach, beforeEach, describe, it } from 'mocha'

import { CniError } from '../../core/errors.ts'
import { claimEnd, releaseEnd } from '../../core/wire/ends.ts'
import {
  closeTunnel,
  openTunnel,
  reportWire,
  toWireKey,
  type EndClaim,
  type WireId,
} from '../../core/wire/wire.ts'
import { summarizeWire } from '../../core/wire/summary.ts'
import type { WireStore } from '../../store/wire-store.ts'
import { expectSoon } from '../expect-soon.ts'

/** A place for wires, empty; each store that is opened on it is another process as far as it knows. */
export interface StorePlace extends AsyncDisposable {
  readonly namespace: string
  /** Opened for a node where one is named. */
  readonly open: (node?: string) => WireStore
}

export function newClaim(holder: string, more: Partial<EndClaim> = {}): EndClaim {
  return {
    holder,
    containerID: `c-${holder.replace('/', '-')}`,
    ifname: 'eth1',
    node: 'n1',
    address: '192.0.2.1',
    mtuBytes: 1500,
    pod: undefined,
    isUp: true,
    ...more,
  }
}

const RANGE = { first: 100, last: 109 }

const fail = (error: unknown): never => {
  throw error
}

async function codeOf(action: Promise<unknown>): Promise<unknown> {
  return action.then(
    () => 'done',
    (error: unknown) => (error instanceof CniError ? error.code : error),
  )
}

export function describeWireStore(name: string, newPlace: () => Promise<StorePlace>): void {
  describe(`${name}, as a WireStore`, () => {
    let place: StorePlace
    let store: WireStore
    let id: WireId

    beforeEach(async () => {
      place = await newPlace()
      store = place.open()
      id = { namespace: place.namespace, name: 'r1-r2' }
    })
    afterEach(async () => place[Symbol.asyncDispose]())

    const claim = async (holder: string, more: Partial<EndClaim> = {}): Promise<unknown> =>
      store.update(id, (wire) => claimEnd(wire, id, newClaim(holder, more)))

    it('can be reached', async () => {
      await store.probe()
    })

    it('proves that it takes a document, to many who ask at once', async () => {
      await Promise.all(Array.from({ length: 20 }, async () => store.prove()))
    })

    it('keeps a wire while it has an end, with all that is in it', async () => {
      expect(await store.read(id)).to.equal(undefined)
      expect(await store.list(fail)).to.deep.equal([])
      await claim('vm/r1', { pod: 'virt-launcher-r1-x' })
      await claim('pod/h1', { node: 'n2', address: '2001:db8::2', mtuBytes: 9000 })
      const wire = await store.update(id, (old) => openTunnel(old, 'n2', 4711))
      expect(await store.read(id)).to.deep.equal(wire)
      expect(wire).to.include({ vni: 4711, name: 'r1-r2', namespace: place.namespace })
      expect(wire?.ends[0]).to.include({ holder: 'vm/r1', pod: 'virt-launcher-r1-x' })
      expect(wire?.ends[1]).to.include({ node: 'n2', address: '2001:db8::2', mtuBytes: 9000 })
      expect(await store.list(fail)).to.deep.equal([wire])
      for (const holder of ['vm/r1', 'pod/h1'])
        await store.update(id, (old) => releaseEnd(old, newClaim(holder)))
      expect(await store.read(id)).to.deep.include({ ends: [], vni: 4711 })
      await store.update(id, (old) => closeTunnel(old, 'n2'))
      expect(await store.read(id)).to.equal(undefined)
      expect(await store.list(fail)).to.deep.equal([])
    })

    it('keeps what nodes report, until they have nothing of the wire any more', async () => {
      await claim('vm/r1')
      await claim('pod/h1', { node: 'n2' })
      const wire = await store.read(id)
      const ends = wire?.ends.map((end) => `${end.containerID}@${end.ifname}`).sort() ?? []
      for (const node of ['n1', 'n2'])
        await store.update(id, (old) => reportWire(old, { node, state: 'joined', ends }))
      const reported = await store.read(id)
      expect(reported?.reports).to.have.length(2)
      expect(reported === undefined ? '' : summarizeWire(reported).state).to.equal('Connected')
      const message = 'no route'
      await store.update(id, (old) =>
        reportWire(old, { node: 'n2', state: 'failed', ends, message }),
      )
      expect((await store.read(id))?.reports.find(({ node }) => node === 'n2')).to.deep.include({
        state: 'failed',
        message,
      })
      await store.update(id, (old) => releaseEnd(old, newClaim('pod/h1')))
      expect((await store.read(id))?.reports.map(({ node }) => node)).to.deep.equal(['n1'])
    })

    it('keeps wires whose names Kubernetes would not take for an object apart', async () => {
      const names = ['A', 'a', 'r1_r2', 'r1.r2', 'r1-r2', 'R1.', 'x'.repeat(128)]
      for (const wireName of names) {
        const other = { ...id, name: wireName }
        await store.update(other, (wire) => claimEnd(wire, other, newClaim(`pod/${wireName}`)))
      }
      for (const wireName of names) {
        const wire = await store.read({ ...id, name: wireName })
        expect(wire?.name).to.equal(wireName)
        expect(wire?.ends.map(({ holder }) => holder)).to.deep.equal([`pod/${wireName}`])
      }
      expect(await store.list(fail)).to.have.length(names.length)
    })

    it('an error of the change comes out, and nothing is changed or locked', async () => {
      await claim('vm/r1')
      const before = await store.read(id)
      const failing = store.update(id, () => {
        throw new Error('no')
      })
      expect(await failing.then(String, String)).to.equal('Error: no')
      expect(await store.read(id)).to.deep.equal(before)
      await claim('pod/h1')
      expect((await store.read(id))?.ends).to.have.length(2)
    })

    it('gives the ends to two of thirty that claim at once, through six openings', async () => {
      const stores = Array.from({ length: 6 }, () => place.open())
      const codes = await Promise.all(
        stores.flatMap((one, at) =>
          ['a', 'b', 'c', 'd', 'e'].map(async (word) =>
            codeOf(one.update(id, (wire) => claimEnd(wire, id, newClaim(`pod/${word}${at}`)))),
          ),
        ),
      )
      expect(codes.filter((code) => code === 'done')).to.have.length(2)
      expect(codes.filter((code) => code === 101)).to.have.length(28)
      expect((await store.read(id))?.ends).to.have.length(2)
    })

    it('loses no claim when ends come and go at once', async () => {
      const [one, other] = [place.open(), place.open()]
      for (let round = 0; round < 5; round += 1) {
        await Promise.all([
          one.update(id, (wire) => claimEnd(wire, id, newClaim('vm/r1'))),
          other.update(id, (wire) => claimEnd(wire, id, newClaim('pod/h1'))),
        ])
        expect((await store.read(id))?.ends).to.have.length(2)
        await Promise.all([
          one.update(id, (wire) => releaseEnd(wire, newClaim('vm/r1'))),
          other.update(id, (wire) => releaseEnd(wire, newClaim('pod/h1'))),
        ])
        expect(await store.read(id)).to.equal(undefined)
      }
    })

    it('gives each VNI once, gives it again when it is released, and says when there is none', async () => {
      const openings = [place.open(), place.open()]
      const claims = await Promise.all(
        Array.from({ length: 10 }, async (_, at) =>
          (openings[at % 2] ?? store).claimVni({ ...id, name: `w${at}` }, RANGE, undefined),
        ),
      )
      expect(claims).to.have.members([100, 101, 102, 103, 104, 105, 106, 107, 108, 109])
      expect(await codeOf(store.claimVni(id, RANGE, undefined))).to.equal(107)
      expect(await codeOf(store.claimVni(id, RANGE, 103))).to.equal(108)
      const holder = { ...id, name: `w${claims.indexOf(103)}` }
      await store.releaseVni(103, holder)
      await store.releaseVni(103, holder)
      expect(await store.claimVni(id, RANGE, undefined)).to.equal(103)
      await store.releaseVni(103, id)
      expect(await store.claimVni(id, RANGE, 103)).to.equal(103)
    })

    it('takes a VNI over that the same wire has claimed before, and no other wire can', async () => {
      const vni = await store.claimVni(id, RANGE, undefined)
      expect(await place.open().claimVni(id, RANGE, vni)).to.equal(vni)
      expect(await store.listVnis()).to.have.length(1)
      const other = { ...id, name: 'other' }
      const has = async (): Promise<readonly boolean[]> =>
        Promise.all([store.hasVni(vni, id), store.hasVni(vni, other)])
      expect(await has()).to.deep.equal([true, false])
      const refused: unknown = await store
        .claimVni(other, RANGE, vni)
        .catch((error: unknown) => error)
      expect(refused).to.be.instanceOf(CniError).with.property('code', 108)
      expect(String(refused)).to.include(`wire "${toWireKey(id)}" has it`)
      await store.releaseVni(vni, id)
      expect(await has()).to.deep.equal([false, false])
    })

    it('draws VNIs that do not follow from the names of their wires', async () => {
      const wide = { first: 1, last: 0xff_ffff }
      const drawn = new Set<number>()
      for (let times = 0; times < 5; times += 1) {
        const vni = await store.claimVni(id, wide, undefined)
        drawn.add(vni)
        await store.releaseVni(vni, id)
      }
      expect(drawn).to.have.property('size', 5)
    })

    it("gives each who claims for one wire at once a VNI that is the wire's", async () => {
      const vnis = await Promise.all(
        Array.from({ length: 6 }, async () => place.open().claimVni(id, RANGE, undefined)),
      )
      const claims = await store.listVnis()
      expect(claims.map(({ vni }) => vni)).to.have.members([...new Set(vnis)])
      expect(claims.map(({ wire }) => toWireKey(wire))).to.deep.equal(
        claims.map(() => toWireKey(id)),
      )
    })

    it('keeps a VNI that is released for another wire than its own', async () => {
      await store.claimVni(id, RANGE, 105)
      await store.releaseVni(105, { ...id, name: 'other' })
      expect((await store.listVnis()).map(({ vni }) => vni)).to.deep.equal([105])
      expect(await codeOf(store.claimVni({ ...id, name: 'other' }, RANGE, 105))).to.equal(108)
      await Promise.all([1, 2, 3].map(async () => store.releaseVni(105, id)))
      expect(await store.listVnis()).to.deep.equal([])
    })

    it('lists VNIs with whom they are for, and since when', async () => {
      expect(await store.listVnis()).to.deep.equal([])
      const before = Date.now()
      await store.claimVni(id, RANGE, 101)
      await store.claimVni({ ...id, name: 'r1.r3' }, RANGE, 102)
      const claims = [...(await store.listVnis())].sort((a, b) => a.vni - b.vni)
      expect(claims.map(({ vni, wire }) => [vni, wire])).to.deep.equal([
        [101, id],
        [102, { ...id, name: 'r1.r3' }],
      ])
      // Kubernetes counts whole seconds.
      for (const { sinceMs } of claims)
        expect(sinceMs).to.be.within(before - 1000, Date.now() + 1000)
    })

    it("tells of every wire that somebody else writes or removes, and of a node's own only", async () => {
      // Of a cluster that others use, too, these nodes are nobody else's.
      const [n1, n2] = ['n1', 'n2'].map((name) => `${name}-of-${place.namespace}`)
      const [mine, other] = [place.open(n1), place.open(n2)]
      const near = newClaim('vm/r1', { node: n1 ?? '' })
      const far = newClaim('pod/h1', { node: n2 ?? '' })
      const seen: string[] = []
      using watching = await mine.watch((changed) => seen.push(toWireKey(changed)), fail)
      const untilSeen = async (count: number, what: string): Promise<void> =>
        expectSoon(`${what} is seen`, () => seen.length >= count)
      void watching
      await mine.update(id, (wire) => claimEnd(wire, id, near))
      const own = seen.length
      await other.update(id, (wire) => claimEnd(wire, id, far))
      await untilSeen(own + 1, 'a claim')
      expect((await mine.read(id))?.ends).to.have.length(2)
      const afterClaim = seen.length
      await other.update(id, (wire) => releaseEnd(wire, far))
      await untilSeen(afterClaim + 1, 'a release')
      expect((await mine.read(id))?.ends).to.have.length(1)
      const afterRelease = seen.length
      await other.update(id, (wire) => releaseEnd(wire, near))
      await untilSeen(afterRelease + 1, 'a removal')
      expect(await mine.read(id)).to.equal(undefined)
      expect(new Set(seen)).to.deep.equal(new Set([toWireKey(id)]))
    })
  })
}
