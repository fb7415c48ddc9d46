import { expect } from 'chai'
import { describe, it } from 'mocha'

import {
  isLoss,
  parseFilterLoss,
  parseLinkEvent,
  takeLines,
  type LinkEvent,
} from '../../core/kernel-event.ts'

const REST =
  ' mtu 1500 qdisc noop state DOWN group default \\    link/ether 06:9e:65:ea:26:e7 brd ff:ff'

// As iproute2 6.1 prints them.
const LINKS: readonly (readonly [string, string, LinkEvent | undefined])[] = [
  [
    'a host end goes up',
    `[nsid current]3447: lw0123456789abc@if2: <NO-CARRIER,BROADCAST,UP>${REST} link-netnsid 7`,
    {
      nsid: 'current',
      ifindex: 3447,
      name: 'lw0123456789abc',
      isUp: true,
      isDeleted: false,
      peer: { ifindex: 2 },
    },
  ],
  [
    'a pod end is down',
    `[nsid 12]2: eth1@if3447: <BROADCAST,MULTICAST>${REST} link-netnsid 0`,
    {
      nsid: 12,
      ifindex: 2,
      name: 'eth1',
      isUp: false,
      isDeleted: false,
      peer: { ifindex: 3447 },
    },
  ],
  [
    'a cable that has carrier is not what makes an interface up',
    `[nsid current]4: a: <BROADCAST,LOWER_UP>${REST}`,
    { nsid: 'current', ifindex: 4, name: 'a', isUp: false, isDeleted: false },
  ],
  [
    'a peer in a namespace that has a name',
    `[nsid current]4: a@if9: <UP>${REST} link-netns l2w1`,
    {
      nsid: 'current',
      ifindex: 4,
      name: 'a',
      isUp: true,
      isDeleted: false,
      peer: { ifindex: 9 },
    },
  ],
  [
    'a peer beside it, which has a name',
    `[nsid current]4: a@b: <UP,M-DOWN>${REST}`,
    { nsid: 'current', ifindex: 4, name: 'a', isUp: true, isDeleted: false },
  ],
  [
    'a host end is deleted',
    `[nsid current]Deleted 3: lw1@NONE: <BROADCAST,MULTICAST>${REST}`,
    { nsid: 'current', ifindex: 3, name: 'lw1', isUp: false, isDeleted: true },
  ],
  [
    'a pod end is deleted',
    `[nsid 0]Deleted 2: eth1@NONE: <BROADCAST>${REST}`,
    { nsid: 0, ifindex: 2, name: 'eth1', isUp: false, isDeleted: true },
  ],
  [
    'a name with "@" in it',
    `[nsid 3]2: e@th@if5: <UP>${REST}`,
    {
      nsid: 3,
      ifindex: 2,
      name: 'e@th',
      isUp: true,
      isDeleted: false,
      peer: { ifindex: 5 },
    },
  ],
  ['the half of a line', '[nsid current]3: lw1@if2', undefined],
  ['no namespace', `3: lw1@if2: <UP>${REST}`, undefined],
  ['nothing', '', undefined],
]

const FILTERS: readonly (readonly [string, string | undefined])[] = [
  ['deleted filter dev lw1 ingress protocol all pref 1 bpf chain 0 ', 'lw1'],
  [
    'replaced filter dev lw1 ingress protocol all pref 1 u32 chain 0 fh 800::800 order 2048',
    undefined,
  ],
  ['added filter dev lw1 ingress protocol all pref 1 matchall chain 0 handle 0x1 ', undefined],
  ['filter dev lw1 ingress protocol all pref 1 bpf chain 0 ', undefined],
  ['deleted qdisc clsact ffff: dev lw1 parent ffff:fff1 refcnt 0 ', 'lw1'],
  ['qdisc clsact ffff: dev lw1 parent ffff:fff1 ', undefined],
  ['deleted qdisc ingress ffff: dev lw1 parent ffff:fff1 ', 'lw1'],
  ['qdisc noqueue 0: dev lw1 root refcnt 2 ', undefined],
  ['deleted chain dev lw1 parent ffff: chain 0 ', undefined],
  ['deleted filter block 5 protocol all pref 1 bpf chain 0 ', undefined],
  ['\taction order 1: mirred (Egress Redirect to device lw2) stolen', undefined],
  ['  match 00000000/00000000 at 0', undefined],
  ['', undefined],
]

describe('parseLinkEvent()', () => {
  for (const [what, line, event] of LINKS)
    it(`reads ${what}`, () => {
      expect(parseLinkEvent(line)).to.deep.equal(event)
    })
})

describe('parseFilterLoss()', () => {
  for (const [line, dev] of FILTERS)
    it(`finds ${dev ?? 'no device'} in "${line.trim()}"`, () => {
      expect(parseFilterLoss(line)).to.equal(dev)
    })
})

describe('isLoss()', () => {
  it('knows a full buffer from other complaints', () => {
    expect(isLoss('netlink receive error No buffer space available (105)')).to.equal(true)
    expect(isLoss('Message truncated')).to.equal(true)
    expect(isLoss('Cannot open netlink socket: Address already in use')).to.equal(false)
  })
})

describe('takeLines()', () => {
  it('keeps what has no end yet, wherever the chunks are cut', () => {
    const text = 'one\ntwo\n\nthree'
    for (let at = 0; at <= text.length; at += 1) {
      const first = takeLines(text.slice(0, at))
      const second = takeLines(first.rest + text.slice(at))
      expect([...first.lines, ...second.lines]).to.deep.equal(['one', 'two', ''])
      expect(second.rest).to.equal('three')
    }
  })
})
