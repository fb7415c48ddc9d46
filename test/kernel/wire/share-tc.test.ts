// Commands of tc for one namespace, from several askers at once: fewer processes, and nobody notices.
import { expect } from 'chai'
import { after, before, beforeEach, describe, it } from 'mocha'

import { CommandError } from '../../../core/errors.ts'
import { toHookKey } from '../../../core/observe/observation.ts'
import { parseTargets, type FilterPlace } from '../../../core/steps/filter.ts'
import type { Step } from '../../../core/steps/step.ts'
import { applySteps } from '../../../kernel/apply.ts'
import { readFilters } from '../../../kernel/observe/links.ts'
import { run, type Run } from '../../../kernel/run.ts'
import { shareTc } from '../../../kernel/share-tc.ts'
import { listTraces } from '../../../lab/traces.ts'

const DEVICES = ['l2wshare1', 'l2wshare2', 'l2wshare3', 'l2wshare4'] as const
const [FIRST, SECOND, THIRD, FOURTH] = DEVICES

function toRedirect(dev: string, target: string): Step {
  return { op: 'add-redirect', netns: undefined, dev, target }
}

async function apply(shared: Run, ...steps: readonly Step[]): Promise<void> {
  await applySteps(shared, 'bpf', steps)
}

async function readLeads(): Promise<readonly string[]> {
  const hooks = DEVICES.map((dev): FilterPlace => ({ dev, hook: 'ingress' }))
  const filters = await readFilters(run, hooks)
  return hooks.map((hook) => parseTargets(filters.get(toHookKey(hook)) ?? []).join())
}

describe('shareTc()', () => {
  let started: (readonly string[])[]
  let traces: readonly string[]
  const counted: Run = async (argv, options) => {
    started.push(argv)
    return run(argv, options)
  }

  before(async () => {
    traces = await listTraces()
  })
  beforeEach(async () => {
    started = []
    for (const dev of DEVICES) {
      await run(['ip', 'link', 'del', 'dev', dev]).catch(() => undefined)
      await run(['ip', 'link', 'add', 'name', dev, 'type', 'bridge'])
    }
  })
  after(async () => {
    for (const dev of DEVICES) await run(['ip', 'link', 'del', 'dev', dev])
    expect(await listTraces()).to.deep.equal(traces)
  })

  it('does together what is asked for while one is at work', async () => {
    const shared = shareTc(counted)
    await Promise.all(DEVICES.map(async (dev) => apply(shared, toRedirect(dev, FIRST))))
    expect(await readLeads()).to.deep.equal(DEVICES.map(() => FIRST))
    expect(started.map((argv) => argv.join(' '))).to.deep.equal(['tc -batch -', 'tc -batch -'])
  })

  it('tells who asked for what fails, by name, and stops there for nobody else', async () => {
    const shared = shareTc(counted)
    const results = await Promise.allSettled([
      apply(shared, toRedirect(FIRST, SECOND)),
      apply(shared, toRedirect(SECOND, FIRST)),
      apply(shared, toRedirect(THIRD, 'l2wnone'), toRedirect(THIRD, FIRST)),
      apply(shared, toRedirect('l2wgone', FIRST)),
      apply(shared, toRedirect(FOURTH, FIRST)),
    ])
    const errors = results.map((result) =>
      result.status === 'rejected' ? (result.reason as CommandError) : undefined,
    )
    expect(errors.map((error) => error?.argv.slice(0, 5).join(' '))).to.deep.equal([
      undefined,
      undefined,
      `tc filter replace dev ${THIRD}`,
      'tc qdisc replace dev l2wgone',
      undefined,
    ])
    expect(errors[2]).to.be.instanceOf(CommandError)
    expect(errors[2]?.stderr).to.match(/l2wnone[^]*Command failed -:2\n/)
    expect(errors[3]?.stderr).to.match(/^Cannot find device "l2wgone"\nCommand failed -:1\n$/)
    expect(await readLeads()).to.deep.equal([SECOND, FIRST, '', FIRST])
  })

  it('tells all of a process that does not do its work, and goes on with the next', async () => {
    let isBroken = true
    const shared = shareTc(async (argv, options) =>
      run(isBroken ? ['l2w-no-such-program'] : argv, options),
    )
    const results = await Promise.allSettled(
      DEVICES.map(async (dev) => apply(shared, toRedirect(dev, FIRST))),
    )
    expect(results.map(({ status }) => status)).to.deep.equal(DEVICES.map(() => 'rejected'))
    isBroken = false
    await apply(shared, toRedirect(SECOND, FIRST))
    expect((await readLeads())[1]).to.equal(FIRST)
  })

  it('leaves other commands alone', async () => {
    const shared = shareTc(counted)
    const shown = await Promise.all(
      DEVICES.map(async (dev) => shared(['ip', '-br', 'link', 'show', 'dev', dev])),
    )
    expect(shown.map((line) => line.split(' ')[0])).to.deep.equal(DEVICES)
    expect(started).to.have.length(DEVICES.length)
  })
})
