// CHECK says what has been tampered with.
import { expect } from 'chai'
import { after, before, describe, it } from 'mocha'

import { toHostEndName } from '../../../core/name.ts'
import { run } from '../../../kernel/run.ts'
import { signalHearing } from '../../../lab/hearing.ts'
import { usePods } from '../fixture-pods.ts'

describe('CHECK', function () {
  this.timeout(90_000)
  // Before the agent is ended.
  after(async () => signalHearing(pods().node, 'CONT'))
  const pods = usePods()

  const tampering: readonly {
    name: string
    argv: readonly string[]
    inPod?: true
    word: string
  }[] = [
    {
      name: 'a redirect is gone',
      argv: ['tc', 'filter', 'del', 'dev', toHostEndName('c1', 'eth1'), 'ingress'],
      word: 'leads to ""',
    },
    {
      name: 'the way back is gone',
      argv: ['tc', 'qdisc', 'del', 'dev', toHostEndName('c2', 'eth1'), 'clsact'],
      word: 'leads to ""',
    },
    {
      name: 'a host end is down',
      argv: ['ip', 'link', 'set', 'dev', toHostEndName('c1', 'eth1'), 'down'],
      word: 'is down',
    },
    {
      name: 'a host end has another MTU',
      argv: ['ip', 'link', 'set', 'dev', toHostEndName('c2', 'eth1'), 'mtu', '1400'],
      word: 'has MTU 1400, expected 9216',
    },
    {
      name: 'a host end does ARP',
      argv: ['ip', 'link', 'set', 'dev', toHostEndName('c1', 'eth1'), 'arp', 'on'],
      word: 'may speak by itself',
    },
    {
      name: 'its host end is gone',
      argv: ['ip', 'link', 'del', 'dev', toHostEndName('c1', 'eth1')],
      word: 'not in the pod',
    },
    {
      name: 'the MAC is another',
      argv: ['ip', 'link', 'set', 'dev', 'eth1', 'address', '02:00:00:00:00:77'],
      inPod: true,
      word: 'MAC',
    },
    {
      name: 'the MTU is another',
      argv: ['ip', 'link', 'set', 'dev', 'eth1', 'mtu', '900'],
      inPod: true,
      word: 'MTU',
    },
  ]
  // An agent that hears of it mends it, perhaps before CHECK looks.
  before(async () => signalHearing(pods().node, 'STOP'))

  for (const { name, argv, inPod, word } of tampering)
    it(`notices that ${name}`, async () => {
      const { a, b, add, del, check } = pods()
      await add(a, 'c1')
      await add(b, 'c2')
      expect((await check(a, 'c1')).exitCode).to.equal(0)
      await (inPod ? a.run(argv) : run(argv))
      const answer = await check(a, 'c1')
      expect(answer.output).to.include({ code: 105 })
      expect(answer.output?.['msg']).to.include(word)
      await del(a, 'c1')
      await del(b, 'c2')
    })
})
