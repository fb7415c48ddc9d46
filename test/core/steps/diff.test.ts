import { expect } from 'chai'
import { describe, it } from 'mocha'

import type { Classifier } from '../../../core/steps/argv.ts'
import { parseFilters, toFilter, type Filter } from '../../../core/steps/filter.ts'
import { ASKED, fromMac, renderProgram } from '../../../core/steps/frame-match.ts'
import type { ObservedLink } from '../../../core/observe/links.ts'
import { toNeighbourKey, toPeerKey, type Observation } from '../../../core/observe/observation.ts'
import type { Step } from '../../../core/steps/step.ts'
import { diff } from '../../../core/steps/diff.ts'
import { newLink, newObservation, type SampleLink } from '../samples.ts'

const NETNS = { netns: '/run/netns/x' }
const MUTE: Step = { op: 'drop-egress', ...NETNS, dev: 'eth0' }
const THROUGH: Step = { op: 'let-through', ...NETNS, dev: 'eth0', source: 'tap0' }
const FRAMES = fromMac('02:00:00:00:00:01', ASKED.dhcp4)
const PICK: Step = {
  op: 'steer',
  ...NETNS,
  dev: 'tap0',
  hook: 'ingress',
  place: 1,
  frames: FRAMES,
  target: 'lwp0',
  into: 'egress',
}
const REDIRECT: Step = {
  op: 'add-redirect',
  ...NETNS,
  dev: 'tap0',
  target: 'eth0',
  isBehindSteering: true,
}

// As iproute2 6.1 prints them.
const toProgram = (text: string): object => {
  const [, ...lines] = text.split(',').slice(0, -1)
  const insns = lines.map((line) => {
    const [code, jt, jf, k] = line.split(' ').map(Number)
    return { code, jt, jf, k }
  })
  return { length: insns.length, insns }
}
const newBpf = (pref: number, program: string, more: object = {}, protocol = 'all'): object => ({
  protocol,
  pref,
  kind: 'bpf',
  chain: 0,
  options: { handle: '0x1', not_in_hw: true, bytecode: toProgram(program), ...more },
})
const newMirred = (how: string, to: string, then: string, direction = 'egress'): object => ({
  order: 1,
  kind: 'mirred',
  mirred_action: how,
  direction,
  to_dev: to,
  control_action: { type: then },
  index: 3,
})
const U32_HEADS = [
  { protocol: 'all', pref: 1, kind: 'u32', chain: 0 },
  { protocol: 'all', pref: 1, kind: 'u32', chain: 0, options: { fh: '800:', ht_divisor: 1 } },
]
const newU32 = (options: object, pref = 1): object => ({
  protocol: 'all',
  pref,
  kind: 'u32',
  chain: 0,
  options: { fh: '800::1', match: { value: '0', mask: '0', offmask: '', off: -12 }, ...options },
})
const DROP = newBpf(2, '1,6 0 0 2,', { 'direct-action': true })
const LET = newU32({ flowid: '1:1', input_dev: 'tap0' })
const REDIRECTED = newBpf(9, '1,6 0 0 4294967295,', {
  actions: [newMirred('redirect', 'eth0', 'stolen')],
})
const PICKED = newBpf(
  1,
  renderProgram(FRAMES),
  { actions: [newMirred('redirect', 'lwp0', 'stolen')] },
  'ip',
)

/** Of hooks that are not named nobody has read the filters. */
function toState(filters: Readonly<Record<string, readonly object[]>>): Observation {
  return newObservation([{ name: 'eth0' }, { name: 'tap0' }], {
    filters: new Map(
      Object.entries(filters).map(([key, list]) => [key, parseFilters(JSON.stringify(list))]),
    ),
  })
}

const toOps = (steps: readonly Step[]): readonly string[] =>
  steps.map((step) =>
    step.op === 'del-filters'
      ? `del-filters ${step.place}${step.one === undefined ? '' : ` ${step.one.handle}`}`
      : step.op === 'drop-egress' && step.place !== undefined
        ? `mute ${step.place}`
        : step.op,
  )

describe('diff()', () => {
  const steps = [MUTE, THROUGH]
  for (const [name, filters, want] of [
    ['a mute pod link', [...U32_HEADS, LET, DROP], []],
    ['one without filters', [], ['drop-egress', 'let-through']],
    ['one whose tap was made anew', [newU32({ flowid: '1:1' }), DROP], ['let-through']],
    ['another program in place of the drop', [LET, newBpf(2, '1,6 0 0 0,')], ['drop-egress']],
    [
      'a second filter beside the drop, which goes once the drop is there',
      [LET, newBpf(2, '1,6 0 0 0,', { handle: '0x7' })],
      ['drop-egress', 'del-filters 2 7'],
    ],
    [
      'a second filter beside a drop that is whole',
      [LET, DROP, newBpf(2, '1,6 0 0 0,', { handle: '0x7' })],
      ['del-filters 2 7'],
    ],
    [
      'a filter of another kind in place of the drop: a guard is there before it goes',
      [LET, newU32({}, 2), newBpf(3, '1,6 0 0 0,')],
      ['mute 4', 'del-filters 2', 'drop-egress', 'del-filters 4'],
    ],
    [
      'a second filter that lets pass',
      [...U32_HEADS, LET, newU32({ fh: '800::801' }), DROP],
      ['del-filters 1 800::801'],
    ],
    [
      'another kind where frames are let through',
      [newBpf(1, '1,6 0 0 0,'), DROP],
      ['del-filters 1', 'let-through'],
    ],
    [
      'what lets through, in a table that the kernel has counted on to',
      [newU32({ fh: '803::1', flowid: '1:1', input_dev: 'tap0' }), DROP],
      [],
    ],
    ['filters behind ours, which are not ours', [LET, DROP, newU32({}, 5)], []],
  ] as const)
    it(`egress: ${name}`, () => {
      expect(toOps(diff(steps, toState({ 'eth0 egress': filters }), 'bpf'))).to.deep.equal(want)
    })

  for (const [name, filters, want] of [
    ['as made', [PICKED, REDIRECTED], []],
    ['without the pick', [REDIRECTED], ['steer']],
    [
      'led to a device that is gone',
      [
        PICKED,
        newBpf(9, '1,6 0 0 4294967295,', { actions: [newMirred('redirect', '*', 'stolen')] }),
      ],
      ['add-redirect'],
    ],
    [
      'handed on as received',
      [
        PICKED,
        newBpf(9, '1,6 0 0 4294967295,', {
          actions: [newMirred('redirect', 'eth0', 'stolen', 'ingress')],
        }),
      ],
      ['add-redirect'],
    ],
    [
      'a pick of another protocol',
      [newBpf(1, renderProgram(FRAMES), {}, 'ipv6'), REDIRECTED],
      ['del-filters 1', 'steer'],
    ],
  ] as const)
    it(`ingress: ${name}`, () => {
      const state = toState({ 'tap0 ingress': filters })
      expect(toOps(diff([PICK, REDIRECT], state, 'bpf'))).to.deep.equal(want)
    })

  it('knows each classifier of a match-all redirect', () => {
    const actions = [newMirred('redirect', 'eth0', 'stolen')]
    const matchall = { protocol: 'all', pref: 9, kind: 'matchall', options: { handle: 1, actions } }
    for (const [classifier, filter] of [
      ['matchall', matchall],
      ['bpf', REDIRECTED],
      ['u32', newU32({ actions }, 9)],
    ] as readonly (readonly [Classifier, object])[]) {
      const state = toState({ 'tap0 ingress': [filter] })
      expect(diff([REDIRECT], state, classifier), classifier).to.deep.equal([])
    }
  })

  describe('of what is no filter', () => {
    const link = newLink('tap0', {
      mtuBytes: 1500,
      flags: new Set(['UP', 'NOARP', 'ALLMULTI', 'PROMISC']),
      alias: 'l2wire tap of eth0',
    })
    const state: Observation = {
      links: new Map([
        ['tap0', link],
        ['tap1', newLink('tap1', { qdisc: 'fq_codel' })],
      ]),
      filters: new Map(),
      addresses: new Map([['tap0', ['10.0.0.1/24']]]),
      neighbours: new Set([toNeighbourKey('tap0', 'fd00:9:0::2', '02:00:00:00:00:01')]),
      heard: ['arp 10.0.0.1', 'ff02::2', '10.0.0.1'],
      offloads: new Map([
        ['tap0', false],
        ['tap1', true],
      ]),
    }
    const set = (facts: object): Step => ({ op: 'set-link', ...NETNS, dev: 'tap0', ...facts })
    const dev = { ...NETNS, dev: 'tap0' }
    for (const [name, step, isDone] of [
      ['all of a link', set({ mtuBytes: 1500, isSilent: true, up: true, hearsAll: true }), true],
      ['promiscuous', set({ isPromiscuous: true, alias: 'l2wire tap of eth0' }), true],
      ['another MTU', set({ mtuBytes: 1400 }), false],
      ['down', set({ up: false }), false],
      ['another alias', set({ alias: 'mine' }), false],
      ['no link', { op: 'set-link', ...NETNS, dev: 'tap2', up: true }, false],
      ['no queue', { op: 'del-queue', ...dev }, true],
      ['a queue', { op: 'del-queue', ...dev, dev: 'tap1' }, false],
      ['the queue of no link', { op: 'del-queue', ...dev, dev: 'tap2' }, false],
      ['no offload', { op: 'stop-offload', ...dev }, true],
      ['offload', { op: 'stop-offload', ...dev, dev: 'tap1' }, false],
      ['offload of no link', { op: 'stop-offload', ...dev, dev: 'tap2' }, false],
      ['an address', { op: 'add-address', ...dev, address: '10.0.0.1/24' }, true],
      ['no such address', { op: 'add-address', ...dev, address: '10.0.0.2/24' }, false],
      [
        'a neighbour, however it is spelled',
        { op: 'set-neighbour', ...dev, address: 'fd00:9::2', mac: '02:00:00:00:00:01' },
        true,
      ],
      [
        'a neighbour elsewhere',
        { op: 'set-neighbour', ...dev, address: 'fd00:9::2', mac: '02:00:00:00:00:02' },
        false,
      ],
      [
        'what is heard',
        { op: 'accept-for', ...dev, addresses: ['10.0.0.1', 'ff02::2'], asked: ['10.0.0.1'] },
        true,
      ],
      [
        'less than is heard',
        { op: 'accept-for', ...dev, addresses: ['10.0.0.1'], asked: [] },
        false,
      ],
      [
        'no ARP, which is heard',
        { op: 'accept-for', ...dev, addresses: ['10.0.0.1', 'ff02::2'], asked: [] },
        false,
      ],
      [
        'what is heard, at no link',
        {
          op: 'accept-for',
          ...dev,
          dev: 'tap2',
          addresses: ['10.0.0.1', 'ff02::2'],
          asked: ['10.0.0.1'],
        },
        false,
      ],
      ['a pair', { op: 'add-pair', ...dev, peer: 'lwp0' }, true],
      ['no pair', { op: 'add-pair', ...dev, dev: 'tap2', peer: 'lwp0' }, false],
      ['a tap', { op: 'add-tap', ...dev, owner: 107, isMultiQueue: true }, true],
      ['no tap', { op: 'add-tap', ...dev, dev: 'tap2', owner: 107, isMultiQueue: true }, false],
      ['a macvtap', { op: 'add-macvtap', ...dev, link: 'eth0', index: 7 }, true],
      ['a name', { op: 'rename-link', ...dev, dev: 'tap2', name: 'tap0' }, true],
    ] as readonly (readonly [string, Step, boolean])[])
      it(`${name}: ${isDone ? 'done' : 'to be done'}`, () => {
        expect(diff([step], state, 'bpf')).to.deep.equal(isDone ? [] : [step])
      })

    it('a link with a link-local address is not silent', () => {
      const addresses = new Map([['tap0', ['fe80::1/64']]])
      const seen = { ...state, addresses }
      expect(diff([set({ isSilent: true })], seen, 'bpf')).to.have.length(1)
    })
    describe('a link that is to have IPv6 again', () => {
      const low = { ...link, mtuBytes: 1279, genMode: undefined }
      const raise = set({ isSilent: true, mtuBytes: 1280 })
      const isDownFirst = (seen: ObservedLink, more: readonly Step[] = []): boolean => {
        const links = new Map([['tap0', seen]])
        const steps = diff([...more, raise], { ...state, links }, 'bpf')
        return steps.some((step) => step.op === 'set-link' && step.up === false)
      }
      it('is down for that moment, and up behind it', () => {
        const links = new Map([['tap0', low]])
        expect(diff([raise], { ...state, links }, 'bpf')).to.deep.equal([
          set({ up: false }),
          raise,
          set({ up: true }),
        ])
      })
      it('stays up where it has IPv6 all the time, is down anyhow, or is mute', () => {
        expect(isDownFirst(low)).to.equal(true)
        expect(isDownFirst({ ...low, mtuBytes: 1400 })).to.equal(false)
        expect(isDownFirst({ ...low, isUp: false, flags: new Set(['NOARP']) })).to.equal(false)
        expect(isDownFirst(low, [{ ...MUTE, dev: 'tap0' }])).to.equal(false)
      })
    })
    it('a link that speaks by itself is not silent', () => {
      for (const loud of [
        { ...link, flags: new Set(['NOARP', 'MULTICAST']) },
        { ...link, flags: new Set(['UP']) },
        { ...link, genMode: 'eui64' },
      ]) {
        const links = new Map([['tap0', loud]])
        expect(diff([set({ isSilent: true })], { ...state, links }, 'bpf')).to.have.length(1)
      }
    })
  })
})

/** A device of the agent's own namespace. */
const OWN = { netns: undefined }
const VXLAN = { vni: 7, local: '192.0.2.1', remote: '192.0.2.2', port: 14_789 }
const ADD_TUNNEL: Step = { op: 'add-vxlan', ...OWN, dev: 'lx1', ...VXLAN }
const TUNNEL: SampleLink = { name: 'lx1', kind: 'vxlan', vxlan: VXLAN }
/** Cannot be what it is to be without being made anew. */
const OLD_TUNNEL: SampleLink = { ...TUNNEL, vxlan: { ...VXLAN, port: 4789 } }
const ALLOW: Step = { op: 'allow-peer', ...OWN, address: '192.0.2.2', vni: 7 }
const FORBID: Step = { ...ALLOW, op: 'forbid-peer' }
const lead = (dev: string, target: string): Step => ({ op: 'add-redirect', ...OWN, dev, target })
const delLink = (dev: string): Step => ({ op: 'del-link', ...OWN, dev })

describe('diff() of filters', () => {
  it('are to be made where they were read, and none was there', () => {
    const steps = [MUTE, THROUGH, PICK, REDIRECT]
    const read = toState({ 'eth0 egress': [], 'tap0 ingress': [] })
    expect(diff(steps, read, 'bpf')).to.deep.equal(steps)
  })
  it('are there where nobody has read', () => {
    expect(diff([MUTE, THROUGH, PICK, REDIRECT], toState({}), 'bpf')).to.deep.equal([])
    const half = toState({ 'eth0 egress': [] })
    expect(diff([MUTE, THROUGH, PICK, REDIRECT], half, 'bpf')).to.deep.equal([MUTE, THROUGH])
  })
  it('are to be made of a device that is not there, whatever was read', () => {
    const read = toState({ 'eth0 egress': [...U32_HEADS, LET, DROP] })
    const links = new Map([...read.links].filter(([name]) => name !== 'eth0'))
    expect(diff([MUTE, THROUGH], { ...read, links }, 'bpf')).to.deep.equal([MUTE, THROUGH])
    expect(diff([MUTE, THROUGH], { ...toState({}), links }, 'bpf')).to.deep.equal([MUTE, THROUGH])
  })

  describe('that lead to a device, or stand on one, which a step before makes anew', () => {
    const steps = [ADD_TUNNEL, lead('lw1', 'lx1'), lead('lx1', 'lw1'), lead('lw2', 'lw3')]
    const anew = [delLink('lx1'), ...steps.slice(0, 3)]
    for (const [name, to, back] of [
      ['which are as they should be', ['lx1'], ['lw1']],
      ['which nobody has read', undefined, undefined],
      ['which are not there', [], []],
    ] as const)
      it(`are made anew, too: ${name}`, () => {
        const links = [{ name: 'lw1', targets: to }, { name: 'lw2' }, { name: 'lw3' }]
        const seen = newObservation([...links, { ...OLD_TUNNEL, targets: back }])
        expect(diff(steps, seen, 'bpf')).to.deep.equal(anew)
      })
    it('are left alone where it need not be made anew', () => {
      const links = [{ name: 'lw1', targets: ['lx1'] }, { name: 'lw2' }]
      const there = newObservation([...links, { ...TUNNEL, targets: ['lw1'] }])
      expect(diff(steps, there, 'bpf')).to.deep.equal([])
      const moved = { ...TUNNEL, vxlan: { ...VXLAN, remote: '192.0.2.9' }, targets: ['lw1'] }
      const ops = toOps(diff(steps, newObservation([...links, moved]), 'bpf'))
      expect(ops).to.deep.equal(['set-remote', 'forbid-peer'])
    })
    it('keep away what stands beside them', () => {
      const redirect = toFilter(lead('lw1', 'lx1'), 'bpf')?.filter
      const another: Filter = { place: 1, protocol: 'all', kind: 'bpf', handle: '7', does: 'all' }
      const filters = [...(redirect === undefined ? [] : [redirect]), another]
      const seen = newObservation([{ name: 'lw1' }, OLD_TUNNEL], {
        filters: new Map([['lw1 ingress', filters]]),
      })
      const left = diff([ADD_TUNNEL, lead('lw1', 'lx1')], seen, 'bpf')
      expect(toOps(left)).to.deep.equal([
        'del-link',
        'add-vxlan',
        'add-redirect',
        'del-filters 1 7',
      ])
    })
    it('let through what comes from the new one, too', () => {
      const through: Step = { op: 'let-through', ...OWN, dev: 'lw1', source: 'lx1' }
      const mute: Step = { op: 'drop-egress', ...OWN, dev: 'lw1' }
      const filters = [through, mute].flatMap((step) => toFilter(step, 'bpf')?.filter ?? [])
      const see = (tunnel: SampleLink): Observation =>
        newObservation([{ name: 'lw1' }, tunnel], {
          filters: new Map([['lw1 egress', filters]]),
        })
      expect(diff([ADD_TUNNEL, through, mute], see(TUNNEL), 'bpf')).to.deep.equal([])
      const left = diff([ADD_TUNNEL, through, mute], see(OLD_TUNNEL), 'bpf')
      expect(toOps(left)).to.deep.equal(['del-link', 'add-vxlan', 'let-through'])
    })
  })
})

describe('diff() of a link that a step before makes anew', () => {
  it('leaves all of it', () => {
    const set: Step = { op: 'set-link', ...OWN, dev: 'lx1', mtuBytes: 9216, isSilent: true }
    const seen = newObservation([{ ...OLD_TUNNEL, mtuBytes: 9216 }])
    expect(diff([ADD_TUNNEL, set], seen, 'bpf')).to.deep.equal([delLink('lx1'), ADD_TUNNEL, set])
    expect(diff([ADD_TUNNEL, set], newObservation([TUNNEL]), 'bpf')).to.deep.equal([])
  })
})

describe('diff() of what is to be gone', () => {
  const NO_LEAD: Step = { op: 'del-redirect', ...OWN, dev: 'lw1' }
  const foreign: Filter = { place: 5, protocol: 'all', kind: 'bpf', handle: '1', does: 'all' }
  const behind = { filters: new Map([['lw1 ingress', [foreign]]]) }
  for (const [name, seen, isLeft] of [
    ['a redirect', newObservation([{ name: 'lw1', targets: ['lw2'] }]), true],
    [
      'a redirect to a device that is gone',
      newObservation([{ name: 'lw1', targets: ['*'] }]),
      true,
    ],
    ['no redirect', newObservation([{ name: 'lw1', targets: [] }]), false],
    ['a redirect that nobody has read', newObservation([{ name: 'lw1' }]), false],
    ["somebody else's filter, behind ours", newObservation([{ name: 'lw1' }], behind), false],
    [
      'a redirect of a device that is gone itself',
      { ...newObservation([{ name: 'lw1', targets: ['lw2'] }]), links: new Map() },
      false,
    ],
  ] as const)
    it(`${isLeft ? 'removes' : 'leaves alone'} ${name}`, () => {
      expect(diff([NO_LEAD], seen, 'bpf')).to.deep.equal(isLeft ? [NO_LEAD] : [])
    })
  it('has no redirect on a device that is made anew', () => {
    const seen = newObservation([{ ...OLD_TUNNEL, targets: ['lw1'] }])
    const ops = toOps(diff([ADD_TUNNEL, { ...NO_LEAD, dev: 'lx1' }], seen, 'bpf'))
    expect(ops).to.deep.equal(['del-link', 'add-vxlan'])
  })
  for (const [name, links, want] of [
    ['a link', [{ name: 'lx1' }], [delLink('lx1')]],
    ['a tunnel, and the permission of its peer', [TUNNEL], [delLink('lx1'), FORBID]],
    ['a tunnel without a peer', [{ ...TUNNEL, vxlan: { ...VXLAN, remote: '' } }], [delLink('lx1')]],
    ['a tunnel that nobody has looked at', [{ ...TUNNEL, vxlan: undefined }], [delLink('lx1')]],
    ['nothing that is not there', [], []],
  ] as const)
    it(`removes ${name}`, () => {
      expect(diff([delLink('lx1')], newObservation(links), 'bpf')).to.deep.equal(want)
    })
})

describe('diff() of a peer that is to be let in', () => {
  const steps = [ADD_TUNNEL, ALLOW]
  const key = toPeerKey('192.0.2.2', 7)
  for (const [name, link, peers, want] of [
    ['who is', TUNNEL, [key], []],
    ['who is no more, for all that the tunnel is up', TUNNEL, [], ['allow-peer']],
    ['while others are', TUNNEL, [toPeerKey('192.0.2.2', 8)], ['allow-peer']],
    ['who is, with a tunnel that is down', { ...TUNNEL, isUp: false }, [key], []],
    ['nobody having looked', TUNNEL, undefined, []],
    [
      'nobody having looked, nor at where the tunnel leads',
      { ...TUNNEL, vxlan: undefined },
      undefined,
      [],
    ],
    [
      'nobody having looked, with a tunnel that is down: it may have failed in between',
      { ...TUNNEL, isUp: false },
      undefined,
      ['allow-peer'],
    ],
    [
      'nobody having looked, in the place of another, who is not let in behind that',
      { ...TUNNEL, vxlan: { ...VXLAN, remote: '192.0.2.9' } },
      undefined,
      ['set-remote', 'allow-peer', 'forbid-peer'],
    ],
    [
      'who is, in the place of another, who is not',
      { ...TUNNEL, vxlan: { ...VXLAN, remote: '192.0.2.9' } },
      [key],
      ['set-remote'],
    ],
    ['of a tunnel that is made', undefined, undefined, ['add-vxlan', 'allow-peer']],
    [
      'of a tunnel that is made anew, nobody having looked',
      OLD_TUNNEL,
      undefined,
      ['del-link', 'add-vxlan', 'allow-peer'],
    ],
    [
      'of a tunnel that is made anew, who is, and stays so',
      OLD_TUNNEL,
      [key],
      ['del-link', 'add-vxlan'],
    ],
    [
      'of a tunnel that is made anew for another VNI, whose permission goes at once',
      { ...TUNNEL, vxlan: { ...VXLAN, vni: 8 } },
      [toPeerKey('192.0.2.2', 8)],
      ['del-link', 'forbid-peer', 'add-vxlan', 'allow-peer'],
    ],
  ] as readonly (readonly [
    string,
    SampleLink | undefined,
    readonly string[] | undefined,
    readonly string[],
  ])[])
    it(`lets in ${name}: ${want.join(', ') || 'nothing to do'}`, () => {
      const seen = newObservation(
        link === undefined ? [] : [link],
        peers === undefined ? {} : { peers: new Set(peers) },
      )
      expect(toOps(diff(steps, seen, 'bpf'))).to.deep.equal(want)
    })
  it('lets in one of no tunnel, unless he is', () => {
    expect(diff([ALLOW], newObservation([TUNNEL]), 'bpf')).to.deep.equal([ALLOW])
    const peers = new Set([key])
    expect(diff([ALLOW], newObservation([], { peers }), 'bpf')).to.deep.equal([])
  })
})

describe('diff() of what lets through', () => {
  it('takes the place of the filter that is there, in its table', () => {
    const leave = (...filters: readonly object[]): readonly Step[] =>
      diff([THROUGH], toState({ 'eth0 egress': filters }), 'bpf')
    expect(leave(newU32({ fh: '803::1', flowid: '1:1' }))).to.deep.equal([
      { ...THROUGH, table: '803' },
    ])
    expect(leave()).to.deep.equal([THROUGH])
  })
})
