import { expect } from 'chai'
import { describe, it } from 'mocha'

import type { Classifier } from '../../core/argv.ts'
import { parseFilters, toFilter } from '../../core/filter.ts'
import { ASKED, fromMac, renderProgram } from '../../core/frame-match.ts'
import { toHookKey, toNeighbourKey, type SeenLink } from '../../core/netns-observation.ts'
import type { Step } from '../../core/step.ts'
import { listUndone, type SeenState } from '../../core/undone.ts'

const NETNS = { netns: '/run/netns/x' }
const MUTE: Step = { op: 'mute', ...NETNS, dev: 'eth0' }
const THROUGH: Step = { op: 'let-through', ...NETNS, dev: 'eth0', source: 'tap0' }
const FRAMES = fromMac('02:00:00:00:00:01', ASKED.dhcp4)
const PICK: Step = {
  op: 'pick',
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
  isBehindPicks: true,
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

function toState(filters: Readonly<Record<string, readonly object[]>>): SeenState {
  return {
    links: new Map(),
    addresses: new Map(),
    neighbours: new Set(),
    heard: undefined,
    filters: new Map(
      Object.entries(filters).map(([key, list]) => [key, parseFilters(JSON.stringify(list))]),
    ),
  }
}

const toOps = (steps: readonly Step[]): readonly string[] =>
  steps.map((step) =>
    step.op === 'del-filters'
      ? `del-filters ${step.place}${step.one === undefined ? '' : ` ${step.one.handle}`}`
      : step.op === 'mute' && step.place !== undefined
        ? `mute ${step.place}`
        : step.op,
  )

describe('listUndone()', () => {
  const steps = [MUTE, THROUGH]
  for (const [name, filters, want] of [
    ['a mute pod link', [...U32_HEADS, LET, DROP], []],
    ['one without filters', [], ['mute', 'let-through']],
    ['one whose tap was made anew', [newU32({ flowid: '1:1' }), DROP], ['let-through']],
    ['another program in place of the drop', [LET, newBpf(2, '1,6 0 0 0,')], ['mute']],
    [
      'a second filter beside the drop, which goes once the drop is there',
      [LET, newBpf(2, '1,6 0 0 0,', { handle: '0x7' })],
      ['mute', 'del-filters 2 7'],
    ],
    [
      'a second filter beside a drop that is whole',
      [LET, DROP, newBpf(2, '1,6 0 0 0,', { handle: '0x7' })],
      ['del-filters 2 7'],
    ],
    [
      'a filter of another kind in place of the drop: a guard is there before it goes',
      [LET, newU32({}, 2), newBpf(3, '1,6 0 0 0,')],
      ['mute 4', 'del-filters 2', 'mute', 'del-filters 4'],
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
    ['filters behind ours, which are not ours', [LET, DROP, newU32({}, 5)], []],
  ] as const)
    it(`egress: ${name}`, () => {
      expect(toOps(listUndone(steps, toState({ 'eth0 egress': filters }), 'bpf'))).to.deep.equal(
        want,
      )
    })

  for (const [name, filters, want] of [
    ['as made', [PICKED, REDIRECTED], []],
    ['without the pick', [REDIRECTED], ['pick']],
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
      ['del-filters 1', 'pick'],
    ],
  ] as const)
    it(`ingress: ${name}`, () => {
      const state = toState({ 'tap0 ingress': filters })
      expect(toOps(listUndone([PICK, REDIRECT], state, 'bpf'))).to.deep.equal(want)
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
      expect(listUndone([REDIRECT], state, classifier), classifier).to.deep.equal([])
    }
  })

  describe('of what is no filter', () => {
    const link: SeenLink = {
      mtuBytes: 1500,
      flags: new Set(['UP', 'NOARP', 'ALLMULTI', 'PROMISC']),
      qdisc: 'noqueue',
      genMode: 'none',
      alias: 'l2wire tap of eth0',
    }
    const state: SeenState = {
      links: new Map([['tap0', link]]),
      filters: new Map(),
      addresses: new Map([['tap0', ['10.0.0.1/24']]]),
      neighbours: new Set([toNeighbourKey('tap0', 'fd00:9:0::2', '02:00:00:00:00:01')]),
      heard: ['arp 10.0.0.1', 'ff02::2', '10.0.0.1'],
    }
    const set = (facts: object): Step => ({ op: 'set-link', ...NETNS, dev: 'tap0', ...facts })
    const dev = { ...NETNS, dev: 'tap0' }
    for (const [name, step, isDone] of [
      ['all of a link', set({ mtuBytes: 1500, isSilent: true, up: true, hearsAll: true }), true],
      ['promiscuous', set({ isPromiscuous: true, alias: 'l2wire tap of eth0' }), true],
      ['another MTU', set({ mtuBytes: 1400 }), false],
      ['down', set({ up: false }), false],
      ['another alias', set({ alias: 'mine' }), false],
      ['no link', { op: 'set-link', ...NETNS, dev: 'tap1', up: true }, false],
      ['no queue', { op: 'del-queue', ...dev }, true],
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
        { op: 'take-all', ...dev, addresses: ['10.0.0.1', 'ff02::2'], asked: ['10.0.0.1'] },
        true,
      ],
      ['less than is heard', { op: 'take-all', ...dev, addresses: ['10.0.0.1'], asked: [] }, false],
      [
        'no ARP, which is heard',
        { op: 'take-all', ...dev, addresses: ['10.0.0.1', 'ff02::2'], asked: [] },
        false,
      ],
      ['a device', { op: 'add-pair', ...dev, peer: 'lwp0' }, false],
    ] as readonly (readonly [string, Step, boolean])[])
      it(`${name}: ${isDone ? 'done' : 'to be done'}`, () => {
        expect(listUndone([step], state, 'bpf')).to.deep.equal(isDone ? [] : [step])
      })

    it('a link that speaks by itself is not silent', () => {
      for (const loud of [
        { ...link, flags: new Set(['NOARP', 'MULTICAST']) },
        { ...link, flags: new Set(['UP']) },
        { ...link, genMode: 'eui64' },
      ]) {
        const links = new Map([['tap0', loud]])
        expect(listUndone([set({ isSilent: true })], { ...state, links }, 'bpf')).to.have.length(1)
      }
    })
  })
})

describe('toFilter()', () => {
  it('is of steps that make one', () => {
    expect(toFilter({ op: 'del-link', ...NETNS, dev: 'eth0' }, 'bpf')).to.equal(undefined)
    const made = toFilter(MUTE, 'bpf')
    expect(made === undefined ? '' : toHookKey(made)).to.equal('eth0 egress')
  })
})
