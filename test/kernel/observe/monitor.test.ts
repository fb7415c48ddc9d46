// An agent's ears: what others do to devices and filters of its namespace, and of pods with a pair to it.
import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'

import { expect } from 'chai'
import { afterEach, beforeEach, describe, it } from 'mocha'

import type { FilterEvent, LinkEvent } from '../../../core/observe/kernel-event.ts'
import { run } from '../../../kernel/run.ts'
import { readConfinement } from '../../../lab/agent-confinement.ts'
import { newLabNetns, type LabNetns } from '../../../lab/netns.ts'
import { expectSoon } from '../../expect-soon.ts'
import { leavesNothing } from '../../nothing-left.ts'

const WATCH = join(import.meta.dirname, '../fixture-watch.ts')
const HOST_END = 'lw0123456789abc'

type Told = readonly [string, unknown]

interface Watcher {
  readonly process: ChildProcess
  readonly told: readonly Told[]
  readonly hasTold: (what: string, isIt: (value: never) => boolean) => boolean
  readonly forget: () => void
  /** By words of its command line. */
  readonly findChild: (words: string) => Promise<number>
}

async function newWatcher(netns: LabNetns, confine: readonly string[] = []): Promise<Watcher> {
  const enter = ['--pdeathsig', 'KILL', 'ip', 'netns', 'exec', netns.name]
  const argv = [...enter, ...confine, process.execPath, WATCH]
  const child = spawn('setpriv', argv, { stdio: ['ignore', 'pipe', 'inherit'] })
  const told: Told[] = []
  let text = ''
  child.stdout.setEncoding('utf8').on('data', (chunk: string) => {
    const lines = `${text}${chunk}`.split('\n')
    text = lines.pop() ?? ''
    told.push(...lines.map((line) => JSON.parse(line) as Told))
  })
  const watcher: Watcher = {
    process: child,
    told,
    hasTold: (what, isIt) => told.some(([kind, value]) => kind === what && isIt(value as never)),
    forget: () => {
      told.length = 0
    },
    findChild: async (words) => Number(await run(['pgrep', '-P', `${child.pid}`, '-f', words])),
  }
  await expectSoon('watching', () => watcher.hasTold('ready', () => true))
  return watcher
}

async function isRunning(pid: number): Promise<boolean> {
  const listed = await run(['ps', '-eo', 'pid=,stat='])
  return listed.split('\n').some((row) => new RegExp(`^\\s*${pid} [^Z]`).test(row))
}

function toRoute(...hops: readonly string[]): readonly string[] {
  return [
    '2001:db8::2/128',
    ...hops.flatMap((hop) => ['nexthop', 'via', `fe80::${hop}`, 'dev', `up${hop}`]),
  ]
}

describe('watchKernel()', () => {
  let node: LabNetns
  let pod: LabNetns
  let watcher: Watcher

  leavesNothing()

  beforeEach(async () => {
    node = await newLabNetns('node')
    pod = await newLabNetns('pod')
    const pair = ['type', 'veth', 'peer', 'name', 'eth1', 'netns', pod.name]
    await node.run(['ip', 'link', 'add', 'name', HOST_END, ...pair])
    watcher = await newWatcher(node)
  })
  afterEach(async () => {
    if (watcher.process.exitCode === null && watcher.process.signalCode === null) {
      const ended = once(watcher.process, 'exit')
      watcher.process.kill('SIGTERM')
      await ended
    }
    await pod[Symbol.asyncDispose]()
    await node[Symbol.asyncDispose]()
  })

  const hearsLink = async (what: string, isIt: (event: LinkEvent) => boolean): Promise<void> =>
    expectSoon(what, () => watcher.hasTold('link', isIt))

  it('hears a pod end go up and down, while the host end is down, as the peer of its host end', async () => {
    await node.run(['ip', 'link', 'set', 'dev', HOST_END, 'mtu', '9216'])
    await hearsLink('the host end', ({ name }) => name === HOST_END)
    const told = watcher.told.find(([, event]) => (event as LinkEvent).name === HOST_END)
    const hostEnd = told?.[1] as LinkEvent | undefined
    expect(hostEnd).to.include({ nsid: 'current', isUp: false, isDeleted: false })
    for (const [word, isGoingUp] of [
      ['up', true],
      ['down', false],
    ] as const) {
      watcher.forget()
      await pod.run(['ip', 'link', 'set', 'dev', 'eth1', word])
      await hearsLink(
        `pod end ${word}`,
        ({ nsid, ifindex, peer, isUp }) =>
          nsid !== 'current' &&
          ifindex === hostEnd?.peer?.ifindex &&
          peer?.ifindex === hostEnd.ifindex &&
          isUp === isGoingUp,
      )
    }
  })

  it('hears of a namespace that came after it', async () => {
    const late = await newLabNetns('late')
    try {
      const pair = ['type', 'veth', 'peer', 'name', 'eth2', 'netns', late.name]
      await node.run(['ip', 'link', 'add', 'name', 'lw1', ...pair])
      await late.run(['ip', 'link', 'set', 'dev', 'eth2', 'up'])
      await hearsLink('pod end up', ({ name, isUp }) => name === 'eth2' && isUp)
      await late.run(['ip', 'link', 'del', 'dev', 'eth2'])
      await hearsLink('host end gone', ({ name, isDeleted }) => name === 'lw1' && isDeleted)
    } finally {
      await late[Symbol.asyncDispose]()
    }
  })

  it('hears a redirect come, and go, alone or with its qdisc', async () => {
    const filter = ['filter', 'add', 'dev', HOST_END, 'ingress', 'pref', '1', 'protocol', 'all']
    const redirect = ['mirred', 'egress', 'redirect', 'dev', HOST_END]
    const all = ['u32', 'match', 'u32', '0', '0', 'action', ...redirect]
    const hears = async (what: string, wanted: string | undefined): Promise<void> =>
      expectSoon(what, () =>
        watcher.hasTold(
          'filter',
          ({ dev, target }: FilterEvent) => dev === HOST_END && target === wanted,
        ),
      )
    for (const gone of [
      ['filter', 'del', 'dev', HOST_END, 'ingress', 'pref', '1'],
      ['qdisc', 'del', 'dev', HOST_END, 'clsact'],
    ]) {
      await node.run(['tc', 'qdisc', 'replace', 'dev', HOST_END, 'clsact'])
      await node.run(['tc', ...filter, ...all])
      await hears('made', HOST_END)
      watcher.forget()
      await node.run(['tc', ...gone])
      await hears(gone.join(' '), undefined)
    }
  })

  it('hears a rule or an element of our table go, whatever goes beside it', async () => {
    const script = [
      'add table inet l2wire; add chain inet l2wire input; add set inet l2wire peers4 { type ipv4_addr; }',
      'add rule inet l2wire input counter; add element inet l2wire peers4 { 192.0.2.1 }',
      'add table inet l2wire2; add chain inet l2wire2 input; add rule inet l2wire2 input counter',
    ].join('\n')
    for (const gone of [
      'delete element inet l2wire peers4 { 192.0.2.1 }',
      'flush set inet l2wire peers4',
      'flush chain inet l2wire input',
      'delete table inet l2wire',
      'flush ruleset',
    ]) {
      await node.run(['nft', `flush ruleset\n${script}`])
      watcher.forget()
      await node.run(['nft', 'delete', 'table', 'inet', 'l2wire2'])
      await node.run(['nft', gone])
      await expectSoon(gone, () => watcher.hasTold('table', () => true))
    }
  })

  it('hears a route of several hops come, and change', async () => {
    await node.run(['sysctl', '-qw', 'net.ipv6.conf.default.accept_dad=0'])
    await node.run(['ip', 'link', 'add', 'name', 'up0', 'type', 'veth', 'peer', 'name', 'up1'])
    for (const dev of ['up0', 'up1']) await node.run(['ip', 'link', 'set', 'dev', dev, 'up'])
    for (const change of [
      ['add', ...toRoute('0', '1')],
      ['replace', ...toRoute('1', '0')],
    ]) {
      watcher.forget()
      await node.run(['ip', 'route', ...change])
      await expectSoon(change.join(' '), () => watcher.hasTold('hops', () => true))
    }
  })

  for (const words of ['monitor link', 'tc monitor', 'nft monitor', 'monitor route'])
    it(`tells of a gap when its "${words}" is killed, and hears again`, async () => {
      process.kill(await watcher.findChild(words), 'SIGKILL')
      await expectSoon('gap', () =>
        watcher.hasTold('gap', (reason: string) => reason.includes(words)),
      )
      await node.run(['ip', 'link', 'set', 'dev', HOST_END, 'up'])
      await node.run(['tc', 'qdisc', 'replace', 'dev', HOST_END, 'clsact'])
      await node.run(['tc', 'qdisc', 'del', 'dev', HOST_END, 'clsact'])
      await hearsLink('host end up', ({ name, isUp }) => name === HOST_END && isUp)
      await expectSoon('filter', () =>
        watcher.hasTold(
          'filter',
          ({ dev, target }: FilterEvent) => dev === HOST_END && target === undefined,
        ),
      )
    })

  it('tells of events that its buffer had no room for, and hears again', async () => {
    const ip = await watcher.findChild('monitor link')
    process.kill(ip, 'SIGSTOP')
    const change = ['up', 'down'].map((word) => `link set dev ${HOST_END} ${word}\n`).join('')
    await run(['nsenter', `--net=${node.path}`, 'ip', '-batch', '-'], {
      input: change.repeat(5_000),
      // It takes two seconds, and on a busy machine as long as it takes.
      timeoutMs: 80_000,
    })
    process.kill(ip, 'SIGCONT')
    await expectSoon('gap', () =>
      watcher.hasTold('gap', (reason: string) => reason.includes('No buffer space available')),
    )
    await pod.run(['ip', 'link', 'set', 'dev', 'eth1', 'name', 'eth7'])
    await hearsLink('rename', ({ name }) => name === 'eth7')
  })

  it('hears a pod end with no capabilities but those that deploy/ gives', async () => {
    const confined = await newWatcher(node, await readConfinement())
    await pod.run(['ip', 'link', 'set', 'dev', 'eth1', 'up'])
    await expectSoon('pod end up', () =>
      confined.hasTold('link', ({ name, isUp }: LinkEvent) => name === 'eth1' && isUp),
    )
    const ended = once(confined.process, 'exit')
    confined.process.kill('SIGTERM')
    await ended
  })

  it('leaves no child behind, disposed or killed', async () => {
    for (const signal of ['SIGTERM', 'SIGKILL'] as const) {
      const other = await newWatcher(node)
      const children = await Promise.all(
        ['monitor link', 'tc monitor', 'nft monitor', 'monitor route'].map(other.findChild),
      )
      for (const pid of children) expect(await isRunning(pid)).to.equal(true)
      const ended = once(other.process, 'exit')
      other.process.kill(signal)
      await ended
      if (signal === 'SIGTERM') expect(other.hasTold('stopped', () => true)).to.equal(true)
      for (const pid of children)
        await expectSoon(`${pid} gone`, async () => !(await isRunning(pid)))
    }
  })
})
