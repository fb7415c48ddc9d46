import { expect } from 'chai'
import { describe, it } from 'mocha'

import { DecodeError } from '../../../core/errors.ts'
import {
  findMissingDevices,
  parseFilterAnswers,
  renderFilterQueries,
} from '../../../core/observe/filters.ts'
import { parseTargets, type Filter, type FilterPlace } from '../../../core/steps/filter.ts'

const A = 'lw00000000000aa'
const B = 'lw00000000000bb'
const A_IN: FilterPlace = { dev: A, hook: 'ingress' }
const A_OUT: FilterPlace = { dev: A, hook: 'egress' }
const B_OUT: FilterPlace = { dev: B, hook: 'egress' }

const TO_B =
  '[{"protocol":"all","pref":1,"kind":"bpf","chain":0},{"protocol":"all","pref":1,"kind":"bpf","chain":0,' +
  '"options":{"handle":"0x1","not_in_hw":true,"bytecode":{"length":1,"insns":[{"code":6,"jt":0,"jf":0,"k":4294967295}]},' +
  `"actions":[{"order":1,"kind":"mirred","mirred_action":"redirect","direction":"egress","to_dev":"${B}",` +
  '"control_action":{"type":"stolen"},"index":1,"ref":1,"bind":1}]}}]'

const toLeads = (
  answers: ReadonlyMap<string, readonly Filter[]>,
): readonly (readonly [string, readonly string[]])[] =>
  [...answers].map(([key, filters]) => [key, parseTargets(filters)] as const)

describe('filters of many devices', () => {
  it('are asked for in a line each', () => {
    expect(renderFilterQueries([A_IN, B_OUT])).to.equal(
      `filter show dev ${A} ingress\nfilter show dev ${B} egress\n`,
    )
  })

  it('are told apart by the order of the answers', () => {
    const answers = parseFilterAnswers(['[]', TO_B, TO_B.replace(B, '*')], [], [B_OUT, A_IN, A_OUT])
    expect(toLeads(answers)).to.deep.equal([
      [`${B} egress`, []],
      [`${A} ingress`, [B]],
      [`${A} egress`, ['*']],
    ])
  })

  it('of a device that is missing have no answer', () => {
    const answers = parseFilterAnswers([TO_B], [B], [B_OUT, A_IN])
    expect(toLeads(answers)).to.deep.equal([[`${A} ingress`, [B]]])
  })

  it('are refused when an answer is missing', () => {
    expect(() => parseFilterAnswers([TO_B], [], [A_IN, B_OUT])).to.throw(DecodeError, 'each of 2')
  })

  it('of devices that are gone are found in the complaints', () => {
    const stderr = `Cannot find device "${A}"\nCommand failed -:1\nCannot find device "${B}"\nCommand failed -:7\n`
    expect(findMissingDevices(stderr)).to.deep.equal([A, B])
    expect(findMissingDevices('RTNETLINK answers: Operation not permitted\n')).to.deep.equal([])
  })
})
