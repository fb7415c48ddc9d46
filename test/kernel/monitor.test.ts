// An agent's ears: what others do to devices and filters of its namespace, and of pods with a pair to it.
import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'

import { expect } from 'chai'
import { afterEach, beforeEach, describe, it } from 'mocha'

import type { LinkEvent } from '../../core/kernel-event.ts'
import { run } from '../../kernel/run.ts'
import { readConfinement } from '../../lab/agent-confinement.ts'
import { newLabNetns, type LabNetns } from '../../lab/netns.ts'
import { expectSoon } from '../expect-soon.ts'
import { leavesNothing } from '../nothing-left.ts'

const WATCH = join(import.meta.dirname, 'fixture-watch.ts')
const HOST_END = 'lw0123456789abc'

type Told = readonly [string, unknown]

interface Watcher {
  readonly process: ChildProcess
  readonly told: readonly Told[]
  readonly hasTold: (what: string, isIt: (value: never) => boolean) => boolean
  readonly forget: () => void
  readonly findChild: (program: string) => Promise<number>
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
    findChild: async (program) => Number(await run(['pgrep', '-P', `${child.pid}`, '-x', program])),
  }
  await expectSoon('watching', () => watcher.hasTold('ready', () => true))
  return watcher
}

async function isRunning(pid: number): Promise<boolean> {
  const listed = await run(['ps', '-eo', 'pid=,stat='])
  return listed.split('\n').some((row) => new RegExp(`^\\s*${pid} [^Z]`).test(row))
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

  it('hears a redirect go, alone or with its qdisc', async () => {
    const filter = ['filter', 'add', 'dev', HOST_END, 'ingress', 'pref', '1', 'protocol', 'all']
    const redirect = ['mirred', 'egress', 'redirect', 'dev', HOST_END]
    const all = ['u32', 'match', 'u32', '0', '0', 'action', ...redirect]
    const hears = async (what: string): Promise<void> =>
      expectSoon(what, () => watcher.hasTold('filter', (dev) => dev === HOST_END))
    for (const gone of [
      ['filter', 'del', 'dev', HOST_END, 'ingress', 'pref', '1'],
      ['qdisc', 'del', 'dev', HOST_END, 'clsact'],
    ]) {
      await node.run(['tc', 'qdisc', 'replace', 'dev', HOST_END, 'clsact'])
      await node.run(['tc', ...filter, ...all])
      watcher.forget()
      await node.run(['tc', ...gone])
      await hears(gone.join(' '))
    }
  })

  for (const program of ['ip', 'tc'])
    it(`tells of a gap when its ${program} is killed, and hears again`, async () => {
      process.kill(await watcher.findChild(program), 'SIGKILL')
      await expectSoon('gap', () =>
        watcher.hasTold('gap', (reason: string) => reason.startsWith(`Cannot run "${program} `)),
      )
      await node.run(['ip', 'link', 'set', 'dev', HOST_END, 'up'])
      await node.run(['tc', 'qdisc', 'replace', 'dev', HOST_END, 'clsact'])
      await node.run(['tc', 'qdisc', 'del', 'dev', HOST_END, 'clsact'])
      await hearsLink('host end up', ({ name, isUp }) => name === HOST_END && isUp)
      await expectSoon('filter', () => watcher.hasTold('filter', (dev) => dev === HOST_END))
    })

  it('tells of events that its buffer had no room for, and hears again', async () => {
    const ip = await watcher.findChild('ip')
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
      const children = [await other.findChild('ip'), await other.findChild('tc')]
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
