// kubectl-l2wire doctor on two nodes with real agents, a real API server and an underlay between them: what
// is well it leaves alone, what is amiss it finds, and its remedies are remedies.
import { setTimeout as sleep } from 'node:timers/promises'

import { expect } from 'chai'
import { after, afterEach, before, describe, it } from 'mocha'

import { toHostEndName, toTunnelDeviceName } from '../../core/name.ts'
import type { Checkup } from '../../core/view/checkup.ts'
import type { LabApiServer } from '../../lab/api-server.ts'
import { newLabCluster, type ClusterNode, type LabCluster } from '../../lab/cluster.ts'
import { runCommand, type Ended } from '../../lab/command.ts'
import { signalHearing } from '../../lab/hearing.ts'
import { newLabNetns, type LabNetns } from '../../lab/netns.ts'
import { expectSoon } from '../expect-soon.ts'
import { leavesNothing } from '../nothing-left.ts'
import { newApi } from './fixture-api.ts'
import { newExecStandIn, type ExecStandIn } from './fixture-exec.ts'

const PREFIX = 'doc'
/** Named and marked as a tunnel of wire lab/x. */
const STRAY = toTunnelDeviceName('lab/x')
const [N1, N2] = [`${PREFIX}1`, `${PREFIX}2`]

const BRIDGE =
  'add table bridge l2wtest; add chain bridge l2wtest f { type filter hook forward priority 0; }'

/** What an agent has heard of its own doing it looks at within a second. */
const SETTLED_MS = 1_500

describe('kubectl-l2wire doctor', function () {
  this.timeout(120_000)
  let api: LabApiServer
  let cluster: LabCluster
  let standIn: ExecStandIn
  let namespace: string
  const pods: LabNetns[] = []

  const at = (index: number): ClusterNode => cluster.nodes[index] as ClusterNode
  const cli = async (...argv: readonly string[]): Promise<Ended> =>
    runCommand('kubectl-l2wire', ['doctor', ...argv], { env: standIn.env })
  const examine = async (...more: readonly string[]): Promise<Checkup> => {
    const { stdout, stderr } = await cli('-o', 'json', ...more)
    if (stdout === '') throw new Error(stderr)
    return JSON.parse(stdout) as Checkup
  }
  const listFindings = async (): Promise<Checkup['findings']> =>
    (await examine('--measure=false')).findings
  const inNode = async (script: string): Promise<string> => at(0).netns.run(['sh', '-ec', script])
  const drop = async (rule: string): Promise<void> => {
    await cluster.fabric.run(['nft', `${BRIDGE}; add rule bridge l2wtest f ${rule}`])
  }
  const undo = async (): Promise<void> => {
    await cluster.fabric.run(['nft', 'flush', 'ruleset'])
  }
  const listFaults = async (): Promise<readonly string[]> =>
    (await examine()).findings.map(({ kind, what }) => `${kind} ${/from (\w+)/.exec(what)?.[1]}`)
  const countFrames = async (): Promise<string> =>
    /"rx":\{[^}]*"packets":\d+/.exec(
      (await pods[1]?.run(['ip', '-s', '-j', 'link', 'show', 'dev', 'eth1'])) ?? '',
    )?.[0] ?? 'none'

  /** Does what a remedy says: a command on a node, or kubectl. */
  const follow = async (remedy: string): Promise<void> => {
    const [, there] = /on doc1: ([^;]+)/.exec(remedy) ?? []
    const [, here] = /: kubectl ([^;]+)/.exec(remedy) ?? []
    if (there !== undefined) await inNode(there)
    else if (here !== undefined) await api.kubectl(here.split(' '))
    else throw new Error(`No command: ${remedy}`)
  }

  const plug = async (command: 'ADD' | 'DEL', index: number, wire = 'a-b'): Promise<void> => {
    const config = { cniVersion: '1.1.0', name: wire, type: 'l2wire' }
    const args = `K8S_POD_NAMESPACE=${namespace};K8S_POD_NAME=h${index}`
    const netns = pods[index]?.path ?? ''
    await at(index).node.mustCall(config, {
      command,
      containerID: `c${index}`,
      netns,
      ifname: 'eth1',
      args,
    })
  }

  leavesNothing(async (made) => {
    // Of its own: it looks at all there is, and other suites leave wires.
    api = made.use(await newApi())
    namespace = await api.newNamespace('doctor')
    cluster = made.use(await newLabCluster({ api, prefix: PREFIX }))
    standIn = made.use(await newExecStandIn(api, cluster, PREFIX))
    for (const name of [N1, N2])
      await api.apply({ apiVersion: 'v1', kind: 'Node', metadata: { name } })
    for (const index of [0, 1]) {
      pods.push(made.use(await newLabNetns(`p${index}`, { ipv6: false })))
      await plug('ADD', index)
    }
    await expectSoon('it is connected', async () => {
      const said = await api.kubectl(['get', 'wire', 'a-b', '-n', namespace, '--no-headers'])
      return said.includes('Connected')
    })
  })

  it('says of two nodes that all is as it should be, and measures both ways', async () => {
    const { stdout, stderr, exitCode } = await cli()
    expect(stderr).to.equal('')
    expect(exitCode, stdout).to.equal(0)
    expect(stdout).to.match(/^Looked at 1 wire and 2 nodes: doc1, doc2$/m)
    expect(stdout).to.match(/doc1 +doc2 +open +1500 +1500 +pass$/m)
    expect(stdout).to.match(/doc2 +doc1 +open +1500 +1500 +pass$/m)
    expect(stdout).to.match(/^All is as it should be\.$/m)
  })

  it('keeps to one node, and leaves the measuring out when told so', async () => {
    const { looked, paths, findings } = await examine('--node', N2, '--measure=false')
    expect(looked.nodes).to.deep.equal([N2])
    expect(paths).to.deep.equal([])
    expect(findings).to.deep.equal([])
  })

  it('leaves no table behind: none of its own, none of a doctor that was killed', async () => {
    // No process has that pid: it is one more than there may be.
    await inNode('nft add table inet l2wire_doctor_4194305')
    expect((await examine()).isClean).to.equal(true)
    for (const index of [0, 1])
      expect(await at(index).netns.run(['nft', 'list', 'tables'])).to.equal('table inet l2wire\n')
  })

  describe('with an agent that does not hear of it', () => {
    before(async () => signalHearing(at(0).node, 'STOP'))
    // What an agent mends it mends when it hears again.
    afterEach(async () => {
      await signalHearing(at(0).node, 'CONT')
      await expectSoon('all is well again', async () => (await examine('--measure=false')).isClean)
      await sleep(SETTLED_MS)
      await signalHearing(at(0).node, 'STOP')
    })
    after(async () => signalHearing(at(0).node, 'CONT'))

    const hostEnd = toHostEndName('c0', 'eth1')
    const spare = 'lw0123456789abc'
    const rows: readonly {
      name: string
      spoil: () => Promise<unknown>
      kinds: readonly string[]
      /** Whether the remedy is a command that can be copied. */
      isCommand?: boolean
    }[] = [
      {
        name: 'a host end of nobody',
        spoil: async () =>
          inNode(
            `ip link add ${spare} type veth peer name l2wpeer; ip link set ${spare} alias 'l2wire ${namespace}/x pod/x eth1'`,
          ),
        kinds: ['device-stray'],
        isCommand: true,
      },
      {
        name: 'a host end that somebody set down',
        spoil: async () => inNode(`ip link set ${hostEnd} down`),
        kinds: ['device-down'],
        isCommand: true,
      },
      {
        name: 'somebody let in without a tunnel',
        spoil: async () => inNode("nft add element inet l2wire peers4 '{ 192.0.2.9 . 77 }'"),
        kinds: ['peer-stray'],
        isCommand: true,
      },
      {
        name: 'a tunnel of no wire',
        spoil: async () =>
          inNode(
            `ip link add ${STRAY} type vxlan id 9 local 192.0.2.1 remote 192.0.2.2 dstport 14789; ip link set ${STRAY} alias 'l2wire lab/x vni 9'; nft add element inet l2wire peers4 '{ 192.0.2.2 . 9 }'`,
          ),
        kinds: ['device-stray'],
        isCommand: true,
      },
      {
        name: 'a wire that nobody needs',
        spoil: async () =>
          api.apply({
            apiVersion: 'l2wire.dev/v1alpha1',
            kind: 'Wire',
            metadata: { name: 'empty', namespace },
            spec: { name: 'empty' },
          }),
        kinds: ['wire-stray'],
        isCommand: true,
      },
      {
        name: 'a table that somebody flushed',
        spoil: async () => inNode('nft flush ruleset'),
        kinds: ['no-guard', 'not-let-in'],
      },
      {
        name: 'a redirect that is gone',
        spoil: async () => inNode(`tc filter del dev ${hostEnd} ingress`),
        kinds: ['redirect'],
      },
      {
        name: 'a tunnel that is gone',
        spoil: async () => inNode(`ip link del ${toTunnelDeviceName(`${namespace}/a-b`)}`),
        kinds: ['device-gone', 'redirect'],
      },
    ]
    for (const { name, spoil, kinds, isCommand = false } of rows)
      it(`finds ${name}`, async () => {
        await spoil()
        const findings = await listFindings()
        expect(findings.map(({ kind }) => kind)).to.deep.equal(kinds)
        if (!isCommand) return
        for (const { remedy } of findings) await follow(remedy)
        const left = await listFindings()
        // A tunnel that was removed by hand leaves its permission, whose remedy is a command, too.
        const [more] = name === 'a tunnel of no wire' ? ['peer-stray'] : []
        expect(left.map(({ kind }) => kind)).to.deep.equal(more === undefined ? [] : [more])
        for (const { remedy } of left) await follow(remedy)
      })
  })

  describe('with an agent', () => {
    it('that is not ready', async () => {
      const status = { conditions: [{ type: 'Ready', status: 'False' }] }
      const pod = ['pod', standIn.pods[1]?.name ?? '', '--namespace', 'l2wire']
      const patch = ['--subresource=status', '--type=merge', '-p', JSON.stringify({ status })]
      await api.kubectl(['patch', ...pod, ...patch])
      const { findings, unknown } = await examine()
      expect(findings.map(({ kind, node }) => [kind, node])).to.deep.equal([['no-agent', N2]])
      expect(unknown.join('\n')).to.include(`from ${N1} to ${N2}`)
      await standIn.pods[1]?.becomeReady()
    })

    it('that does not answer, and says so of the process, ready as its pod may be', async () => {
      const pid = at(1).node.readPid()
      process.kill(pid, 'SIGSTOP')
      try {
        const { findings } = await examine('--measure=false')
        expect(findings.map(({ kind, node }) => [kind, node])).to.deep.equal([['agent-unable', N2]])
        expect(findings[0]?.what).to.include('no answer')
      } finally {
        process.kill(pid, 'SIGCONT')
      }
    })

    it('that is not ready, and why', async () => {
      const status = { conditions: [{ type: 'Ready', status: 'False' }] }
      const pod = ['pod', standIn.pods[1]?.name ?? '', '--namespace', 'l2wire']
      const patch = ['--subresource=status', '--type=merge', '-p', JSON.stringify({ status })]
      await api.kubectl(['patch', ...pod, ...patch])
      await at(1).node.stopAgent('SIGKILL')
      try {
        const { findings } = await examine('--measure=false')
        const kinds = findings.map(({ kind, node }) => [kind, node])
        expect(kinds).to.deep.include.members([
          ['no-agent', N2],
          ['agent-unable', N2],
        ])
      } finally {
        await at(1).node.startAgent()
        await standIn.pods[1]?.becomeReady()
      }
    })

    it('whose node was removed from the cluster', async () => {
      await api.kubectl(['delete', 'node', N2])
      try {
        const { findings } = await examine('--measure=false')
        expect(findings.map(({ kind, node }) => [kind, node])).to.deep.equal([['node-gone', N2]])
      } finally {
        await api.apply({ apiVersion: 'v1', kind: 'Node', metadata: { name: N2 } })
      }
    })

    it('which finds only what looks like ours: no fault', async () => {
      await at(1).netns.run(['ip', 'link', 'add', 'lx0123456789abc', 'type', 'veth'])
      const { findings, isClean } = await examine('--measure=false')
      expect(findings.map(({ kind, level }) => [kind, level])).to.deep.equal([
        ['foreign-device', 'hint'],
      ])
      expect(isClean).to.equal(true)
      await at(1).netns.run(['ip', 'link', 'del', 'lx0123456789abc'])
    })
  })

  describe('measures', () => {
    it('a port that is closed on the way, in one direction', async () => {
      await drop('ip saddr 192.0.2.1 udp dport 14789 drop')
      try {
        const { findings, paths } = await examine()
        expect(findings.map(({ kind }) => kind)).to.deep.equal(['port-closed'])
        expect(findings[0]?.what).to.include('from doc1').and.include('nothing arrives')
        expect(paths.map(({ from, isOpen }) => [from, isOpen])).to.deep.equal([
          [N1, false],
          [N2, true],
        ])
      } finally {
        await undo()
      }
    })

    it('a port that the far node itself closes', async () => {
      const chain = 'add chain inet l2wtest i { type filter hook input priority 10; }'
      const rule = 'add rule inet l2wtest i udp dport 14789 drop'
      await at(1).netns.run(['nft', `add table inet l2wtest; ${chain}; ${rule}`])
      try {
        const { findings } = await examine()
        expect(findings.map(({ kind }) => kind)).to.deep.equal(['port-closed'])
        expect(findings[0]?.what).to.include('a firewall on doc2 drops')
      } finally {
        await at(1).netns.run(['nft', 'delete', 'table', 'inet', 'l2wtest'])
      }
    })

    it('fragments that are dropped', async () => {
      await drop('ip frag-off & 0x1fff != 0 drop')
      try {
        expect(await listFaults()).to.deep.equal(['fragments-lost doc1', 'fragments-lost doc2'])
        const { exitCode, stdout } = await cli()
        expect(exitCode).to.equal(1)
        expect(stdout).to.match(/doc1 +doc2 +open +1500 +1500 +lost$/m)
      } finally {
        await undo()
      }
    })

    it('the longest packet that crosses', async () => {
      await cluster.fabric.run(['ip', 'link', 'set', 'dev', 'port2', 'mtu', '1437'])
      try {
        const { paths, findings } = await examine()
        // A port may take a VLAN tag's four bytes more (is_skb_forwardable). Whether it fragments is the
        // kernel's affair: a bridge with br_netfilter does.
        for (const { pathMtuBytes } of paths) expect(pathMtuBytes).to.be.within(1437, 1441)
        const shorter = findings.filter(({ kind }) => kind === 'path-mtu')
        expect(shorter.map(({ node }) => node)).to.deep.equal([N2, N1])
        expect(shorter[0]?.remedy).to.include('"mtu": 13')
      } finally {
        await cluster.fabric.run(['ip', 'link', 'set', 'dev', 'port2', 'mtu', '1500'])
      }
    })

    it('without a frame in the wire', async () => {
      const before = await countFrames()
      expect(before).to.include('packets')
      expect((await examine()).isClean).to.equal(true)
      expect(await countFrames()).to.equal(before)
    })
  })

  it('says what it could not look at, and ends with 2', async () => {
    const kubeconfig = await api.newServiceAccountKubeconfig(namespace, 'nobody')
    const refused = await cli('--kubeconfig', kubeconfig)
    expect(refused.exitCode).to.equal(2)
    expect(refused.stderr).to.match(/^kubectl-l2wire: .*forbidden/)
    const missing = await cli('--node', 'l2w-none', '--measure=false')
    expect(missing.exitCode).to.equal(2)
    expect(missing.stdout).to.include('Node l2w-none could not be looked at')
  })
})
