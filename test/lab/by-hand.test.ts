// docs/by-hand.md is run as it stands.
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'

import { expect } from 'chai'
import { describe, it } from 'mocha'

import { run } from '../../kernel/run.ts'
import { ROOT } from '../../lab/manifests.ts'
import { leavesNothing } from '../nothing-left.ts'

describe('docs/by-hand.md', () => {
  leavesNothing()

  it('does what it says, and takes it away again', async function () {
    this.timeout(180_000)
    const text = await readFile(join(ROOT, 'docs/by-hand.md'), 'utf8')
    const [make = '', takeAway = ''] = [...text.matchAll(/```sh\n([\s\S]*?)```/g)].map(
      (match) => match[1] ?? '',
    )
    try {
      const script = `set -e; cd ${ROOT}\n${make}wait %2 || true\n${takeAway}`
      const said = await run(['bash', '--norc', '-c', script], { timeoutMs: 120_000 })
      expect(said.match(/ {2,}delivered {2,}delivered/g)?.length).to.be.greaterThan(90)
      expect(said, 'what the capture printed').to.match(/ethertype|802\.3/)
    } finally {
      // Where it failed half-way. The brackets keep the pattern from finding this very command.
      const clear = 'for pod in l2wA l2wB; do ip netns del $pod; done; rm -rf /tmp/l2w-hand'
      await run(['bash', '--norc', '-c', `pkill -f '[l]2wire-agent.*l2w-hand'; ${clear}; true`])
    }
  })
})
