// Wires beside other people's packet filters: what the node's own firewall must let in, and what passes
// it by on purpose. What is claimed here stands in docs/coexistence.md.
import { expect } from 'chai'
import { describe, it } from 'mocha'
import { setTimeout as sleep } from 'node:timers/promises'

import { newNetnsStation } from '../../../kernel/tester/netns-station.ts'
import { run } from '../../../kernel/run.ts'
import type { Station } from '../../../kernel/tester/station.ts'
import { newLabCluster, type ClusterNode } from '../../../lab/cluster.ts'
import type { CniCall } from '../../../lab/cni.ts'
import { newCountedFrames } from '../../../lab/counted-frames.ts'
import { newLabNetns, type LabNetns } from '../../../lab/netns.ts'
import { expectSoon } from '../../expect-soon.ts'
import { expectTransparent } from '../../expect-transparent.ts'
import { eachLeavesNothing } from '../../nothing-left.ts'
import { hasCarrier } from '../fixture-links.ts'

const CONFIG = { cniVersion: '1.1.0', name: 'w', type: 'l2wire', mtu: 9216 }

function toCall(command: string, netns: LabNetns): CniCall {
  return { command, containerID: netns.name, netns: netns.path, ifname: 'eth1' }
}

function toStation(netns: LabNetns): Station {
  return newNetnsStation(run, { label: netns.name, netns: netns.path, ifname: 'eth1' })
}

async function addRules(netns: LabNetns, rules: string): Promise<void> {
  await run(['nsenter', `--net=${netns.path}`, 'nft', '-f', '-'], { input: rules })
}

describe('wires beside packet filters', function () {
  this.timeout(90_000)
  let n1: ClusterNode
  let n2: ClusterNode
  let a: LabNetns
  let b: LabNetns

  eachLeavesNothing(async (made) => {
    const cluster = made.use(await newLabCluster())
    ;[n1, n2] = cluster.nodes as [ClusterNode, ClusterNode]
    a = made.use(await newLabNetns('a', { ipv6: false }))
    b = made.use(await newLabNetns('b', { ipv6: false }))
  })

  const plug = async (farNode: ClusterNode): Promise<void> => {
    await n1.node.mustCall(CONFIG, toCall('ADD', a))
    await farNode.node.mustCall(CONFIG, toCall('ADD', b))
    await expectSoon('joined', async () => (await hasCarrier(a)) && (await hasCarrier(b)))
  }
  const unplug = async (farNode: ClusterNode): Promise<void> => {
    await n1.node.mustCall(CONFIG, toCall('DEL', a))
    await farNode.node.mustCall(CONFIG, toCall('DEL', b))
  }

  it('across nodes need their UDP port: a firewall in the node that drops it cuts them', async () => {
    await plug(n2)
    // As firewalld, ufw or a host policy of the cluster's network: what is not named is dropped, and an
    // accept in our own table does not help.
    await addRules(
      n2.netns,
      `table inet firewall {
        chain input { type filter hook input priority filter + 10; policy drop; }
      }`,
    )
    const frames = newCountedFrames(20)
    await using closed = await toStation(b).startCapture()
    await toStation(a).send(frames)
    await sleep(500)
    expect(await closed.stop()).to.deep.equal([])
    await addRules(n2.netns, 'add rule inet firewall input udp dport 14789 accept\n')
    await expectTransparent(toStation(a), toStation(b))
    await unplug(n2)
  })

  for (const place of ['one node', 'two nodes'] as const)
    it(`pass by what filters, translates or marks packets that a node forwards: ${place}`, async () => {
      const farNode = place === 'one node' ? n1 : n2
      // Where policies, service meshes and kube-proxy stand: every hook but those that the tunnel's own
      // datagrams go through drops all there is.
      for (const { netns } of [n1, n2])
        await addRules(
          netns,
          `table inet others {
            chain prerouting {
              type filter hook prerouting priority raw; policy drop;
              udp dport 14789 accept
              # Behind the first one a fragment has no port.
              ip frag-off & 0x1fff != 0 accept
            }
            chain forward { type filter hook forward priority filter; policy drop; }
          }
          table bridge others {
            chain prerouting { type filter hook prerouting priority 0; policy drop; }
            chain forward { type filter hook forward priority 0; policy drop; }
          }`,
        )
      await plug(farNode)
      await expectTransparent(toStation(a), toStation(b))
      await unplug(farNode)
    })

  it("end in a pod's own stack, where its own rules see them", async () => {
    await plug(n1)
    for (const [netns, address] of [
      [a, '10.0.0.1/24'],
      [b, '10.0.0.2/24'],
    ] as const)
      await netns.run(['ip', 'address', 'add', address, 'dev', 'eth1'])
    // As a sidecar mesh's redirects, which name no interface.
    await addRules(
      b,
      `table inet mesh {
        chain pre {
          type filter hook prerouting priority raw;
          udp dport 9 counter drop
        }
      }`,
    )
    await a.run(['bash', '-c', 'echo heard >/dev/udp/10.0.0.2/9'])
    await expectSoon('it is seen', async () =>
      (await b.run(['nft', 'list', 'chain', 'inet', 'mesh', 'pre'])).includes('counter packets 1 '),
    )
    await unplug(n1)
  })
})
