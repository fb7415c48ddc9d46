// The examples, run: real daemons in namespaces and VMs on real cables. Each check.sh must pass, and must
// fail when a cable is out.
import { setTimeout as sleep } from 'node:timers/promises'

import { expect } from 'chai'
import { describe, it } from 'mocha'

import { newExample, type CheckResult, type Example } from '../../lab/example.ts'
import { leavesNothing } from '../nothing-left.ts'

const PATIENCE_SECONDS = 120
/** A protocol notices by its hold time. */
const NOTICE_MS = 120_000

const rows = [
  { name: 'lldp', end: 'h1', cable: 'r1-h1', want: /yes {2}the VM r1 sees the container h1/ },
  { name: 'mgmt-and-wire', end: 'h1', cable: 'r1-h1', want: /yes {2}r1 reaches h1/ },
  { name: 'pod-network', end: 'web', cable: 'default', want: /yes {2}and web serves its page/ },
  { name: 'port-mirroring', end: 'probe', cable: 'sw1-probe', want: /yes {2}five replies/ },
  { name: 'three-routers', end: 'r3', cable: 'r1-r3', want: /yes {2}r1 .* by way of r2/ },
  { name: 'trunk-vlans', end: 'r1', cable: 'r1-r2', want: /yes {2}green has tag 100 and tag 10/ },
  { name: 'two-vms', end: 'r2', cable: 'r1-r2', want: /yes {2}r2 reaches r1/ },
  { name: 'vrrp-pair', end: 'r1', cable: 'sw1-r1', want: /yes {2}r2 is the master, r1 is not/ },
]

describe('examples, run', function () {
  this.timeout(420_000)

  leavesNothing()

  for (const { name, end, cable, want } of rows)
    it(`${name}: the check passes, and fails when ${end} is off ${cable}`, async () => {
      await using example = await newExample(name)
      const passed = await example.check(PATIENCE_SECONDS)
      if (passed.exitCode !== 0) throw new Error(`${passed.output}\n${await example.readLogs()}`)
      expect(passed.output).to.match(want)
      await getEnd(example, end).pull(cable)
      const failed = await checkUntilFailed(example)
      expect(failed.output).to.match(/^NO /m)
    })

  it('vrrp-pair: the backup takes over when the master itself is gone', async () => {
    await using example = await newExample('vrrp-pair')
    const { r1, r2, sw1 } = example.pods
    await eventually(async () => {
      expect(await r1?.netns.run(['ip', 'address', 'show'])).to.include(' 10.0.0.1/24 ')
    })
    await r1?.containers[0]?.[Symbol.asyncDispose]()
    await eventually(async () => {
      const addresses = await r2?.netns.run(['ip', 'address', 'show'])
      expect(addresses).to.include(' 10.0.0.1/24 ')
      const learned = await sw1?.netns.run(['bridge', 'fdb', 'show', 'dev', 'eth2'])
      expect(learned).to.include('00:00:5e:00:01:33')
    })
  })
})

function getEnd(example: Example, name: string): { pull: (network: string) => Promise<void> } {
  const end = example.pods[name] ?? example.vms[name]
  if (end !== undefined) return end
  throw new Error(`No pod or VM "${name}" in the example`)
}

/** The first check that fails; throws when all pass for as long as a protocol may take to notice. */
async function checkUntilFailed(example: Example): Promise<CheckResult> {
  const deadline = Date.now() + NOTICE_MS
  for (;;) {
    const result = await example.check(0)
    if (result.exitCode !== 0) return result
    if (Date.now() > deadline) throw new Error(`It passes without the cable: ${result.output}`)
    await sleep(500)
  }
}

async function eventually(assert: () => Promise<void>): Promise<void> {
  const deadline = Date.now() + NOTICE_MS
  for (;;) {
    try {
      await assert()
      return
    } catch (error) {
      if (Date.now() > deadline) throw error
      await sleep(200)
    }
  }
}
