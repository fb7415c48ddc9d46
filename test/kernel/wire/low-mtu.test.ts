// Wires whose devices have less than the 1280 bytes that IPv6 needs: Linux forgets there what it was told of
// IPv6, and has its defaults again with a larger MTU.
import { expect } from 'chai'
import { describe, it } from 'mocha'

import { describeFrame } from '../../../core/tester/verdict.ts'
import { startListening } from '../../listening.ts'
import { waitForStack } from '../fixture-vm-cable.ts'
import { expectPassing, plug, unplug, useWall, type End } from '../fixture-wall.ts'

describe('a cable of few bytes', function () {
  this.timeout(90_000)
  const getWall = useWall()

  for (const where of ['on one node', 'across nodes'] as const)
    for (const maxFrame of [68, 1279, 1280])
      it(`${where}, of ${maxFrame}, is silent whatever its devices' MTU becomes`, async () => {
        const { n1, n2, spaces } = getWall()
        const a: End = { on: n1, netns: spaces[0], pod: 'h1' }
        const b: End = { on: where === 'on one node' ? n1 : n2, netns: spaces[1], pod: 'h2' }
        await plug(a, { maxFrame })
        await plug(b, { maxFrame })
        await expectPassing(a, b)
        await expectPassing(b, a)
        {
          await using atA = await startListening(a.netns.path, 'eth1')
          await using atB = await startListening(b.netns.path, 'eth1')
          for (const { netns } of [n1, n2]) {
            const links = await netns.run(['ip', '-br', 'link', 'show'])
            for (const [device] of links.matchAll(/^l[wx][0-9a-f]{13}/gm))
              await netns.run(['ip', 'link', 'set', 'dev', device, 'mtu', '1500'])
            await waitForStack(netns)
          }
          for (const listening of [atA, atB])
            expect((await listening.read()).map(describeFrame)).to.deep.equal([])
        }
        await expectPassing(a, b)
        await expectPassing(b, a)
        await unplug(a)
        await unplug(b)
      })
})
