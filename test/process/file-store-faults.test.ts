// The file store where documents are not what they should be, and where there is no room for them.
import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { expect } from 'chai'
import { afterEach, beforeEach, describe, it } from 'mocha'

import { CniError, DecodeError } from '../../core/errors.ts'
import { claimEnd, releaseEnd } from '../../core/wire/ends.ts'
import type { Wire, WireId } from '../../core/wire/wire.ts'
import { newSmallDisk, type SmallDisk } from '../../lab/small-disk.ts'
import { newFileStore } from '../../store/file-store.ts'
import { withFileLock } from '../../store/file-lock.ts'
import type { WireStore } from '../../store/wire-store.ts'
import { expectSoon } from '../expect-soon.ts'
import { newClaim } from './wire-store-suite.ts'

const W = { namespace: 'lab', name: 'w' }
const V = { namespace: 'lab', name: 'v' }

async function plug(store: WireStore, id: WireId, holder = 'vm/r1'): Promise<Wire | undefined> {
  return store.update(id, (wire) => claimEnd(wire, id, newClaim(holder)))
}

describe('the file store, with a document it cannot read', () => {
  let folder: string
  let store: WireStore

  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'l2w-store-'))
    store = newFileStore(folder)
  })
  afterEach(async () => {
    await rm(folder, { recursive: true, force: true })
  })

  const texts = [
    { name: 'of a newer version', text: '{"version":2,"namespace":"lab","name":"w","cable":{}}' },
    { name: 'cut off in the middle', text: '{"version":1,"namespace":"lab","na' },
    { name: 'of no length', text: '' },
  ]
  for (const { name, text } of texts)
    it(`${name}: it is named, and all other wires work`, async () => {
      const heard: string[] = []
      using watching = await store.watch(
        (id) => heard.push(id.name),
        (error) => {
          throw error
        },
      )
      void watching
      await writeFile(join(folder, 'lab.w.json'), text)
      await plug(store, V)
      await plug(store, V, 'pod/h1')
      await expectSoon('heard of', () => heard.includes('v'))
      const unreadable: unknown[] = []
      expect(await store.list((error) => unreadable.push(error))).to.have.length(1)
      expect(unreadable).to.have.length(1)
      const refusals = [async () => store.read(W), async () => plug(store, W)]
      const errors = await Promise.all(
        refusals.map(async (refused) => refused().then(String, (error: unknown) => error)),
      )
      for (const error of [...errors, ...unreadable])
        expect(error)
          .to.be.instanceOf(DecodeError)
          .with.property('message')
          .that.includes(join(folder, 'lab.w.json'))
      await store.update(V, (wire) => releaseEnd(wire, newClaim('vm/r1')))
      // Mended, or taken away, it works again.
      await rm(join(folder, 'lab.w.json'))
      await plug(store, W)
    })
})

describe('the file store, on a full disk', () => {
  let disk: SmallDisk
  let store: WireStore

  beforeEach(async () => {
    disk = await newSmallDisk()
    store = newFileStore(join(disk.folder, 'wires'))
  })
  afterEach(async () => disk[Symbol.asyncDispose]())

  const expectNoRoom = async (action: Promise<unknown>): Promise<void> => {
    const error: unknown = await action.then(String, (thrown: unknown) => thrown)
    expect(error).to.be.instanceOf(CniError).with.property('code', 5)
    expect((error as Error).message).to.match(/^Cannot write ".*\/wires\b.*": .* said ENOSPC$/)
    expect(error).to.have.property('message').that.includes(disk.folder)
  }

  it('refuses what it has no room for, keeps what it has, and goes on when there is room', async () => {
    await plug(store, W)
    await plug(store, W, 'pod/h1')
    const vni = await store.claimVni(W, { first: 100, last: 200 }, undefined)
    const before = await store.read(W)
    const list = async (): Promise<readonly string[]> =>
      (await readdir(join(disk.folder, 'wires'), { recursive: true })).sort()
    const files = await list()
    await disk.fill()
    await expectNoRoom(plug(store, V))
    await expectNoRoom(plug(store, W, 'vm/r1').then(async () => plug(store, V, 'vm/r2')))
    await expectNoRoom(store.claimVni(V, { first: 100, last: 200 }, undefined))
    expect(await list()).to.deep.equal(files)
    expect(await store.read(W)).to.deep.equal(before)
    expect((await store.listVnis()).map((claim) => claim.vni)).to.deep.equal([vni])
    // What changes nothing asks for no room.
    expect(await store.update(V, (wire) => releaseEnd(wire, newClaim('vm/r1')))).to.equal(undefined)
    await disk.empty()
    await plug(store, V)
    await store.claimVni(V, { first: 100, last: 200 }, undefined)
    expect(await store.listVnis()).to.have.length(2)
    expect(await store.list((error) => expect.fail(String(error)))).to.have.length(2)
  })

  it('a lock that has no room leaves nothing of itself', async () => {
    await disk.fill()
    await expectNoRoom(withFileLock(join(disk.folder, 'wires.lock'), async () => undefined))
    expect(await readdir(disk.folder)).to.deep.equal([disk.ballast])
  })
})
