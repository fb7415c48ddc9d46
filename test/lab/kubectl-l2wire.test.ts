// kubectl-l2wire on real wires of the file store: what it sees, what it hears, what it says is wrong.
import { mkdtemp, readFile, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'

import { expect } from 'chai'
import { after, before, describe, it } from 'mocha'

import { toHostEndName, toTunnelDeviceName } from '../../core/name.ts'
import { decodePcap } from '../../core/tester/pcap.ts'
import type { WireDescription } from '../../core/view/description.ts'
import { newNetnsStation } from '../../kernel/tester/netns-station.ts'
import { run } from '../../kernel/run.ts'
import { newLabCluster, type ClusterNode, type LabCluster } from '../../lab/cluster.ts'
import { runCommand, startCommand, type Ended, type RunningCommand } from '../../lab/command.ts'
import { signalHearing } from '../../lab/hearing.ts'
import { newLabNetns, type LabNetns } from '../../lab/netns.ts'
import { newLabNode, type LabNode } from '../../lab/node.ts'
import { expectSoon } from '../expect-soon.ts'
import { leavesNothing } from '../nothing-left.ts'

const CONFIG = { cniVersion: '1.1.0', name: 'a-b', type: 'l2wire' }

async function plug(node: LabNode, pod: LabNetns, name: string): Promise<void> {
  const args = `K8S_POD_NAMESPACE=lab;K8S_POD_NAME=${name}`
  const call = { command: 'ADD', containerID: `c-${name}`, netns: pod.path, ifname: 'eth1', args }
  await node.mustCall(CONFIG, call)
}

const hostOf = (name: string): string => toHostEndName(`c-${name}`, 'eth1')
const TUNNEL = toTunnelDeviceName('lab/a-b')

async function listTcpdumps(device: string): Promise<readonly string[]> {
  const all = await run(['ps', '-eo', 'pid=,args='])
  return all.split('\n').filter((line) => line.includes(`tcpdump -i ${device}`))
}

async function send(pod: LabNetns, mark: number): Promise<void> {
  const station = newNetnsStation(run, { label: 'x', netns: pod.path, ifname: 'eth1' })
  await station.send([new Uint8Array(60).fill(mark)])
}

async function expectQuietEnd(): Promise<void> {
  await expectSoon('no tcpdump is left', async () => {
    const left = [...(await listTcpdumps(hostOf('h1'))), ...(await listTcpdumps(hostOf('h2')))]
    return left.length === 0
  })
}

/** A capture that listens already, and is over when it is disposed. */
async function startCapture(argv: readonly string[]): Promise<RunningCommand & AsyncDisposable> {
  const capture = startCommand('kubectl-l2wire', ['capture', 'a-b', ...argv])
  await expectSoon('it listens', () => capture.readStderr().includes('listening on'))
  return {
    ...capture,
    [Symbol.asyncDispose]: async () => {
      capture.child.kill('SIGTERM')
      await capture.ended
    },
  }
}

describe('kubectl-l2wire on a node', function () {
  this.timeout(180_000)
  let node: LabNode
  let a: LabNetns
  let b: LabNetns

  const cli = async (command: string, ...argv: readonly string[]): Promise<Ended> =>
    runCommand('kubectl-l2wire', [command, ...argv, ...toOptions()])
  const toOptions = (): readonly string[] => [
    `--store=${node.storeUrl}`,
    '--namespace=lab',
    `--state-dir=${node.stateDir}`,
  ]
  const describeWire = async (): Promise<WireDescription> => {
    const { stdout, stderr } = await cli('describe', 'a-b', '-o', 'json')
    expect(stderr).to.equal('')
    return JSON.parse(stdout) as WireDescription
  }
  const listKinds = async (): Promise<readonly string[]> =>
    (await describeWire()).findings.map(({ kind }) => kind)

  leavesNothing(async (made) => {
    node = made.use(await newLabNode())
    a = made.use(await newLabNetns('a', { ipv6: false }))
    b = made.use(await newLabNetns('b', { ipv6: false }))
    await plug(node, a, 'h1')
  })

  it('describes an end that waits', async () => {
    const { stdout, exitCode } = await cli('describe', 'a-b')
    expect(exitCode).to.equal(0)
    expect(stdout)
      .to.include('Only pod/h1 eth1 is plugged in')
      .and.include(`pod/h1 eth1 ── ${hostOf('h1')} ─╳ nobody at the other end`)
  })

  it('has nothing to hear, or to test, at an end alone', async () => {
    const heard = await cli('capture', 'a-b', '-c', '1')
    expect(heard.exitCode).to.equal(1)
    expect(heard.stderr).to.include('both ends plugged in')
    const tested = await cli('test', 'a-b')
    expect(tested.exitCode).to.equal(1)
    expect(tested.stderr).to.include('only pod/h1 eth1 is plugged in')
  })

  describe('with both ends', () => {
    before(async () => {
      await plug(node, b, 'h2')
    })

    it('gets it', async () => {
      const { stdout } = await cli('get')
      expect(stdout).to.equal(
        [
          'NAME   STATE       ENDS                       NODES   VNI   MTU',
          'a-b    Connected   pod/h1 eth1, pod/h2 eth1   n1            1500',
          '',
        ].join('\n'),
      )
    })

    it('describes it, with what its devices counted', async () => {
      const before = await describeWire()
      expect(before.findings).to.deep.equal([])
      expect(before.path).to.deep.equal([
        `pod/h1 eth1 ── ${hostOf('h1')} ══ ${hostOf('h2')} ── pod/h2 eth1   (n1)`,
      ])
      const station = newNetnsStation(run, { label: 'a', netns: a.path, ifname: 'eth1' })
      await station.send([new Uint8Array(60).fill(1), new Uint8Array(60).fill(2)])
      const [from, to] = (await describeWire()).nodes[0]?.inspection?.ends ?? []
      expect(from?.podEnd?.sent.frames).to.equal(2)
      expect(from?.hostEnd?.received.frames).to.equal(2)
      expect(from?.hostEnd?.redirect).to.deep.include({ target: hostOf('h2'), frames: 2 })
      expect(to?.hostEnd?.sent.frames).to.equal(2)
      expect(to?.podEnd?.received.frames).to.equal(2)
      expect(to?.podEnd?.mac).to.equal((await describeWire()).ends[1]?.mac)
    })

    const breaks = [
      {
        name: 'a host end that somebody set down',
        spoil: ['ip', 'link', 'set', 'dev', hostOf('h1'), 'down'],
        mend: ['ip', 'link', 'set', 'dev', hostOf('h1'), 'up'],
        kind: 'device-down',
      },
      {
        name: 'an owner who has the interface down',
        inPod: true,
        spoil: ['ip', 'link', 'set', 'dev', 'eth1', 'down'],
        mend: ['ip', 'link', 'set', 'dev', 'eth1', 'up'],
        kind: 'pod-end-down',
      },
    ]
    for (const { name, spoil, mend, kind, inPod = false } of breaks)
      it(`says what is wrong: ${name}`, async () => {
        // Which would mend it before anybody could look; what a pod's owner does it is to hear.
        if (!inPod) await signalHearing(node, 'STOP')
        const inside = inPod ? a.run : run
        await inside(spoil)
        await expectSoon(name, async () => (await listKinds()).join() === kind)
        await inside(mend)
        await expectSoon('all is well', async () => (await listKinds()).length === 0)
        if (!inPod) await signalHearing(node, 'CONT')
      })

    it('tests it, and every row that the MTU has room for is delivered', async () => {
      const { exitCode, stdout, stderr } = await cli('test', 'a-b', '--idle', '1')
      expect(exitCode, stderr).to.equal(0)
      expect(stdout).to.match(/^LLC .* delivered +delivered$/m)
      expect(stdout).to.match(/^9014 bytes +too long +too long$/m)
      expect(stdout).to.match(/^idle wire is silent +delivered +delivered$/m)
    })

    it('does not judge a wire that is in use, unless told so', async () => {
      const talking = talk(a)
      try {
        const refused = await cli('test', 'a-b')
        expect(refused.exitCode).to.equal(1)
        expect(refused.stderr).to.include('in use').and.include('--noisy')
        const { exitCode, stdout, stderr } = await cli('test', 'a-b', '--noisy')
        expect(exitCode, stderr).to.equal(0)
        expect(stdout).to.not.include('nothing else arrives')
      } finally {
        await talking[Symbol.asyncDispose]()
      }
    })

    it('ends with 3 where frames are lost', async () => {
      await signalHearing(node, 'STOP')
      await run(['tc', 'filter', 'del', 'dev', hostOf('h2'), 'ingress', 'pref', '1'])
      expect(await listKinds()).to.deep.equal(['redirect'])
      const { exitCode, stdout } = await cli('test', 'a-b', '--idle', '0', '-o', 'json')
      expect(exitCode).to.equal(3)
      const columns = JSON.parse(stdout) as { title: string; verdicts: { outcome: string }[] }[]
      const countLost = (at: number): number =>
        columns[at]?.verdicts.filter(({ outcome }) => outcome === 'lost').length ?? -1
      expect(countLost(0)).to.equal(0)
      expect(countLost(1)).to.be.greaterThan(40)
      await signalHearing(node, 'CONT')
    })

    describe('listens', () => {
      let folder: string
      before(async () => {
        folder = await mkdtemp(join(tmpdir(), 'l2w-cli-'))
      })
      after(async () => {
        await rm(folder, { recursive: true, force: true })
      })

      it('to both directions, and ends on Ctrl-C with all that it heard', async () => {
        const file = join(folder, 'both.pcap')
        await using capture = await startCapture(['-w', file, ...toOptions()])
        const { child, ended } = capture
        await send(a, 1)
        await send(b, 2)
        // It is written as it comes; what is not is lost when it ends.
        await expectSoon(
          'both are there',
          async () => (await stat(file)).size >= 24 + 2 * (16 + 60),
        )
        child.kill('SIGINT')
        const { exitCode, stderr } = await ended
        expect(exitCode, stderr).to.equal(0)
        expect(stderr).to.include('2 packets captured')
        const marks = decodePcap(await readFile(file)).map((frame) => frame[20])
        expect(marks).to.deep.equal([1, 2])
        await expectQuietEnd()
      })

      it('to standard output, as it comes', async () => {
        await using capture = await startCapture(['-w', '-', ...toOptions()])
        const { child, ended, readStdout } = capture
        await send(a, 7)
        await expectSoon('the frame is there', () => readStdout().length >= 24 + 16 + 60)
        child.kill('SIGTERM')
        expect((await ended).exitCode).to.equal(0)
        expect(decodePcap(readStdout()).map((frame) => frame[20])).to.deep.equal([7])
        await expectQuietEnd()
      })

      it('in words, as many frames as asked for, with a filter', async () => {
        await using capture = await startCapture([
          '-c',
          '1',
          'ether',
          'src',
          '03:03:03:03:03:03',
          ...toOptions(),
        ])
        const { ended } = capture
        await send(a, 1)
        await send(a, 3)
        const { exitCode, stdout } = await ended
        expect(exitCode).to.equal(0)
        expect(stdout.match(/03:03:03:03:03:03 > /g)).to.have.length(1)
        expect(stdout).to.not.include('01:01:01:01:01:01')
        await expectQuietEnd()
      })

      it('and leaves nothing behind when it is killed', async () => {
        await using capture = await startCapture([
          '-w',
          join(folder, 'killed.pcap'),
          ...toOptions(),
        ])
        const { child, ended } = capture
        child.kill('SIGKILL')
        await ended
        await expectQuietEnd()
      })

      it('and says what tcpdump says of a filter that is none', async () => {
        const { exitCode, stderr } = await cli('capture', 'a-b', 'no', 'such', 'filter')
        expect(exitCode).to.equal(1)
        expect(stderr).to.include('syntax error')
      })
    })
  })

  describe('with a sandbox that is gone', () => {
    it('describes an end whose sandbox is gone', async () => {
      await signalHearing(node, 'STOP')
      await run(['ip', 'link', 'del', 'dev', hostOf('h1')])
      const { findings, path } = await describeWire()
      // The other end is to lose its carrier.
      expect(findings.map(({ kind }) => kind)).to.deep.equal([
        'device-gone',
        'device-up',
        'redirect',
      ])
      expect(path[0]).to.include(`(${hostOf('h1')} is gone)`)
      await signalHearing(node, 'CONT')
    })
  })
})

/** A pod whose own stack speaks now and then. */
function talk(pod: LabNetns): AsyncDisposable {
  const { signal, abort } = newStop()
  const speak = async (): Promise<void> => {
    while (!signal.aborted) {
      await send(pod, 9)
      await sleep(200)
    }
  }
  const speaking = speak()
  return {
    [Symbol.asyncDispose]: async () => {
      abort()
      await speaking
    },
  }
}

function newStop(): { readonly signal: AbortSignal; readonly abort: () => void } {
  const controller = new AbortController()
  return { signal: controller.signal, abort: () => controller.abort() }
}

describe('kubectl-l2wire across nodes', function () {
  this.timeout(180_000)
  let cluster: LabCluster
  const made = new AsyncDisposableStack()
  const at = (index: number): ClusterNode => cluster.nodes[index] as ClusterNode

  const describeOn = async (index: number): Promise<WireDescription> => {
    const { node, netns } = at(index)
    const options = ['--store', node.storeUrl, '-n', 'lab', '--state-dir', node.stateDir]
    const argv = ['describe', 'a-b', '-o', 'json', ...options]
    return JSON.parse(
      (await runCommand('kubectl-l2wire', argv, { netns })).stdout,
    ) as WireDescription
  }

  before(async () => {
    cluster = made.use(await newLabCluster())
    for (const index of [0, 1])
      await plug(
        at(index).node,
        made.use(await newLabNetns(`p${index}`, { ipv6: false })),
        `h${index}`,
      )
    await expectSoon(
      'both nodes joined it',
      async () => (await describeOn(0)).state === 'Connected',
    )
  })
  after(async () => made.disposeAsync())

  it('draws each node’s part as its own kernel has it', async () => {
    for (const index of [0, 1]) {
      const { path, findings, vni } = await describeOn(index)
      expect(findings).to.deep.equal([])
      expect(vni).to.be.a('number')
      const joints = [path[0], path[2]].map((line) => /═.?═/u.exec(line ?? '')?.[0])
      expect(joints[index]).to.equal('══')
      expect(joints[1 - index]).to.equal('═?═')
      expect(path[1]).to.include(`VNI ${vni}, UDP port 14789`)
    }
  })

  it('says that the far end is not let in', async () => {
    // It would mend that at once.
    await signalHearing(at(0).node, 'STOP')
    await at(0).netns.run(['nft', 'flush', 'set', 'inet', 'l2wire', 'peers4'])
    expect((await describeOn(0)).findings.map(({ kind }) => kind)).to.deep.equal(['not-let-in'])
    expect((await describeOn(1)).findings).to.deep.equal([])
    await signalHearing(at(0).node, 'CONT')
    await expectSoon('it is let in again', async () => (await describeOn(0)).findings.length === 0)
  })

  it('says that a tunnel is gone', async () => {
    await signalHearing(at(1).node, 'STOP')
    await at(1).netns.run(['ip', 'link', 'del', 'dev', TUNNEL])
    const { findings, path } = await describeOn(1)
    expect(findings.map(({ kind }) => kind)).to.deep.equal(['device-gone', 'redirect'])
    expect(path[2]).to.include('═╳═')
    await signalHearing(at(1).node, 'CONT')
    await expectSoon('it is there again', async () => (await describeOn(1)).findings.length === 0)
  })

  it('says which node it cannot look at from here', async () => {
    const { nodes } = await describeOn(0)
    expect(nodes.map(({ reason }) => reason === null)).to.deep.equal([true, false])
  })
})
