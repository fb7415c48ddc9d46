import { expect } from 'chai'
import { describe, it } from 'mocha'

import {
  isLoss,
  newFilterEvents,
  parseLinkEvent,
  takeLines,
  type FilterEvent,
  type LinkEvent,
} from '../../../core/observe/kernel-event.ts'

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
      mtuBytes: 1500,
      isSilent: false,
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
      mtuBytes: 1500,
      isSilent: false,
      peer: { ifindex: 3447 },
    },
  ],
  [
    'a cable that has carrier is not what makes an interface up',
    `[nsid current]4: a: <BROADCAST,LOWER_UP>${REST}`,
    {
      nsid: 'current',
      ifindex: 4,
      name: 'a',
      isUp: false,
      isDeleted: false,
      mtuBytes: 1500,
      isSilent: false,
    },
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
      mtuBytes: 1500,
      isSilent: false,
      peer: { ifindex: 9 },
    },
  ],
  [
    'a peer beside it, which has a name',
    `[nsid current]4: a@b: <UP,M-DOWN>${REST}`,
    {
      nsid: 'current',
      ifindex: 4,
      name: 'a',
      isUp: true,
      isDeleted: false,
      mtuBytes: 1500,
      isSilent: false,
    },
  ],
  [
    'a host end is deleted',
    `[nsid current]Deleted 3: lw1@NONE: <BROADCAST,MULTICAST>${REST}`,
    {
      nsid: 'current',
      ifindex: 3,
      name: 'lw1',
      isUp: false,
      isDeleted: true,
      mtuBytes: 1500,
      isSilent: false,
    },
  ],
  [
    'a pod end is deleted',
    `[nsid 0]Deleted 2: eth1@NONE: <BROADCAST>${REST}`,
    {
      nsid: 0,
      ifindex: 2,
      name: 'eth1',
      isUp: false,
      isDeleted: true,
      mtuBytes: 1500,
      isSilent: false,
    },
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
      mtuBytes: 1500,
      isSilent: false,
      peer: { ifindex: 5 },
    },
  ],
  [
    'a tap that is as it should be',
    `[nsid 3]4: tap0: <BROADCAST,NOARP,UP,LOWER_UP> mtu 1400 qdisc noqueue state UP`,
    {
      nsid: 3,
      ifindex: 4,
      name: 'tap0',
      isUp: true,
      isDeleted: false,
      mtuBytes: 1400,
      isSilent: true,
    },
  ],
  [
    'one that multicast is on again for',
    `[nsid 3]4: tap0: <BROADCAST,MULTICAST,NOARP,UP> mtu 1400 qdisc noqueue`,
    {
      nsid: 3,
      ifindex: 4,
      name: 'tap0',
      isUp: true,
      isDeleted: false,
      mtuBytes: 1400,
      isSilent: false,
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

// As iproute2 6.1 prints them.
const QDISC = 'qdisc clsact ffff: dev aa parent ffff:fff1 '
const CHAIN = 'added chain dev aa parent ffff: chain 0 '
const toMade = (word: string, hook = 'ingress', dev = 'aa'): string =>
  `${word}filter dev ${dev} ${hook} protocol all pref 1 bpf chain 0 handle 0x1 not_in_hw bytecode '1,6 0 0 4294967295'`
const toAction = (does: string, order = 1): string => `\taction order ${order}: ${does}`
const toMirred = (target: string): string =>
  toAction(`mirred (Egress Redirect to device ${target}) stolen`)
const INDEX = '\tindex 1 ref 1 bind 1'
const GONE = 'deleted filter dev aa ingress protocol all pref 1 bpf chain 0 '
const LOST: FilterEvent = { dev: 'aa', target: undefined }

const STORIES: readonly (readonly [string, readonly string[], readonly FilterEvent[]])[] = [
  [
    'all that becomes of a device',
    [
      QDISC,
      CHAIN,
      toMade('replaced '),
      toMirred('bb'),
      INDEX,
      '',
      toMade('added '),
      toMirred('lo'),
      GONE,
    ],
    [{ dev: 'aa', target: 'bb' }, { dev: 'aa', target: 'lo' }, LOST],
  ],
  [
    'a filter that matches in lines of its own',
    [
      'added filter dev aa ingress protocol all pref 1 u32 chain 0 fh 800::800 order 2048 key ht 800 bkt 0 ',
      '  match 00000000/00000000 at 0',
      toMirred('bb'),
    ],
    [{ dev: 'aa', target: 'bb' }],
  ],
  [
    'redirects of two devices, and each to its own',
    [
      toMade('added '),
      toMirred('bb'),
      INDEX,
      '',
      toMade('added ', 'ingress', 'bb'),
      toMirred('aa'),
    ],
    [
      { dev: 'aa', target: 'bb' },
      { dev: 'bb', target: 'aa' },
    ],
  ],
  [
    'a target that is handed it',
    [toMade('added '), toAction('mirred (Ingress Redirect to device bb) stolen')],
    [{ dev: 'aa', target: 'bb' }],
  ],
  ['what leads nowhere', [toMade('added '), toAction('gact action drop')], []],
  ['a copy', [toMade('added '), toAction('mirred (Egress Mirror to device bb) pipe')], []],
  ['what goes out through a device', [toMade('added ', 'egress'), toMirred('bb')], []],
  [
    'an action behind what is none of a filter that is made',
    [toMade('added '), GONE, toMirred('bb')],
    [LOST],
  ],
  ['an action of another kind of thing', [toMade('added '), QDISC, toMirred('bb')], []],
]

describe('newFilterEvents()', () => {
  for (const [line, dev] of FILTERS)
    it(`finds ${dev ?? 'no device'} in "${line.trim()}"`, () => {
      const event = newFilterEvents()(line)
      expect(event).to.deep.equal(dev === undefined ? undefined : { dev, target: undefined })
    })
  for (const [what, lines, events] of STORIES)
    it(`tells ${what}`, () => {
      const parse = newFilterEvents()
      expect(lines.flatMap((line) => parse(line) ?? [])).to.deep.equal(events)
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
