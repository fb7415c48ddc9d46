// One look at all that is ours in a namespace, among devices that are not.
import { expect } from 'chai'
import { afterEach, beforeEach, describe, it } from 'mocha'

import { CommandError } from '../../../core/errors.ts'
import { getOurKind, type NodeObservation } from '../../../core/observe/node.ts'
import { toHookKey } from '../../../core/observe/observation.ts'
import { parseTargets } from '../../../core/steps/filter.ts'
import type { Step } from '../../../core/steps/step.ts'
import { applySteps } from '../../../kernel/apply.ts'
import { readIpv6Addresses } from '../../../kernel/observe/links.ts'
import { observeNode } from '../../../kernel/observe/node.ts'
import { probeClassifier } from '../../../kernel/probe.ts'
import { run, type Run } from '../../../kernel/run.ts'
import { newLabNetns, type LabNetns } from '../../../lab/netns.ts'
import { leavesNothing } from '../../nothing-left.ts'

const A = 'lw00000000000aa'
const B = 'lw00000000000bb'
const TUNNEL = 'lx00000000000cc'
const ALIAS = 'l2wire lab/w h1 eth1'

async function apply(...steps: readonly Step[]): Promise<void> {
  await applySteps(run, await probeClassifier(run), steps)
}

/** Undefined where nobody has looked. */
function getTargets({ filters }: NodeObservation, dev: string): readonly string[] | undefined {
  const there = filters.get(toHookKey({ dev, hook: 'ingress' }))
  return there === undefined ? undefined : parseTargets(there)
}

async function countProcesses(inside: Run): Promise<number> {
  let started = 0
  await observeNode(async (argv, options) => {
    started += 1
    return inside(argv, options)
  })
  return started
}

describe('observeNode()', () => {
  let node: LabNetns
  let pod: LabNetns
  let inside: Run

  leavesNothing()

  beforeEach(async () => {
    node = await newLabNetns('node')
    pod = await newLabNetns('pod')
    inside = async (argv, options) => run(['nsenter', `--net=${node.path}`, ...argv], options)
  })
  afterEach(async () => {
    await pod[Symbol.asyncDispose]()
    await node[Symbol.asyncDispose]()
  })

  const addPair = async (hostEnd: string, podEnd: string, alias?: string): Promise<void> => {
    const pair = ['type', 'veth', 'peer', 'name', podEnd, 'netns', pod.name]
    await node.run(['ip', 'link', 'add', 'name', hostEnd, 'mtu', '9216', ...pair])
    if (alias !== undefined)
      await apply({ op: 'set-link', netns: node.path, dev: hostEnd, alias, up: true })
  }
  const redirect = async (dev: string, target: string): Promise<void> =>
    apply({ op: 'add-redirect', netns: node.path, dev, target })

  it('sees two ends that are joined, one of them with its pod end up', async () => {
    await addPair(A, 'eth1', ALIAS)
    await addPair(B, 'eth2', ALIAS)
    await redirect(A, B)
    await redirect(B, A)
    await pod.run(['ip', 'link', 'set', 'dev', 'eth2', 'up'])
    const seen = await observeNode(inside)
    const { links } = seen
    expect([...links.keys()]).to.have.members([A, B])
    const common = { isUp: true, mtuBytes: 9216, alias: ALIAS, kind: 'veth', vxlan: null }
    expect(links.get(A)).to.deep.include({ ...common, hasCarrier: false })
    expect(links.get(B)).to.deep.include({ ...common, hasCarrier: true })
    expect([...links.values()].map(getOurKind)).to.deep.equal(['host-end', 'host-end'])
    expect([A, B].map((dev) => getTargets(seen, dev))).to.deep.equal([[B], [A]])
    const indexOf = async (dev: string): Promise<number> =>
      Number(/^\d+/.exec(await pod.run(['ip', '-o', 'link', 'show', 'dev', dev]))?.[0])
    expect(links.get(A)?.peer?.ifindex).to.equal(await indexOf('eth1'))
    expect(links.get(B)?.peer?.ifindex).to.equal(await indexOf('eth2'))
    expect(links.get(A)?.peer?.nsid).to.be.a('number')
    expect(links.get(A)?.peer?.nsid).to.equal(links.get(B)?.peer?.nsid)
  })

  it('sees a redirect whose target is gone, and an end without any', async () => {
    await addPair(A, 'eth1', ALIAS)
    await addPair(B, 'eth2', ALIAS)
    await redirect(A, 'lo')
    await node.run(['ip', 'link', 'add', 'name', 'gone', 'type', 'veth'])
    await redirect(A, 'gone')
    await node.run(['ip', 'link', 'del', 'dev', 'gone'])
    const seen = await observeNode(inside)
    expect(getTargets(seen, A)).to.deep.equal(['*'])
    expect(getTargets(seen, B)).to.deep.equal([])
  })

  it('sees a tunnel, whom the node lets in, and whether it keeps others out', async () => {
    expect(await observeNode(inside)).to.deep.equal({
      links: new Map(),
      filters: new Map(),
      // Of the namespace that this process is in.
      addresses: await readIpv6Addresses(),
      offloads: new Map(),
      peers: new Set(),
      hasTable: false,
      checksPath: false,
      hops: new Set(),
    })
    const netns = node.path
    const [local, remote, port] = ['2001:db8::1', '2001:db8::2', 14_789]
    await apply(
      { op: 'guard-port', netns, port, checksPath: true, hops: ['up0', 'up1'] },
      { op: 'allow-peer', netns, address: remote, vni: 4096 },
      { op: 'allow-peer', netns, address: '192.0.2.2', vni: 16_777_215 },
      { op: 'add-vxlan', netns, dev: TUNNEL, vni: 4096, local, remote, port },
      { op: 'set-link', netns, dev: TUNNEL, mtuBytes: 9216, alias: ALIAS },
    )
    const seen = await observeNode(inside)
    const { links, peers, hasTable } = seen
    expect([...peers]).to.have.members([`${remote} 4096`, '192.0.2.2 16777215'])
    expect(hasTable).to.equal(true)
    const { ifindex = 0, ...tunnel } = links.get(TUNNEL) ?? {}
    expect(ifindex).to.be.greaterThan(1)
    expect(tunnel).to.deep.include({
      name: TUNNEL,
      isUp: false,
      hasCarrier: false,
      mtuBytes: 9216,
      alias: ALIAS,
      kind: 'vxlan',
      vxlan: { vni: 4096, local, remote, port },
    })
    expect(tunnel).to.not.have.property('peer')
    expect([...links.values()].map(getOurKind)).to.deep.equal(['tunnel'])
    expect(getTargets(seen, TUNNEL)).to.deep.equal([])
    // What it leaves is the sets: everybody is let in.
    await node.run(['nft', 'flush', 'table', 'inet', 'l2wire'])
    const flushed = await observeNode(inside)
    expect(flushed.hasTable).to.equal(false)
    expect(flushed.peers.size).to.equal(2)
  })

  it("does not claim a user's devices", async () => {
    await addPair('lwfoo', 'eth1')
    await addPair('lwffffffffffffff'.slice(0, 15), 'eth2')
    await addPair('lw00000000000dd', 'eth3', 'mine, not yours')
    await addPair('lwbar', 'eth4', ALIAS)
    await addPair(A, 'eth5', ALIAS)
    const { links } = await observeNode(inside)
    expect([...links.values()].filter(getOurKind).map(({ name }) => name)).to.deep.equal([A])
    for (const name of ['lwfoo', 'lwbar', 'eth1']) expect(links.has(name), name).to.equal(false)
  })

  it('passes over devices that go while it looks', async () => {
    const names = ['1', '2', '3', '4'].map((digit) => `lw000000000000${digit}`)
    for (const [at, name] of names.entries()) {
      await addPair(name, `eth${at}`, ALIAS)
      await redirect(name, name)
    }
    let looks = 0
    const racing: Run = async (argv, options) => {
      if (argv[0] === 'tc') {
        looks += 1
        if (looks <= 2)
          await node.run(['ip', 'link', 'del', 'dev', names[looks === 1 ? 0 : 2] ?? ''])
      }
      return inside(argv, options)
    }
    const observed = await observeNode(racing)
    const seen = [...observed.links.keys()].map((name) => [name, getTargets(observed, name)])
    expect(seen).to.deep.equal([
      [names[1], [names[1]]],
      [names[3], [names[3]]],
    ])
    expect(looks).to.equal(3)
  })

  it('takes as many processes for many ends as for one', async () => {
    await addPair(A, 'eth0', ALIAS)
    const one = await countProcesses(inside)
    for (let at = 1; at <= 9; at += 1) await addPair(`lw000000000000${at}`, `eth${at}`, ALIAS)
    expect(await countProcesses(inside)).to.equal(one)
  })

  it('takes no tool that fails for an empty node', async () => {
    await addPair(A, 'eth1', ALIAS)
    for (const broken of ['ip', 'tc', 'nft']) {
      const failing: Run = async (argv, options) =>
        inside(argv[0] === broken ? ['l2w-no-such-program'] : argv, options)
      const outcome = await observeNode(failing).catch((error: unknown) => error)
      expect(outcome, broken).to.be.instanceOf(CommandError)
    }
  })
})
