// One folder, thirty namespaces, one node: every lab has its own wire, although all have the same names
// and the same addresses.
import { setTimeout as sleep } from 'node:timers/promises'

import { expect } from 'chai'
import { describe, it } from 'mocha'

import { newNetnsStation } from '../../kernel/netns-station.ts'
import { run } from '../../kernel/run.ts'
import { newExample, type Example } from '../../lab/example.ts'
import { newLabNode } from '../../lab/node.ts'
import type { Pod } from '../../lab/pod.ts'
import { leavesNothing } from '../nothing-left.ts'

const LABS = 30
const ARRIVE_MS = 60_000
const BROADCAST = Buffer.from(`ffffffffffff02005e00530188b5${'00'.repeat(46)}`, 'hex')

async function countReceived(pods: readonly Pod[]): Promise<readonly number[]> {
  const file = '/sys/class/net/eth1/statistics/rx_packets'
  // "ip netns exec" gives the namespace's own /sys.
  const argv = (pod: Pod): string[] => ['ip', 'netns', 'exec', pod.netns.name, 'cat', file]
  return Promise.all(pods.map(async (pod) => Number(await run(argv(pod)))))
}

function getPods(labs: readonly Example[], name: string): readonly Pod[] {
  return labs.flatMap(({ pods }) => pods[name] ?? [])
}

describe('class-of-30, run', function () {
  this.timeout(300_000)
  leavesNothing()

  it('thirty labs on one node share no wire, and nothing of them stays', async () => {
    await using node = await newLabNode()
    {
      await using plugged = new AsyncDisposableStack()
      const labs: Example[] = []
      for (let number = 1; number <= LABS; number += 1) {
        const namespace = `student-${String(number).padStart(2, '0')}`
        labs.push(plugged.use(await newExample('class-of-30', { node, namespace })))
      }
      await expectOwnPartner(getPods(labs, 'pc1'), getPods(labs, 'pc2'))
      const results = await Promise.all(labs.map(async (lab) => lab.check(60)))
      for (const { exitCode, output } of results) expect(exitCode, output).to.equal(0)
      expect(await node.listDocuments(), 'a wire, and two ends, for each').to.have.length(3 * LABS)
      // One lab loses its cable, and only that one notices.
      await labs[6]?.pods['pc2']?.pull('pc1-pc2')
      expect((await labs[6]?.check(0))?.exitCode).to.equal(1)
      expect((await labs[7]?.check(0))?.exitCode).to.equal(0)
    }
    expect(await node.listDocuments()).to.deep.equal([])
  })
})

const sum = (counts: readonly number[]): number => counts.reduce((a, b) => a + b, 0)

/** The n-th pc1 sends n frames to everybody: the n-th pc2 gets n, and nobody gets another's. */
async function expectOwnPartner(pc1s: readonly Pod[], pc2s: readonly Pod[]): Promise<void> {
  const before = await countReceived([...pc1s, ...pc2s])
  expect(before, 'nobody has spoken yet').to.deep.equal(Array(2 * LABS).fill(0))
  for (const [index, pod] of pc1s.entries()) {
    const place = { label: pod.name, netns: pod.netns.path, ifname: 'eth1' }
    await newNetnsStation(run, place).send(Array<Uint8Array>(index + 1).fill(BROADCAST))
  }
  const want = [...pc1s.map(() => 0), ...pc2s.map((_, index) => index + 1)]
  const deadline = Date.now() + ARRIVE_MS
  let received = await countReceived([...pc1s, ...pc2s])
  while (sum(received) < sum(want) && Date.now() < deadline) {
    await sleep(50)
    received = await countReceived([...pc1s, ...pc2s])
  }
  expect(received).to.deep.equal(want)
}
