import { expect } from 'chai'
import { describe, it } from 'mocha'

import { clearTheWay, renderBatches, toArgv } from '../../core/argv.ts'
import type { Step } from '../../core/step.ts'

describe('renderBatches()', () => {
  for (const classifier of ['matchall', 'u32'] as const)
    it(`spells the redirect with ${classifier}`, () => {
      const step: Step = { op: 'add-redirect', netns: undefined, dev: 'a', target: 'b' }
      const [batch] = renderBatches([step], { classifier, hostNetns: 'x', hasIpv6: true })
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

  it('says nothing of IPv6 to a kernel without', () => {
    const steps: readonly Step[] = [
      { op: 'set-link', netns: undefined, dev: 'a', isSilent: true, up: true },
      { op: 'add-pair', netns: undefined, dev: 'b', peer: 'c' },
    ]
    const render = (hasIpv6: boolean): readonly string[] =>
      renderBatches(steps, { classifier: 'bpf', hostNetns: 'x', hasIpv6 }).flatMap(
        ({ lines }) => lines,
      )
    expect(render(true).filter((line) => line.includes('addrgenmode none'))).to.have.length(2)
    expect(render(false)).to.deep.equal([
      'link set dev a arp off multicast off',
      'link set dev a up',
      'link add name b type veth peer name c',
    ])
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
