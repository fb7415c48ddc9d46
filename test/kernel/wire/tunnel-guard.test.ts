// Who gets in at a node's tunnels: the far end of a wire by the interface that leads to it, nobody else, whatever
// somebody does to the table that sees to it.
import { expect } from 'chai'
import { after, before, describe, it } from 'mocha'

import { TABLE } from '../../../core/steps/guard.ts'
import { concatBytes, fromHex } from '../../../core/tester/bytes.ts'
import { newNetnsStation } from '../../../kernel/tester/netns-station.ts'
import { readTable } from '../../../kernel/observe/node.ts'
import { run } from '../../../kernel/run.ts'
import type { Station } from '../../../kernel/tester/station.ts'
import { newLabCluster, UNDERLAY, type ClusterNode, type LabCluster } from '../../../lab/cluster.ts'
import type { CniCall } from '../../../lab/cni.ts'
import { newCountedFrames } from '../../../lab/counted-frames.ts'
import { newLabNetns, type LabNetns } from '../../../lab/netns.ts'
import { newFileStore } from '../../../store/file-store.ts'
import { expectSoon } from '../../expect-soon.ts'
import { startListening } from '../../listening.ts'
import { leavesNothing } from '../../nothing-left.ts'
import { toPackets } from '../fixture-datagram.ts'
import { hasCarrier, readLinks } from '../fixture-links.ts'

const CONFIG = { cniVersion: '1.1.0', name: 'w', type: 'l2wire' }
const ID = { namespace: 'lab', name: 'w' }
/** The node's device that leads to the pod of somebody else, as a plain CNI plugin makes it. */
const TO_POD = 'cali0'
/** The nodes' second way to each other. */
const SECOND = 'underlay1'
const FRAMES = newCountedFrames(20)
const FORGED = fromHex(`02000000000b02000000000e88b5${'ee'.repeat(46)}`)

interface Family {
  readonly ipVersion: 4 | 6
  readonly ofPods: { readonly node: string; readonly pod: string; readonly bits: number }
  readonly second: readonly [string, string]
  readonly host: number
}

const FAMILIES: readonly Family[] = [
  {
    ipVersion: 4,
    ofPods: { node: '10.200.0.1', pod: '10.200.0.9', bits: 24 },
    second: ['198.51.100.1', '198.51.100.2'],
    host: 32,
  },
  {
    ipVersion: 6,
    ofPods: { node: 'fd00:200::1', pod: 'fd00:200::9', bits: 64 },
    second: ['fd00:100::1', 'fd00:100::2'],
    host: 128,
  },
]

function toCall(command: string, netns: LabNetns, pod: string): CniCall {
  return {
    command,
    containerID: pod,
    netns: netns.path,
    ifname: 'eth1',
    args: `K8S_POD_NAMESPACE=lab;K8S_POD_NAME=${pod}`,
  }
}

function toStation(netns: LabNetns, ifname: string): Station {
  return newNetnsStation(run, { label: ifname, netns: netns.path, ifname })
}

async function readTableOf(netns: LabNetns): ReturnType<typeof readTable> {
  return readTable(async (argv) => netns.run(argv))
}

// IPv6 answers for an address on its own interface alone.
async function toHop(
  { netns }: ClusterNode,
  ipVersion: 4 | 6,
  dev: string,
): Promise<readonly string[]> {
  if (ipVersion === 4) return ['dev', dev]
  const show = ['ip', '-6', '-o', 'address', 'show', 'dev', dev, 'scope', 'link']
  const [, address = ''] = /inet6 ([^/]+)/.exec(await netns.run(show)) ?? []
  return ['via', address, 'dev', dev]
}

for (const { ipVersion, ofPods, second, host } of FAMILIES)
  describe(`the door of a node's tunnels, IPv${ipVersion}`, function () {
    this.timeout(120_000)
    let cluster: LabCluster
    let n1: ClusterNode
    let n2: ClusterNode
    let a: LabNetns
    let b: LabNetns
    let stranger: LabNetns
    let vni: number

    leavesNothing(async (made) => {
      // What events are to tell must not be found by looking at everything now and then.
      cluster = made.use(await newLabCluster({ ipVersion, more: ['--check-seconds', '3600'] }))
      ;[n1, n2] = cluster.nodes as [ClusterNode, ClusterNode]
      a = made.use(await newLabNetns('a', { ipv6: false }))
      b = made.use(await newLabNetns('b', { ipv6: false }))
      stranger = made.use(await newLabNetns('stranger'))
      const nodad = ipVersion === 6 ? ['nodad'] : []
      const pair = async (name: string, peer: string, far: LabNetns): Promise<void> => {
        await n1.netns.run(
          `ip link add name ${name} type veth peer name ${peer} netns ${far.name}`.split(' '),
        )
      }
      const address = async (on: LabNetns, dev: string, value: string): Promise<void> => {
        await on.run(['ip', 'address', 'add', value, 'dev', dev, ...nodad])
        await on.run(['ip', 'link', 'set', 'dev', dev, 'up'])
      }
      await pair(TO_POD, 'eth0', stranger)
      await address(n1.netns, TO_POD, `${ofPods.node}/${ofPods.bits}`)
      await address(stranger, 'eth0', `${ofPods.pod}/${ofPods.bits}`)
      for (const { netns } of [n1, n2])
        await netns.run(['sysctl', '-qw', 'net.ipv6.conf.default.accept_dad=0'])
      await pair(SECOND, SECOND, n2.netns)
      await address(n1.netns, SECOND, `${second[0]}/${ofPods.bits}`)
      await address(n2.netns, SECOND, `${second[1]}/${ofPods.bits}`)
      made.defer(async () => {
        await expectSoon('store empty', async () => (await cluster.listStore()).length === 0)
        for (const { netns } of cluster.nodes)
          expect((await readTableOf(netns)).peers.size).to.equal(0)
      })
      for (const [on, netns, pod] of [
        [n1, a, 'h1'],
        [n2, b, 'h2'],
      ] as const) {
        await on.node.mustCall(CONFIG, toCall('ADD', netns, pod))
        made.defer(async () => void (await on.node.mustCall(CONFIG, toCall('DEL', netns, pod))))
      }
      await expectSoon('joined', async () => (await hasCarrier(a)) && hasCarrier(b))
      vni = await readVni()
    })

    const readVni = async (): Promise<number> =>
      (await newFileStore(cluster.storeFolder).read(ID))?.vni ?? 0
    /** What the stranger's pod sends by its own interface. */
    async function intrude(
      from: string,
      to: string,
      isFragmented: boolean,
      number = vni,
    ): Promise<void> {
      const [near, far] = [
        (await readLinks(n1.netns)).get(TO_POD)?.address ?? '',
        (await readLinks(stranger)).get('eth0')?.address ?? '',
      ]
      const type = ipVersion === 4 ? '0800' : '86dd'
      const ethernet = fromHex(`${near.replaceAll(':', '')}${far.replaceAll(':', '')}${type}`)
      const packets = toPackets({ from, to, vni: number, inner: FORGED }, isFragmented)
      await toStation(stranger, 'eth0').send(packets.map((packet) => concatBytes(ethernet, packet)))
    }

    /** How many datagrams each rule that drops has dropped: forged ones, those of nobody's peer. */
    async function readDropped({ netns } = n1): Promise<readonly [number, number]> {
      const rules = await netns.run(['nft', 'list', 'chain', ...TABLE.split(' '), 'input'])
      const [forged4 = NaN, forged6 = NaN, others = NaN] = [
        ...rules.matchAll(/counter packets (\d+) bytes \d+ drop/g),
      ].map(([, packets]) => Number(packets))
      const forged = ipVersion === 4 ? forged4 : forged6
      return [forged, others]
    }

    /** How many datagrams of pods, for peers of the node, were not forwarded. */
    async function readKept(): Promise<number> {
      const chain = ['nft', 'list', 'chain', ...TABLE.split(' '), 'forward']
      const counts = (await n1.netns.run(chain)).matchAll(/counter packets (\d+)/g)
      return [...counts].reduce((sum, [, packets]) => sum + Number(packets), 0)
    }

    /** The wire's own frames go through, and nothing else comes of what is sent before them. */
    async function expectOnlyOwn(before: () => Promise<void>): Promise<void> {
      await using heard = await startListening(a.path, 'eth1')
      await before()
      await toStation(b, 'eth1').send(FRAMES)
      expect(await heard.stopAfter(FRAMES.length)).to.deep.equal(FRAMES)
    }

    const isTableWhole = async (): Promise<boolean> => {
      const table = await readTableOf(n1.netns)
      return table.hasTable && table.checksPath && table.peers.has(`${n2.address} ${vni}`)
    }

    async function expectForgedDropped(
      addresses: readonly string[],
      isFragmented = false,
    ): Promise<void> {
      const [was] = await readDropped()
      for (const to of addresses) await intrude(n2.address, to, isFragmented)
      await expectSoon(
        'they came as far as the check',
        async () => (await readDropped())[0] === was + addresses.length,
      )
    }

    /** Rules made anew count from nought, so the table must have heard of a route before anything is counted. */
    async function expectHops(hops: readonly string[]): Promise<void> {
      const expected = ipVersion === 6 && hops.length > 1 ? hops.toSorted() : []
      await expectSoon('the table knows the hops', async () => {
        const { hops: known } = await readTableOf(n1.netns)
        return [...known].sort().join() === expected.join()
      })
    }

    async function expectMended(argv: readonly string[]): Promise<void> {
      await n1.netns.run(argv)
      await expectSoon('the table is whole', isTableWhole)
      await expectOnlyOwn(async () => {
        const [wasForged, wasOthers] = await readDropped()
        await intrude(ofPods.pod, n1.address, false)
        await intrude(n2.address, n1.address, false)
        await expectSoon('both are dropped', async () => {
          const [forged, others] = await readDropped()
          return forged === wasForged + 1 && others === wasOthers + 1
        })
      })
    }

    describe("keeps out a pod that forges the far node's address", () => {
      const settings = ipVersion === 4 ? [0, 2] : [undefined]
      const wholes = [true, false]
      for (const setting of settings)
        for (const isWhole of wholes)
          it(`${setting === undefined ? '' : `with rp_filter ${setting}, `}${isWhole ? 'whole' : 'in fragments'}, to any address of the node`, async () => {
            for (const dev of setting === undefined ? [] : ['all', TO_POD])
              await n1.netns.run(['sysctl', '-qw', `net.ipv4.conf.${dev}.rp_filter=${setting}`])
            await expectOnlyOwn(async () => {
              await expectForgedDropped([n1.address, ofPods.node, second[0]], !isWhole)
            })
          })
    })

    it('keeps out a pod that says who it is', async () => {
      await expectOnlyOwn(async () => {
        const [, was] = await readDropped()
        await intrude(ofPods.pod, n1.address, false)
        await expectSoon('it came as far', async () => (await readDropped())[1] === was + 1)
      })
    })

    describe('keeps in a pod whose datagrams get the address of its node', () => {
      const family = ipVersion === 4 ? 'ip' : 'ip6'
      const forwarding = ipVersion === 4 ? 'ipv4.ip_forward' : 'ipv6.conf.all.forwarding'

      before(async () => {
        await n1.netns.run(['sysctl', '-qw', `net.${forwarding}=1`])
        const rules = `table ${family} l2wmasq { chain post { type nat hook postrouting priority 100; ${family} saddr ${ofPods.pod} masquerade; }; }`
        await n1.netns.run(['nft', rules])
      })
      after(async () => {
        await n1.netns.run(['nft', 'delete', 'table', family, 'l2wmasq'])
        await n1.netns.run(['sysctl', '-qw', `net.${forwarding}=0`])
      })

      it('and hinders none that is for no peer', async () => {
        const [, was] = await readDropped(n2)
        await intrude(ofPods.pod, n2.address, false, vni ^ 1)
        await expectSoon('it came to the far node, and is nobody', async () => {
          const [, others] = await readDropped(n2)
          return others === was + 1
        })
      })

      for (const isFragmented of [false, true])
        it(isFragmented ? 'in fragments' : 'whole', async () => {
          const was = await readKept()
          await using heard = await startListening(b.path, 'eth1')
          await intrude(ofPods.pod, n2.address, isFragmented)
          await expectSoon('it is kept', async () => (await readKept()) > was)
          await toStation(a, 'eth1').send(FRAMES)
          expect(await heard.stopAfter(FRAMES.length)).to.deep.equal(FRAMES)
        })
    })

    describe('lets in the far node', () => {
      const ways: readonly { name: string; there: readonly string[]; back: string }[] = [
        { name: 'by the first of two hops', there: [UNDERLAY, SECOND], back: UNDERLAY },
        { name: 'by the second of two hops', there: [UNDERLAY, SECOND], back: SECOND },
        { name: 'by another interface than before', there: [SECOND], back: SECOND },
      ]
      for (const { name, there, back } of ways)
        it(name, async () => {
          const [to, from] = [`${n2.address}/${host}`, `${n1.address}/${host}`]
          const hops = await Promise.all(there.map(async (dev) => toHop(n2, ipVersion, dev)))
          const routes = hops.length === 1 ? hops : hops.map((hop) => ['nexthop', ...hop])
          await n1.netns.run(['ip', 'route', 'add', to, ...routes.flat()])
          await n2.netns.run(['ip', 'route', 'add', from, ...(await toHop(n1, ipVersion, back))])
          try {
            await expectHops(there)
            const heardBy = async (): Promise<number> => {
              const path = `/sys/class/net/${back}/statistics/rx_packets`
              return Number(await n1.netns.run(['ip', 'netns', 'exec', n1.netns.name, 'cat', path]))
            }
            const was = await heardBy()
            await expectOnlyOwn(async () => expectForgedDropped([n1.address]))
            expect((await heardBy()) - was).to.be.at.least(FRAMES.length)
          } finally {
            await n1.netns.run(['ip', 'route', 'del', to])
            await n2.netns.run(['ip', 'route', 'del', from])
            await expectHops([])
          }
        })
    })

    describe('is whole again, by events alone, after', () => {
      const set = ipVersion === 4 ? 'peers4' : 'peers6'
      const damages = [
        'nft flush ruleset',
        `nft flush table ${TABLE}`,
        `nft delete table ${TABLE}`,
        `nft flush chain ${TABLE} input`,
        `nft delete chain ${TABLE} input`,
        `nft flush set ${TABLE} ${set}`,
        `nft flush chain ${TABLE} forward`,
        `nft delete chain ${TABLE} forward`,
      ]
      for (const damage of damages) it(damage, async () => expectMended(damage.split(' ')))

      it(`nft delete element ${TABLE} ${set}`, async () => {
        const element = `{ ${n2.address} . ${vni} }`
        await expectMended(['nft', 'delete', 'element', ...TABLE.split(' '), set, element])
      })

      for (const at of [0, 1, 2, 3, 4])
        it(`nft delete rule, the one at ${at}`, async () => {
          const list = await n1.netns.run([
            'nft',
            '-a',
            'list',
            'chain',
            ...TABLE.split(' '),
            'input',
          ])
          const handles = [...list.matchAll(/(?:accept|drop) # handle (\d+)/g)]
          expect(handles).to.have.length(5)
          const handle = handles[at]?.[1] ?? ''
          await expectMended([
            'nft',
            'delete',
            'rule',
            ...TABLE.split(' '),
            'input',
            'handle',
            handle,
          ])
        })
    })

    it('is not looked after where the agent itself takes a permission back', async () => {
      const count = (): number => n1.node.readLog().split('the nftables table was changed').length
      const was = count()
      await n1.node.mustCall(CONFIG, toCall('DEL', a, 'h1'))
      await n1.node.mustCall(CONFIG, toCall('ADD', a, 'h1'))
      await expectSoon('joined', async () => (await hasCarrier(a)) && hasCarrier(b))
      vni = await readVni()
      await expectOnlyOwn(async () => undefined)
      expect(count()).to.equal(was)
    })
  })
