// What earlier releases wrote down (the fixtures are their own documents) is understood: an upgrade finds
// every cable they left, and every VM attached as it was.
import { cp, mkdtemp, readdir, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { expect } from 'chai'
import { afterEach, beforeEach, describe, it } from 'mocha'

import { newAttachmentState } from '../../agent/state.ts'
import { toClaim, type WireAttachment } from '../../core/attach/attachment.ts'
import { planUntap, wantTap } from '../../core/attach/tap.ts'
import { fromWireObject } from '../../core/wire/object.ts'
import { claimEnd, releaseEnd } from '../../core/wire/ends.ts'
import { toAttachmentKey, toWireKey, type Wire } from '../../core/wire/wire.ts'
import { ROOT } from '../../lab/manifests.ts'
import { newFileStore } from '../../store/file-store.ts'

const RELEASES = [
  { release: '0.1.0', names: ['alone', 'far', 'near'], released: [], taps: ['poded75534f51c'] },
  {
    release: '0.2.0',
    names: ['alone', 'far', 'moved', 'near'],
    released: ['h7-c1@eth1'],
    taps: ['poded75534f51c', 'eth0'],
  },
] as const

function fail(error: unknown): never {
  throw error instanceof Error ? error : new Error(String(error))
}

for (const { release, ...rows } of RELEASES)
  describe(`documents of release ${release}`, () => {
    let folder = ''

    beforeEach(async () => {
      // A store makes files beside its documents.
      folder = await mkdtemp(join(tmpdir(), 'l2w-release-'))
      await cp(join(ROOT, `test/fixtures/release-${release}`), folder, { recursive: true })
    })
    afterEach(async () => {
      await rm(folder, { recursive: true })
    })

    const readStore = async (): Promise<readonly Wire[]> =>
      newFileStore(join(folder, 'store')).list(fail)
    const readObjects = async (): Promise<readonly Wire[]> => {
      const text = await readFile(join(folder, 'wire-objects.json'), 'utf8')
      return (JSON.parse(text) as readonly unknown[]).map(fromWireObject)
    }

    it('are read from the state directory, every one', async () => {
      const state = newAttachmentState(join(folder, 'attachments'))
      const attachments = await state.list(fail)
      const files = (await readdir(join(folder, 'attachments'))).map((file) => file.slice(0, -5))
      expect(attachments.map(toAttachmentKey).sort()).to.deep.equal(files.sort())
      expect(attachments.map(({ phase }) => phase)).to.not.include('adding')
      const released = attachments.filter(({ phase }) => phase === 'released')
      expect(released.map(toAttachmentKey)).to.deep.equal(rows.released)
      const asked = attachments.filter((one) => one.kind === 'wire' && one.vni === 4711)
      expect(asked.map(({ containerID }) => containerID)).to.include('h2-c1')
    })

    it('leave a tap as it is: one queue, a pod link that is not mute, and nobody to tell its VM anything', async () => {
      const attachments = await newAttachmentState(join(folder, 'attachments')).list(fail)
      const taps = attachments.filter((one) => one.kind === 'tap')
      expect(taps.map(({ podLink }) => podLink)).to.have.members(rows.taps)
      for (const tap of taps) {
        expect(tap).to.not.have.any.keys('attach', 'isMultiQueue', 'isMuted', 'lease')
        const steps = wantTap(tap)
        expect(steps.map(({ op }) => op)).to.not.include('drop-egress')
        // "l2wire network-data", say, which no agent writes any more.
        expect(steps.filter((step) => 'alias' in step)).to.deep.equal([])
        expect(planUntap(tap).map(({ op }) => op)).to.deep.equal(['del-redirect', 'del-link'])
      }
    })

    for (const [place, read] of [
      ['a folder', readStore],
      ['the Kubernetes API', readObjects],
    ] as const)
      it(`are read from ${place}: who holds which end, and what a node has to clear`, async () => {
        const wires = await read()
        const keys = rows.names.map((name) => `default/${name}`)
        expect(wires.map(toWireKey).sort()).to.deep.equal(keys)
        const far = wires.find(({ name }) => name === 'far')
        expect(far).to.deep.include({ vni: 4711, isUnplugged: false, displaced: [] })
        expect([...(far?.tunnelNodes ?? [])].sort()).to.deep.equal(['n1', 'n2'])
        expect(far?.ends.map(({ holder, node, isUp }) => [holder, node, isUp])).to.deep.equal([
          ['pod/h1', 'n1', true],
          ['pod/h2', 'n2', true],
        ])
      })

    it('agree: an attachment claims again just what it holds, and its DEL gives it back', async () => {
      const wires = await readStore()
      const attachments = await newAttachmentState(join(folder, 'attachments')).list(fail)
      for (const attachment of attachments.filter(
        (one): one is WireAttachment => one.kind === 'wire' && one.phase === 'ready',
      )) {
        const wire = wires.find((one) => toWireKey(one) === toWireKey(attachment.wire))
        const held = wire?.ends.find((end) => toAttachmentKey(end) === toAttachmentKey(attachment))
        const again = claimEnd(wire, attachment.wire, toClaim(attachment, held?.address ?? ''))
        expect(again.ends).to.have.deep.members([...(wire?.ends ?? [])])
        expect(releaseEnd(wire, attachment)?.ends ?? []).to.not.deep.include(held)
      }
    })
  })
