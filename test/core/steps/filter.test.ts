import { expect } from 'chai'
import { describe, it } from 'mocha'

import { DecodeError } from '../../../core/errors.ts'
import { toHookKey } from '../../../core/observe/observation.ts'
import { parseFilters, parseTargets, toFilter } from '../../../core/steps/filter.ts'

const NETNS = { netns: '/run/netns/x' }

describe('toFilter()', () => {
  it('is of steps that make one', () => {
    expect(toFilter({ op: 'del-link', ...NETNS, dev: 'eth0' }, 'bpf')).to.equal(undefined)
    const made = toFilter({ op: 'drop-egress', ...NETNS, dev: 'eth0' }, 'bpf')
    expect(made === undefined ? '' : toHookKey(made)).to.equal('eth0 egress')
  })
})

const newFilter = (...actions: readonly object[]): object => ({
  kind: 'bpf',
  options: { actions },
})
// As iproute2 6.1 prints them.
const newMirred = (how: string, to: string, direction = 'egress'): object => ({
  order: 1,
  kind: 'mirred',
  mirred_action: how,
  direction,
  to_dev: to,
  control_action: { type: 'stolen' },
})
const read = (...filters: readonly object[]): readonly string[] =>
  parseTargets(parseFilters(JSON.stringify(filters)))

describe('parseTargets()', () => {
  it('reads where a device leads to from what tc -j prints', () => {
    expect(read({ kind: 'bpf' }, newFilter(newMirred('redirect', 'lw1')))).to.deep.equal(['lw1'])
    expect(parseTargets(parseFilters(''))).to.deep.equal([])
    expect(read(newFilter({ kind: 'gact' }))).to.deep.equal([])
  })
  it('reads all of them in their order, gone, copied, or handed on', () => {
    const filters = [
      newFilter(newMirred('mirror', 'eth0.5')),
      newFilter(newMirred('redirect', '*')),
      newFilter(newMirred('redirect', 'lw1', 'ingress')),
    ]
    expect(read(...filters)).to.deep.equal(['eth0.5', '*', 'lw1'])
  })
  it('reads all targets of one filter', () => {
    expect(read(newFilter(newMirred('mirror', 'a'), newMirred('redirect', 'b')))).to.deep.equal([
      'a',
      'b',
    ])
  })
  it('refuses what is no list', () => {
    expect(() => parseFilters('{}')).to.throw(DecodeError, 'expected a list')
  })
})
