// The doctor asks the agent what the reconciler would do: it says what CHECK says, and is content once the agent has
// done it.
import { mkdtemp, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'

import { expect } from 'chai'
import { describe, it } from 'mocha'

import { decodeResponse } from '../../../core/cni/protocol.ts'
import { toHostEndName, toTunnelDeviceName } from '../../../core/name.ts'
import type { Checkup } from '../../../core/view/checkup.ts'
import type { WireDescription } from '../../../core/view/description.ts'
import { askAgent } from '../../../kernel/ask-agent.ts'
import { run } from '../../../kernel/run.ts'
import { newLabCluster, type ClusterNode, type LabCluster } from '../../../lab/cluster.ts'
import { runCommand, type Ended } from '../../../lab/command.ts'
import { signalHearing } from '../../../lab/hearing.ts'
import { newLabNetns, type LabNetns } from '../../../lab/netns.ts'
import { newLabNode, type LabNode } from '../../../lab/node.ts'
import { expectSoon } from '../../expect-soon.ts'
import { leavesNothing } from '../../nothing-left.ts'
import { CONFIG, toCall } from '../fixture-pods.ts'

const SETTLED_MS = 1_500

async function ask(node: LabNode, ...argv: readonly string[]): Promise<Ended> {
  const place = [`--store=${node.storeUrl}`, `--state-dir=${node.stateDir}`, '--namespace=lab']
  const { netns } = node
  return runCommand('kubectl-l2wire', [...argv, ...place], netns === undefined ? {} : { netns })
}

async function examine(node: LabNode): Promise<Checkup> {
  const { stdout, stderr } = await ask(node, 'doctor', '-o', 'json')
  if (stdout === '') throw new Error(stderr)
  return JSON.parse(stdout) as Checkup
}

/** Reads; changes nothing while the file "broken" is beside it, and takes its time while "slow" is. */
const STUBBORN_TC = `#!/bin/sh
case "$*" in *-batch*) ;; *) exec /usr/sbin/tc "$@" ;; esac
input=$(cat)
case "$input" in
  *replace*)
    [ ! -e "\${0%/*}/slow" ] || sleep 8
    [ ! -e "\${0%/*}/broken" ] || { echo 'Error: no' >&2; exit 2; }
    ;;
esac
echo "$input" | /usr/sbin/tc "$@"
`

describe('the doctor asks the agent', function () {
  this.timeout(120_000)

  describe('of a wire across nodes', () => {
    let cluster: LabCluster
    let pod: LabNetns
    const at = (index: number): ClusterNode => cluster.nodes[index] as ClusterNode

    leavesNothing(async (made) => {
      cluster = made.use(await newLabCluster({ more: ['--check-seconds', '3600'] }))
      for (const [index, id] of ['c1', 'c2'].entries()) {
        const netns = made.use(await newLabNetns(id, { ipv6: false }))
        if (index === 0) pod = netns
        await at(index).node.mustCall(CONFIG, toCall('ADD', netns, id))
      }
      await expectSoon('all is well', async () => (await examine(at(0).node)).isClean)
    })

    const check = async (): Promise<string> => {
      const { output } = await at(0).node.call(
        { ...CONFIG, prevResult: {} },
        toCall('CHECK', pod, 'c1'),
      )
      return String(output?.['msg'])
    }

    const tunnel = toTunnelDeviceName(`lab/${CONFIG.name}`)
    const hostEnd = toHostEndName('c1', 'eth1')
    const redirect = `tc filter replace dev ${hostEnd} ingress pref 1 protocol all handle 1`
    const rows: readonly (readonly [string, string, readonly string[]])[] = [
      ['a tunnel of another MTU', `ip link set ${tunnel} mtu 1400`, ['device-changed']],
      ['a tunnel of a low MTU', `ip link set ${tunnel} mtu 1000`, ['device-changed']],
      [
        'a tunnel to somewhere else',
        `ip link set ${tunnel} type vxlan id $VNI remote 127.0.0.9`,
        ['tunnel-astray'],
      ],
      [
        'a redirect to somewhere else',
        `${redirect} bpf bytecode "1,6 0 0 4294967295" action mirred egress redirect dev lo`,
        ['redirect'],
      ],
      ['a flag', `ip link set ${hostEnd} arp on`, ['device-changed']],
      ['a device that is down', `ip link set ${hostEnd} down`, ['device-down']],
      ['a tunnel that is gone', `ip link del ${tunnel}`, ['device-gone', 'redirect']],
      ['a far end that is shut out', 'nft flush set inet l2wire peers4', ['not-let-in']],
    ]
    for (const [name, script, kinds] of rows)
      it(`which says what CHECK says: ${name}`, async () => {
        const { node, netns } = at(0)
        await signalHearing(node, 'STOP')
        try {
          const [, vni = ''] =
            /vxlan id (\d+)/.exec(await netns.run(['ip', '-d', 'link', 'show', tunnel])) ?? []
          await netns.run(['sh', '-ec', script.replace('$VNI', vni)])
          const { findings, isClean } = await examine(node)
          expect(isClean).to.equal(false)
          expect(findings.map(({ kind }) => kind)).to.deep.equal(kinds)
          const said = await check()
          for (const { what, remedy } of findings) {
            expect(what).to.match(/^Wire lab\/w on n1: /)
            expect(said).to.include(what.replace('Wire lab/w on n1: ', ''))
            expect(remedy).to.include('the agent there mends it')
          }
          const { stdout } = await ask(node, 'describe', CONFIG.name, '-o', 'json')
          const described = JSON.parse(stdout) as WireDescription
          expect(described.findings).to.deep.equal(findings)
        } finally {
          await signalHearing(node, 'CONT')
          await expectSoon('the agent has mended it', async () => (await examine(node)).isClean)
          // What it has heard of its own doing it looks at within a second.
          await sleep(SETTLED_MS)
        }
      })

    it('which names what nothing stands behind, and a table that somebody flushed', async () => {
      const { node, netns } = at(0)
      await signalHearing(node, 'STOP')
      try {
        const orphan = `ip link add lw0123456789abc type veth peer name l2wpeer; ip link set lw0123456789abc alias 'l2wire lab/x pod/x eth1'`
        await netns.run(['sh', '-ec', `nft flush ruleset; ${orphan}`])
        const { findings } = await examine(node)
        expect(findings.map(({ kind, wire }) => [kind, wire])).to.deep.equal([
          ['no-guard', null],
          ['not-let-in', 'lab/w'],
          ['device-stray', 'lab/x'],
        ])
        const [, byHand = ''] = /^on n1: ([^;]+)/.exec(findings[2]?.remedy ?? '') ?? []
        await netns.run(byHand.split(' '))
      } finally {
        await signalHearing(node, 'CONT')
      }
      await expectSoon('all is well', async () => (await examine(node)).isClean)
    })

    it('and says so where none answers, with what else it knows', async () => {
      const { node } = at(0)
      await node.stopAgent('SIGKILL')
      const { exitCode, stdout } = await ask(node, 'doctor')
      expect(exitCode).to.equal(1)
      expect(stdout)
        .to.match(
          /What is wrong:\n {2}- The agent on n1 can plug nothing in or out: [^]*not\s+reachable/,
        )
        .and.match(/Not known:\n {2}- On node n1 devices are not compared with wires: /)
        .and.match(/Remedy: /)
      const described = await ask(node, 'describe', CONFIG.name)
      expect(described.exitCode).to.equal(0)
      expect(described.stdout)
        .to.include('State:      Connected')
        .and.match(/Node n1 could not be looked at: [^]*not\s+reachable/)
      await node.startAgent()
      expect((await examine(node)).isClean).to.equal(true)
    })
  })

  describe('on one node', () => {
    let folder = ''
    let node: LabNode
    const dev = toHostEndName('c1', 'eth1')
    const setFile = async (name: string, isThere: boolean): Promise<void> =>
      isThere ? writeFile(join(folder, name), '') : rm(join(folder, name))
    const listKinds = async (): Promise<string> =>
      (await examine(node)).findings.map(({ kind }) => kind).join()

    leavesNothing(async (made) => {
      folder = await mkdtemp(join(tmpdir(), 'l2w-stubborn-'))
      made.defer(async () => rm(folder, { recursive: true, force: true }))
      await writeFile(join(folder, 'tc'), STUBBORN_TC, { mode: 0o755 })
      node = made.use(await newLabNode({ pathFirst: folder }))
      for (const id of ['c1', 'c2']) {
        const netns = made.use(await newLabNetns(id, { ipv6: false }))
        await node.mustCall(CONFIG, toCall('ADD', netns, id))
      }
      await expectSoon('all is well', async () => (await examine(node)).isClean)
    })

    it('what a kernel refuses to the agent, as long as it does', async () => {
      await setFile('broken', true)
      await run(['tc', 'filter', 'del', 'dev', dev, 'ingress'])
      await expectSoon(
        'it is told, with what the agent says of it',
        async () => (await listKinds()) === 'not-joined,redirect',
      )
      await setFile('broken', false)
      await expectSoon('all is well again', async () => (await examine(node)).isClean)
    })

    it('and is answered while the agent is long at work', async () => {
      await setFile('slow', true)
      await run(['tc', 'filter', 'del', 'dev', dev, 'ingress'])
      // By now it has the wire's turn.
      await sleep(SETTLED_MS)
      const startedAt = performance.now()
      const { stdout } = await ask(node, 'describe', CONFIG.name, '-o', 'json')
      expect(performance.now() - startedAt).to.be.lessThan(6_000)
      const { findings } = JSON.parse(stdout) as WireDescription
      expect(findings.map(({ kind }) => kind)).to.deep.equal(['redirect'])
      await setFile('slow', false)
      await expectSoon('all is well again', async () => (await examine(node)).isClean)
    })

    it('which refuses what is no question', async () => {
      for (const line of [
        '{"protocol":1,"question":"nonsense"}',
        '{"protocol":1,"question":"wire"}',
        '{"protocol":1,"question":"wire","wire":{"namespace":"../x","name":"w"}}',
        '{"protocol":7,"question":"node"}',
        '{"protocol":1,"question":',
      ]) {
        const { isError, output } = decodeResponse(await askAgent(node.socket, line, 5_000))
        expect([isError, output?.['code']], line).to.deep.equal([true, 6])
      }
      expect((await stat(node.socket)).mode & 0o777).to.equal(0o600)
    })
  })
})
