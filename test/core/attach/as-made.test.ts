import { expect } from 'chai'
import { describe, it } from 'mocha'

import type { TapAttachment } from '../../../core/attach/attachment.ts'
import { parseLinkEvent } from '../../../core/observe/kernel-event.ts'
import type { ObservedLink } from '../../../core/observe/links.ts'
import { findWrongQueues, isAsMade } from '../../../core/attach/as-made.ts'
import { newLink, newTap } from '../samples.ts'

const CABLED: Partial<TapAttachment> = { isMuted: true, podLinkMtuBytes: 9216 }
const TAP = newTap({ ...CABLED, mtuBytes: 1400 })
const FOREIGN = newTap({ isMuted: true, mtuBytes: 1400 })

describe('findWrongQueues()', () => {
  const links = new Map([['tap0', newLink('tap0', {})]])
  const many = { ...TAP, isMultiQueue: true as const }
  for (const [name, tap, seen, want] of [
    ['one that QEMU opens', TAP, links, undefined],
    ['another', many, links, 'its multi_queue is false, expected true: QEMU opens no other'],
    ['a macvtap', { ...many, attach: 'macvtap', index: 70_000_001 } as const, links, undefined],
    ['one that is not there', many, new Map<string, ObservedLink>(), undefined],
  ] as const)
    it(`says of ${name}: ${want ?? 'nothing'}`, () => {
      expect(findWrongQueues(tap, { links: seen })).to.equal(want)
    })
})

describe('isAsMade()', () => {
  const up = 'BROADCAST,NOARP,UP,LOWER_UP'
  for (const [line, tap, want] of [
    [`2: eth0@if9: <${up}> mtu 9216 qdisc noqueue`, TAP, true],
    [`3: tap0: <${up}> mtu 1400 qdisc noqueue`, TAP, true],
    ['4: lo: <LOOPBACK> mtu 65536 qdisc noqueue', TAP, true],
    ['3: tap0: <BROADCAST,NOARP> mtu 1400 qdisc noqueue', TAP, false],
    [`3: tap0: <${up}> mtu 1000 qdisc noqueue`, TAP, false],
    [`3: tap0: <${up},MULTICAST> mtu 1400 qdisc noqueue`, TAP, false],
    ['2: eth0@if9: <BROADCAST,MULTICAST,UP> mtu 1000 qdisc noqueue', FOREIGN, true],
  ] as const)
    it(`${want ? 'sees nothing' : 'sees a change'} in "${line}"`, () => {
      const event = parseLinkEvent(`[nsid 7]${line}`)
      expect(event === undefined ? undefined : isAsMade(tap, event)).to.equal(want)
    })
  it('sees a device that is deleted', () => {
    const event = parseLinkEvent(`[nsid 7]Deleted 3: tap0: <${up}> mtu 1400 qdisc noqueue`)
    expect(event === undefined ? undefined : isAsMade(TAP, event)).to.equal(false)
  })
})
