import { expect } from 'chai'
import { describe, it } from 'mocha'

import { clearTheWay, passOver, renderBatches, toArgv } from '../../../core/steps/argv.ts'
import type { Step } from '../../../core/steps/step.ts'

describe('renderBatches()', () => {
  for (const classifier of ['matchall', 'u32'] as const)
    it(`spells the redirect with ${classifier}`, () => {
      const step: Step = { op: 'add-redirect', netns: undefined, dev: 'a', target: 'b' }
      const [batch] = renderBatches([step], { classifier, hostNetns: 'x' })
      const want = {
        matchall: 'handle 1 matchall action',
        u32: 'handle 800::1 u32 match u32 0 0 at -12 action',
      }
      expect(batch?.lines[1]).to.include(want[classifier])
      expect(toArgv({ tool: 'tc', netns: undefined, lines: [] })).to.deep.equal([
        'tc',
        '-batch',
        '-',
      ])
      expect(toArgv({ tool: 'ip', netns: '/n', lines: [] })[1]).to.equal('--net=/n')
    })

  it('silences what IPv6 comes to with the MTU, before it goes up', () => {
    const [batch] = renderBatches(
      [{ op: 'set-link', netns: undefined, dev: 'a', isSilent: true, mtuBytes: 1500, up: true }],
      { classifier: 'bpf', hostNetns: 'x' },
    )
    expect(batch?.lines).to.deep.equal([
      'link set dev a arp off multicast off',
      'link set dev a mtu 1500',
      'link set dev a addrgenmode none',
      'address flush dev a to fe80::/10',
      'link set dev a up',
    ])
  })

  it('asks ethtool of one device at a time', () => {
    const steps = ['a', 'b'].map((dev): Step => ({ op: 'stop-offload', netns: '/n', dev }))
    const batches = renderBatches(steps, { classifier: 'bpf', hostNetns: 'x' })
    expect(batches.map((batch) => toArgv(batch).slice(0, 6).join(' '))).to.deep.equal(
      ['a', 'b'].map((dev) => `nsenter --net=/n ethtool -K ${dev} tx`),
    )
  })
})

describe('passOver()', () => {
  const refusal = 'RTNETLINK answers: Address family not supported by protocol'
  for (const [line, said, want] of [
    ['link set dev a addrgenmode none', refusal, true],
    ['link set dev a addrgenmode none', 'Cannot find device "a"', false],
    ['link set dev a mtu 9216', refusal, false],
    ['link set dev a mtu 9216', 'Cannot find device "a"', false],
    ['link del dev a', 'Cannot find device "a"', true],
    ['link del dev a', 'RTNETLINK answers: Operation not permitted', false],
    [
      'filter del dev a ingress pref 1',
      'Error: Filter with specified priority/protocol not found.',
      true,
    ],
    [
      'filter replace dev a ingress pref 1 protocol all bpf',
      "Error: Parent Qdisc doesn't exists.",
      false,
    ],
  ] as const)
    it(`${want ? 'does' : 'does not'} without "${line}" where it is told ${said}`, () => {
      expect(passOver(line, `${said}\nCommand failed -:1`)).to.equal(want)
    })
})

describe('clearTheWay()', () => {
  const line = 'filter replace dev a ingress pref 1 protocol all handle 1 bpf bytecode "1,6 0 0 1,"'
  const kind = 'Error: Specified filter kind does not match existing one.'
  for (const [said, want] of [
    [kind, 'filter del dev a ingress pref 1'],
    ['RTNETLINK answers: File exists', 'filter del dev a ingress pref 1'],
    ['Cannot find device "a"', undefined],
  ] as const)
    it(`${want === undefined ? 'has nothing for' : 'removes what is meant by'} "${said}"`, () => {
      expect(clearTheWay(line, said)).to.equal(want)
      expect(clearTheWay('link add name a type veth', said)).to.equal(undefined)
    })
})
