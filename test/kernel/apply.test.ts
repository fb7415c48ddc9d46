// Steps on a real kernel, where something else than what they want is there already.
import { expect } from 'chai'
import { describe, it } from 'mocha'

import { parseFilters, parseTargets } from '../../core/steps/filter.ts'
import { applySteps } from '../../kernel/apply.ts'
import { run } from '../../kernel/run.ts'
import { newLabNetns } from '../../lab/netns.ts'

describe('applySteps()', () => {
  it('puts a redirect in the place of a filter of another kind, and goes on', async () => {
    await using lab = await newLabNetns('apply')
    await lab.run(['ip', 'link', 'add', 'name', 'l2wa', 'type', 'veth', 'peer', 'name', 'l2wb'])
    await lab.run(['tc', 'qdisc', 'add', 'dev', 'l2wa', 'clsact'])
    const foreign = 'dev l2wa ingress pref 1 protocol all u32 match u32 0 0'
    await lab.run(['tc', 'filter', 'add', ...foreign.split(' ')])
    const redirect = { op: 'add-redirect', netns: lab.path } as const
    await applySteps(run, 'bpf', [
      { ...redirect, dev: 'l2wb', target: 'l2wa' },
      { ...redirect, dev: 'l2wa', target: 'lo' },
      { op: 'steer', netns: lab.path, dev: 'l2wa', hook: 'egress', place: 1, ...TO_LO },
    ])
    const readTargets = async (dev: string): Promise<readonly string[]> =>
      parseTargets(
        parseFilters(await lab.run(['tc', '-j', 'filter', 'show', 'dev', dev, 'ingress'])),
      )
    expect(await readTargets('l2wb')).to.deep.equal(['l2wa'])
    expect(await readTargets('l2wa')).to.deep.equal(['lo'])
    const egress = await lab.run(['tc', 'filter', 'show', 'dev', 'l2wa', 'egress'])
    expect(egress).to.include('Redirect to device lo')
  })
})

const TO_LO = {
  target: 'lo',
  into: 'egress',
  frames: { protocol: 'ip', conditions: [] },
} as const
