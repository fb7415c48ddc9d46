// Each deed of a migration once, wherever the far end is, compared with the model.
import { describe, it } from 'mocha'

import { LINK_CHANGES, TUNNEL_CHANGES } from '../model/deed.ts'
import type { ModelLab } from '../model/lab.ts'
import { newFileLab } from '../model/file-lab.ts'
import { play } from '../model/play.ts'
import type { Round } from '../model/sequence.ts'
import { NODES } from '../model/world.ts'
import { eachLeavesNothing } from '../nothing-left.ts'

const plug = (node: string): Round => [{ wish: 'complete', wire: 'w1', node }]
/** Of the ends by when they were plugged in. */
const begin = (pick: number, node: string): Round => [{ wish: 'migrate', pick, node }]
const cutOver = (pick = 0): Round => [{ wish: 'cut over', pick }]
const cutOverWithoutStore: Round = [{ wish: 'cut over without the store', pick: 0 }]
const cancel: Round = [{ wish: 'cancel', pick: 0 }]
const failLate: Round = [{ wish: 'fail late', pick: 0 }]
const finish: Round = [{ wish: 'finish', pick: 0 }]

describe('ends that migrate, one deed after the other', function () {
  this.timeout(900_000)
  let lab: ModelLab
  eachLeavesNothing(async (made) => {
    lab = made.use(await newFileLab())
  })

  for (const far of NODES) {
    const joined = [plug('n1'), plug(far)]
    it(`from n1 to n2, with the far end on ${far}`, async () => {
      await play(lab, [
        ...joined,
        begin(0, 'n2'),
        cancel,
        begin(0, 'n2'),
        cutOver(),
        failLate,
        begin(0, 'n2'),
        cutOver(),
        finish,
      ])
    })
    it(`with what is changed and deleted by hand meanwhile, and the far end on ${far}`, async () => {
      // Each takes a while: with the far end on each node another of the three ends is meant.
      const pick = NODES.indexOf(far)
      const deeds: readonly Round[] = [
        ...LINK_CHANGES.map((_, change): Round => [{ wish: 'change link', pick, change }]),
        ...TUNNEL_CHANGES.map((_, change): Round => [{ wish: 'change tunnel', pick, change }]),
        [{ wish: 'delete tunnel', pick }],
        [{ wish: 'delete redirect', pick }],
        [{ wish: 'delete link', pick }],
        [{ wish: 'delete claim', pick }],
        [{ wish: 'delete wire', wire: 'w1' }],
        ...NODES.map((node): Round => [{ wish: 'bounce', node }]),
      ]
      await play(lab, [...joined, begin(0, 'n2'), ...deeds, cutOver(), finish])
    })
    it(`from n1 to n2 and back with the store away, with the far end on ${far}`, async () => {
      const there = [begin(0, 'n2'), cutOverWithoutStore]
      const back = [begin(1, 'n1'), cutOverWithoutStore]
      await play(lab, [...joined, ...there, failLate, ...there, finish, ...back, finish])
    })
    it(`from n1 to n2, n3 and back without a pause, with the far end on ${far}`, async () => {
      const rounds = ['n2', 'n3', 'n1'].flatMap((node) => [begin(1, node), cutOver()])
      await play(lab, [...joined, begin(0, 'n2'), cutOver(), ...rounds, finish, finish, failLate])
    })
  }

  for (const [first, second] of [
    ['n3', 'n3'],
    ['n2', 'n3'],
    ['n2', 'n1'],
  ] as const)
    for (const [far, isAtOnce] of [
      ['n1', true],
      ['n2', true],
      ['n2', false],
    ] as const)
      it(`both${isAtOnce ? ' at once' : ''}, from n1 to ${first} and from ${far} to ${second}`, async () => {
        const begins = [begin(0, first), begin(1, second)]
        await play(lab, [
          plug('n1'),
          plug(far),
          ...(isAtOnce ? [begins.flat()] : begins),
          cutOver(1),
          cutOver(),
          failLate,
          finish,
        ])
      })
})
