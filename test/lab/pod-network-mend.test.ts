// A pod link that a VM took over, after somebody's hands: the look at everything finds what is not as ADD left it, mends
// that, and touches nothing else. The kernel tells nobody outside of filters that go in another namespace.
import { setTimeout as sleep } from 'node:timers/promises'

import { expect } from 'chai'
import { describe, it } from 'mocha'

import { run } from '../../kernel/run.ts'
import { newLabNode, type LabNode } from '../../lab/node.ts'
import { expectSoon } from '../expect-soon.ts'
import { leavesNothing } from '../nothing-left.ts'
import { newPodNetwork, type PodNetwork } from '../kernel/fixture-pod-network.ts'

/** A verdict of its own, TC_ACT_OK. */
const PASS = 'bpf da bytecode "1,6 0 0 0,"'
/** Another program that drops all. */
const DROP = 'bpf da bytecode "2,0 0 0 0,6 0 0 2,"'
/** A filter without an action: the last word, and lets pass. */
const U32_PASS = 'u32 match u32 0 0 at -12 flowid 1:1'

/** One thing that somebody does in the launcher, to be mended. */
interface Deed {
  readonly name: string
  readonly words: string
  /** What is made anew by mending it: devices, "DEVICE HOOK PREF". */
  readonly isNew: readonly string[]
}

const DEEDS: readonly Deed[] = [
  {
    name: 'all filters of the pod link that keep it mute',
    words: 'tc filter del dev eth0 egress',
    isNew: ['eth0 egress 1', 'eth0 egress 2'],
  },
  {
    name: 'the hook with all of the filters',
    words: 'tc qdisc del dev eth0 clsact',
    isNew: ['eth0 egress 1', 'eth0 egress 2', 'eth0 ingress 1'],
  },
  {
    name: 'the filter that drops, in whose place another lets pass',
    words: `tc filter replace dev eth0 egress pref 2 protocol all handle 1 ${PASS}`,
    isNew: ['eth0 egress 2'],
  },
  {
    name: 'the filter that drops, in whose place is one of another kind',
    words: `tc filter del dev eth0 egress pref 2; tc filter add dev eth0 egress pref 2 protocol all ${U32_PASS}`,
    isNew: ['eth0 egress 2'],
  },
  {
    name: 'a filter beside the one that drops, and ahead of it',
    words: `tc filter add dev eth0 egress pref 2 protocol all handle 7 ${PASS}`,
    isNew: [],
  },
  {
    name: 'a filter beside the one that lets the VM speak',
    words: `tc filter add dev eth0 egress pref 1 protocol all ${U32_PASS}`,
    isNew: [],
  },
  {
    name: 'the way from the pod link to the VM',
    words: 'tc filter del dev eth0 ingress pref 1',
    isNew: ['eth0 ingress 1'],
  },
  {
    name: 'a question that the server answers',
    words: 'tc filter del dev tap0 ingress pref 2',
    isNew: ['tap0 ingress 2'],
  },
  {
    name: 'the way from the VM to the pod link, which leads elsewhere',
    words:
      'tc filter replace dev tap0 ingress pref 9 protocol all handle 1 bpf bytecode "1,6 0 0 4294967295," action mirred egress redirect dev lo',
    isNew: ['tap0 ingress 9'],
  },
  {
    name: 'the ways back from the server',
    words: 'tc filter del dev lwp0 ingress',
    isNew: ['lwp0 ingress 1', 'lwp0 ingress 2', 'lwp0 ingress 3', 'lwp0 ingress 4'],
  },
  {
    name: 'the switches of the server',
    words:
      'sysctl -qw net.ipv4.conf.lws0.accept_local=0 net.ipv4.conf.lws0.rp_filter=1 net.ipv6.conf.lws0.forwarding=0',
    isNew: [],
  },
  {
    name: 'that the server sums up what it says',
    words: 'ethtool -K lws0 tx on gso on tso on',
    isNew: [],
  },
  {
    name: 'what the server may hear',
    words: 'nft flush ruleset',
    isNew: [],
  },
  {
    name: 'an address of the server, and its neighbour',
    words:
      'ip address flush dev lws0; ip neigh flush dev lws0; ip neigh flush dev lws0 nud permanent',
    isNew: [],
  },
  {
    name: 'the pod link, which goes down',
    words: 'sysctl -qw net.ipv6.conf.eth0.keep_addr_on_down=1; ip link set dev eth0 down',
    isNew: [],
  },
  { name: 'the tap, which goes down', words: 'ip link set dev tap0 down', isNew: [] },
  {
    name: 'the tap, which gets an MTU and a queueing discipline',
    words: 'ip link set dev tap0 mtu 1300; tc qdisc replace dev tap0 root pfifo',
    isNew: [],
  },
]

/** With a macvtap, whose frames are picked where it sends. */
const MACVTAP_DEEDS: readonly Deed[] = [
  {
    name: 'all filters of the pod link that keep it mute',
    words: 'tc filter del dev eth0 egress',
    isNew: ['eth0 egress 1', 'eth0 egress 2'],
  },
  {
    name: 'the way from the pod link to the VM',
    words: 'tc qdisc del dev eth0 clsact',
    isNew: ['eth0 egress 1', 'eth0 egress 2', 'eth0 ingress 1'],
  },
  {
    name: 'the way from the VM',
    words: 'tc filter del dev tap0 egress',
    isNew: [1, 2, 3, 4, 9].map((place) => `tap0 egress ${place}`),
  },
  {
    name: 'the macvtap, which takes frames to its own MAC alone',
    words: 'ip link set dev tap0 promisc off',
    isNew: [],
  },
]

const MENDING = /(it is|they are) mended/

interface Filter {
  readonly pref: number
  readonly kind: string
  readonly options?: {
    readonly handle?: string
    readonly fh?: string
    readonly actions?: readonly { readonly index: number; readonly to_dev: string }[]
  }
}

const HOOKS = ['eth0 egress', 'eth0 ingress', 'tap0 ingress', 'tap0 egress', 'lwp0 ingress']

interface Link {
  readonly ifindex: number
  readonly ifname: string
  readonly mtu: number
  readonly qdisc: string
  readonly flags: readonly string[]
}

/** Filters as text by "DEVICE HOOK PREF", with what the kernel numbers anew whenever one is replaced. */
async function readFilters({ pod }: PodNetwork): Promise<ReadonlyMap<string, string>> {
  const found = new Map<string, string>()
  for (const hook of HOOKS) {
    const [dev = '', where = ''] = hook.split(' ')
    const said = await pod.run(['tc', '-j', 'filter', 'show', 'dev', dev, where])
    for (const { pref, kind, options } of JSON.parse(said) as readonly Filter[])
      if (options !== undefined) {
        const key = `${hook} ${pref}`
        found.set(key, `${found.get(key) ?? ''}${kind} ${JSON.stringify(options)}`)
      }
  }
  return found
}

/** The same without the numbers. */
function strip(filters: ReadonlyMap<string, string>): ReadonlyMap<string, string> {
  return new Map([...filters].map(([key, text]) => [key, text.replaceAll(/"index":\d+/g, '')]))
}

function describeSource(frame: Uint8Array): string {
  return [...frame.subarray(6, 12)].map((byte) => byte.toString(16).padStart(2, '0')).join(':')
}

async function readRest({ pod, mac }: PodNetwork): Promise<string> {
  const [addresses = '', neighbours = '', tables = '', switches = '', links = '', offloads = ''] =
    await Promise.all(
      [
        'ip -br -4 address show',
        'ip neigh show dev lws0',
        'nft list ruleset',
        'sysctl net.ipv4.conf.lws0 net.ipv6.conf.lws0.forwarding net.ipv6.conf.lws0.disable_ipv6',
        'ip -j link show',
        'ethtool -k lws0',
      ].map(async (words) => pod.run(words.split(' '))),
    )
  const facts = (JSON.parse(links) as readonly Link[]).map(
    ({ ifindex, ifname, mtu, qdisc, flags }) => [
      ifindex,
      ifname,
      mtu,
      qdisc,
      // A carrier comes and goes with who has the tap open, some time later.
      flags.filter((flag) => !flag.endsWith('CARRIER') && flag !== 'LOWER_UP'),
    ],
  )
  // The VM's: the server sets some anew, in another state. While it hears everybody the kernel learns of others.
  const known = neighbours
    .split('\n')
    .filter((line) => line.includes(` ${mac} `))
    .map((line) => line.replaceAll(/ [A-Z]+\b/g, ''))
    .join('\n')
  const states = /(UP|DOWN|UNKNOWN)/g
  return [
    addresses.replaceAll(states, ''),
    known,
    tables,
    switches,
    JSON.stringify(facts),
    offloads,
  ].join('\n')
}

for (const [attach, deeds] of [
  ['tap', DEEDS],
  ['macvtap', MACVTAP_DEEDS],
] as const)
  describe(`a pod link that a VM took over by ${attach}, after somebody changed it`, function () {
    this.timeout(60_000)
    let node: LabNode
    let network: PodNetwork
    leavesNothing(async (made) => {
      node = made.use(await newLabNode({ more: ['--check-seconds', '1'] }))
      network = made.use(await newPodNetwork(node, { plugin: 'bridge', families: [4, 6] }))
      await network.add({ attach })
    })
    const change = async (words: string): Promise<string> =>
      run(['nsenter', `--net=${network.pod.path}`, 'sh', '-euc', words])
    /** All of it between two looks of the agent: it mends half a change, too, and the rest finds that in its way. */
    const changeAtOnce = async (words: string): Promise<void> => {
      process.kill(node.readPid(), 'SIGSTOP')
      try {
        await change(words)
      } finally {
        process.kill(node.readPid(), 'SIGCONT')
      }
    }
    const readAll = async (): Promise<string> =>
      `${JSON.stringify([...strip(await readFilters(network))])} ${await readRest(network)}`

    const expectAsItWas = async (whole: string): Promise<void> => {
      try {
        await expectSoon('all is as it was', async () => (await readAll()) === whole)
      } catch {
        expect(await readAll()).to.equal(whole)
      }
    }

    it('is not touched where nobody did, not by a new agent either', async () => {
      // The server answers, and what it sets in the kernel for that is its own.
      if (attach === 'tap') {
        await using _ = await network.open()
        await network.askIpv4()
      }
      const filters = await readFilters(network)
      const rest = await readRest(network)
      await node.stopAgent('SIGKILL')
      await node.startAgent()
      await sleep(3_000)
      expect(await readFilters(network)).to.deep.equal(filters)
      expect(await readRest(network)).to.equal(rest)
      expect(node.readLog()).to.not.match(MENDING)
    })

    for (const { name, words, isNew } of deeds)
      it(`mends ${name}`, async () => {
        const filters = await readFilters(network)
        const whole = await readAll()
        const from = node.readLog().length
        await changeAtOnce(words)
        await expectSoon('the agent says so', () => MENDING.test(node.readLog().slice(from)))
        await expectAsItWas(whole)
        const changed = [...(await readFilters(network))].filter(
          ([key, text]) => filters.get(key) !== text,
        )
        // Filters without an action have no number that would tell.
        expect(isNew).to.include.members(changed.map(([key]) => key))
        expect((await network.bind('CHECK')).exitCode).to.equal(0)
      })

    // Before a VM has been there, which is gone a moment after its end, and whom dnsmasq knows in its own way.
    it("lets the pod's own stack say nothing while it is mended", async () => {
      const whole = await readAll()
      await using capture = await network.far.startCapture()
      const speaking = change('busybox arping -U -c 4 -w 4 -I eth0 198.51.100.2 || :')
      // What follows keeps the link mute: a redirect of all that it sends is as good as a drop.
      await changeAtOnce(`
        tc filter del dev eth0 egress pref 1
        tc filter del dev eth0 ingress
        tc filter add dev eth0 egress pref 1 protocol all bpf da bytecode "1,6 0 0 2,"
        tc filter replace dev eth0 egress pref 2 protocol all handle 1 ${DROP}`)
      await expectAsItWas(whole)
      await speaking
      const heard = await capture.stop()
      expect(heard.filter((frame) => describeSource(frame) === network.mac)).to.deep.equal([])
    })

    it('makes devices that were deleted again, and the server anew with its own', async () => {
      for (const dev of ['lws0', 'tap0']) {
        const from = node.readLog().length
        await change(`ip link del dev ${dev}`)
        await expectSoon('the agent says so', () => MENDING.test(node.readLog().slice(from)))
        await expectSoon('CHECK says so', async () => (await network.bind('CHECK')).exitCode === 0)
      }
      if (attach === 'macvtap') return
      await using _ = await network.open()
      expect((await network.askIpv4()).get('ip')).to.equal(network.addresses[0]?.split('/')[0])
    })
  })
