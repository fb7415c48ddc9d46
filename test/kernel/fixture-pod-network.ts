// A launcher's pod link as another CNI plugin makes it, taken over by a VM whose NIC is in a namespace of
// its own, where stock clients run.
import { setTimeout as sleep } from 'node:timers/promises'

import { expect } from 'chai'

import { callPlugin, type CniAnswer } from '../../lab/cni.ts'
import { getNadConfig, readManifest, type Manifest } from '../../lab/manifests.ts'
import { newLabNetns, type LabNetns } from '../../lab/netns.ts'
import type { LabNode } from '../../lab/node.ts'
import { GUEST_NIC, openTap } from '../../lab/tap-opener.ts'
import { newNetnsStation } from '../../kernel/tester/netns-station.ts'
import { run } from '../../kernel/run.ts'
import type { Station } from '../../kernel/tester/station.ts'
import { startListening, type Listening } from '../listening.ts'
import { expectSoon } from '../expect-soon.ts'

export const BRIDGE = 'l2wpn0'
export const CONTAINER = 'c1'
/** What macvlans are made on. */
const PARENT = 'l2wpm0'
const CLIENT_MS = 40_000
/** The namespace of this machine. */
const OURS = '/proc/self/ns/net'

/** What host-local gives: IPv4, IPv6, or both. */
export const RANGES = {
  4: {
    subnet: '198.51.100.0/24',
    route: '0.0.0.0/0',
    gateway: '198.51.100.1',
  },
  6: { subnet: 'fd00:9::/64', route: '::/0', gateway: 'fd00:9::1' },
} as const

export interface PodNetwork extends AsyncDisposable {
  readonly pod: LabNetns
  /** What this machine hears of the pod link, and what it says to it. */
  readonly far: Station
  readonly listenAtFar: () => Promise<Listening>
  /** The VM's NIC. */
  readonly nic: Station
  /** Where the VM's NIC is. */
  readonly guest: LabNetns
  /** The pod link's, and the VM's. */
  readonly mac: string
  /** As host-local gave them, "198.51.100.2/24". */
  readonly addresses: readonly string[]
  readonly bind: (command: 'ADD' | 'CHECK' | 'DEL', more?: Manifest) => Promise<CniAnswer>
  /** GC of ours, with no attachment that is valid. */
  readonly collectAll: () => Promise<CniAnswer>
  /** ADD of ours; throws unless it says yes. */
  readonly add: (more?: Manifest) => Promise<void>
  /** CHECK of the plugin that made the pod link. */
  readonly checkPrimary: () => Promise<CniAnswer>
  /** The VM starts: its tap is opened. */
  readonly open: () => Promise<AsyncDisposable>
  /** udhcpc of busybox: what its script was told. */
  readonly askIpv4: () => Promise<ReadonlyMap<string, string>>
  /** udhcpc once more, when it has what it is told and asks for it again: what its script was told. */
  readonly renewIpv4: () => Promise<string>
  /** dhclient of IPv4 that finds a lease of this address on its disk: what it and its script said. */
  readonly askWithOldLease: (address: string) => Promise<string>
  /** dhclient, which names itself by this kind of DUID: what its script was told. */
  readonly askIpv6: (duid: 'LL' | 'LLT') => Promise<ReadonlyMap<string, string>>
  /** The router that the guest's own kernel has learnt of, once it has: link-local address and MAC. */
  readonly readRouter: () => Promise<Neighbour>
  /** Of the device of this machine that has the gateway's address. */
  readonly readGateway: () => Promise<Neighbour>
}

interface Neighbour {
  readonly address: string
  readonly mac: string
}

export interface PodNetworkOptions {
  readonly plugin: 'bridge' | 'ptp' | 'macvlan'
  readonly families: readonly (4 | 6)[]
  /** Further keys of the plugin's configuration, and of host-local's. */
  readonly more?: Manifest
  readonly routes?: readonly Manifest[]
  readonly link?: string
  /** Whether the guest's own stack stays quiet. */
  readonly isQuiet?: boolean
  /** Which the VM is named by. */
  readonly podName?: string
}

export async function newPodNetwork(
  node: LabNode,
  options: PodNetworkOptions,
): Promise<PodNetwork> {
  const { plugin, families, more = {}, routes = [], link = 'eth0', isQuiet = false } = options
  const { podName = 'r1-launcher' } = options
  await using made = new AsyncDisposableStack()
  const pod = made.use(await newLabNetns('launcher'))
  const guest = made.use(await newLabNetns('guest', { ipv6: !isQuiet }))
  // dhclient gives up where the NIC's own address is not ready.
  await guest.run(['sysctl', '-qw', 'net.ipv6.conf.default.accept_dad=0'])
  const config = {
    cniVersion: '1.0.0',
    name: 'primary',
    type: plugin,
    mtu: 1450,
    ...(plugin === 'bridge' ? { bridge: BRIDGE, isGateway: true } : {}),
    ...(plugin === 'macvlan' ? { master: PARENT, mode: 'bridge' } : {}),
    ...more,
    ipam: more['ipam'] ?? {
      type: 'host-local',
      dataDir: `${node.folder}/ipam`,
      ranges: families.map((family) => [{ subnet: RANGES[family].subnet }]),
      routes: [...families.map((family) => ({ dst: RANGES[family].route })), ...routes],
    },
  }
  const call = { containerID: CONTAINER, netns: pod.path }
  const executable = `/usr/lib/cni/${plugin}`
  const callPrimary = async (command: string, extra: Manifest = {}): Promise<CniAnswer> =>
    callPlugin(
      executable,
      { command, ...call, ifname: link },
      JSON.stringify({ ...config, ...extra }),
    )
  if (plugin === 'bridge')
    made.defer(async () => void (await run(['ip', 'link', 'del', 'dev', BRIDGE])))
  made.defer(async () => void (await callPrimary('DEL')))
  const added = await callPrimary('ADD')
  expect(added.exitCode, added.stdout).to.equal(0)
  const mac = await readMac(pod, link)
  const far = await readFarEnd(pod, link)
  const nad = getNadConfig(await readManifest('deploy/base/binding-nad.yaml'))
  const bound = { ...nad, args: { cni: { logicNetworkName: 'default' } } }
  const bind: PodNetwork['bind'] = async (command, extra = {}) =>
    node.call(
      { ...bound, ...extra, ...(command === 'CHECK' ? { prevResult: {} } : {}) },
      {
        command,
        ...call,
        ifname: 'net1',
        args: `IgnoreUnknown=1;K8S_POD_NAMESPACE=default;K8S_POD_NAME=${podName}`,
      },
    )
  made.defer(async () => void (await bind('DEL')))
  const all = made.move()
  return {
    pod,
    guest,
    far: newNetnsStation(run, { label: 'far', netns: OURS, ifname: far }),
    listenAtFar: async () => startListening(OURS, far),
    nic: newNetnsStation(run, { label: 'VM', netns: guest.path, ifname: GUEST_NIC }),
    mac,
    addresses: listAddresses(added),
    bind,
    collectAll: async () =>
      node.call({ ...bound, 'cni.dev/valid-attachments': [] }, { command: 'GC' }),
    add: async (extra = {}) => {
      const answer = await bind('ADD', extra)
      expect(answer.exitCode, answer.stdout).to.equal(0)
    },
    checkPrimary: async () => callPrimary('CHECK', { prevResult: added.output }),
    open: async () => openTap(pod, 'tap0', guest, mac),
    askIpv4: async () => askIpv4(guest),
    renewIpv4: async () => renewIpv4(guest),
    askWithOldLease: async (address) => askWithOldLease(guest, address),
    askIpv6: async (duid) => askIpv6(guest, duid),
    readRouter: async () => readRouter(guest),
    readGateway,
    [Symbol.asyncDispose]: async () => all.disposeAsync(),
  }
}

function listAddresses({ output }: CniAnswer): readonly string[] {
  const ips = (output?.['ips'] ?? []) as readonly { readonly address: string }[]
  return ips.map(({ address }) => address)
}

export interface Parent extends AsyncDisposable {
  /** Where its cable leads: the gateway of all that is made on it. */
  readonly outside: LabNetns
  readonly station: Station
}

/** The device that links of macvlan are made on, and the network behind it. */
export async function newParent(): Promise<Parent> {
  await using made = new AsyncDisposableStack()
  const outside = made.use(await newLabNetns('outside'))
  await run(`ip link add ${PARENT} type veth peer name up0 netns ${outside.name}`.split(' '))
  made.defer(async () => void (await run(['ip', 'link', 'del', 'dev', PARENT])))
  for (const words of [
    'link set dev up0 up',
    `address add ${RANGES[4].gateway}/24 dev up0`,
    `address add ${RANGES[6].gateway}/64 dev up0 nodad`,
  ])
    await outside.run(['ip', ...words.split(' ')])
  // The parent itself says nothing.
  await run(['ip', 'link', 'set', 'dev', PARENT, 'addrgenmode', 'none', 'up'])
  const all = made.move()
  return {
    outside,
    station: newNetnsStation(run, { label: 'outside', netns: outside.path, ifname: 'up0' }),
    [Symbol.asyncDispose]: async () => all.disposeAsync(),
  }
}

// The node's end of the pod's veth; of a macvlan the device that it is on.
async function readFarEnd(netns: LabNetns, dev: string): Promise<string> {
  const [inside] = JSON.parse(await netns.run(['ip', '-j', 'link', 'show', 'dev', dev])) as [
    { readonly link_index: number },
  ]
  const links = JSON.parse(await run(['ip', '-j', 'link', 'show'])) as readonly {
    readonly ifindex: number
    readonly ifname: string
  }[]
  const far = links.find(({ ifindex }) => ifindex === inside.link_index)
  if (far === undefined) throw new Error(`"${dev}" has no other end here`)
  return far.ifname
}

async function readMac(netns: LabNetns, dev: string): Promise<string> {
  const [link] = JSON.parse(await netns.run(['ip', '-j', 'link', 'show', 'dev', dev])) as [
    { readonly address: string },
  ]
  return link.address
}

// Says what it is told, and sets nothing. dhclient, the parent, would stay.
const SCRIPT = '#!/bin/sh\nenv\n[ "${reason-}" != BOUND6 ] || kill "$PPID"\n'

const UDHCPC = `
  busybox udhcpc -i ${GUEST_NIC} -f -q -n -t 5 -T 1 -s "$folder/script" -O mtu -O search -O staticroutes`
const DHCLIENT = `
  files="-cf /dev/null -lf $folder/lease -pf $folder/pid -sf $folder/script"
  dhclient -6 -1 -d -D "$1" $files ${GUEST_NIC} 2>&1 || :`

// Sets what it is told, since a renewal goes the way of the routes.
const RENEWING = `
  mkfifo "$folder/said"
  busybox udhcpc -i ${GUEST_NIC} -f -n -t 5 -T 1 -s "$folder/script" > "$folder/said" 2>/dev/null & client=$!
  while read -r line; do
    echo "$line"
    case $line in
      done-bound) kill -USR1 $client;;
      done-renew) kill $client;;
    esac
  done < "$folder/said"`
const SETTING = `#!/bin/sh
case $1 in
  bound)
    ip address add "$ip/$mask" dev "$interface"
    ip route add default via "$router" dev "$interface";;
  renew)
    echo renewed
    env;;
esac
echo "done-$1"
`

/** As askIpv4, and once more when it has what it is told. */
export async function renewIpv4(guest: LabNetns): Promise<string> {
  const script = `
    folder=$(mktemp -d) && trap 'rm -r "$folder"' EXIT
    cat > "$folder/script" && chmod 755 "$folder/script"
    ${RENEWING}`
  return run(['nsenter', `--net=${guest.path}`, 'sh', '-euc', script], { input: SETTING })
}

/** udhcpc of busybox, on the NIC of a namespace: what its script was told. */
export async function askIpv4(guest: LabNetns): Promise<ReadonlyMap<string, string>> {
  return ask(guest, UDHCPC)
}

// dhclient, the parent, would stay.
const ENDING = '#!/bin/sh\nenv\n[ "${reason-}" != BOUND ] || kill "$PPID"\n'

async function askWithOldLease(guest: LabNetns, address: string): Promise<string> {
  const lease = `interface "${GUEST_NIC}"; fixed-address ${address}; option subnet-mask 255.255.255.0`
  const ends = ['renew', 'rebind', 'expire'].map((time) => `${time} never;`).join(' ')
  const script = `
    folder=$(mktemp -d) && trap 'rm -r "$folder"' EXIT
    cat > "$folder/script" && chmod 755 "$folder/script"
    echo 'lease { ${lease}; ${ends} }' > "$folder/lease"
    files="-cf /dev/null -lf $folder/lease -pf $folder/pid -sf $folder/script"
    dhclient -4 -1 -d $files ${GUEST_NIC} 2>&1 || :`
  const argv = ['nsenter', `--net=${guest.path}`, 'sh', '-euc', script]
  return run(argv, { input: ENDING, timeoutMs: CLIENT_MS })
}

/** dhclient of IPv6, on the NIC of a namespace: what its script was told. */
export async function askIpv6(
  guest: LabNetns,
  duid: 'LL' | 'LLT',
): Promise<ReadonlyMap<string, string>> {
  // Without DAD the kernel makes an address ready a moment later, too, and dhclient cannot bind to it before.
  await expectSoon('the NIC has an address of its own', async () => {
    const shown = await guest.run(
      `ip -6 -o address show dev ${GUEST_NIC} scope link -tentative`.split(' '),
    )
    return shown !== ''
  })
  return ask(guest, DHCLIENT, duid)
}

async function ask(
  guest: LabNetns,
  client: string,
  ...args: readonly string[]
): Promise<ReadonlyMap<string, string>> {
  const script = `
    folder=$(mktemp -d) && trap 'rm -r "$folder"' EXIT
    cat > "$folder/script" && chmod 755 "$folder/script"
    ${client}`
  const argv = ['nsenter', `--net=${guest.path}`, 'sh', '-euc', script, 'sh', ...args]
  const said = await run(argv, { input: SCRIPT, timeoutMs: CLIENT_MS })
  return new Map(
    said.split('\n').flatMap((line) => {
      const [, key = '', value = ''] = /^(\w+)=(.*)$/.exec(line) ?? []
      return key === '' ? [] : [[key, value] as const]
    }),
  )
}

async function readRouter(guest: LabNetns): Promise<Neighbour> {
  for (;;) {
    const said = await guest.run(['ip', '-j', '-6', 'route', 'show', 'default'])
    const [route] = JSON.parse(said === '' ? '[]' : said) as readonly { readonly gateway: string }[]
    if (route !== undefined) {
      const [there] = JSON.parse(
        await guest.run(['ip', '-j', '-6', 'neigh', 'show', 'to', route.gateway]),
      ) as readonly { readonly lladdr: string }[]
      return { address: route.gateway, mac: there?.lladdr ?? '' }
    }
    await sleep(50)
  }
}

async function readGateway(): Promise<Neighbour> {
  const links = JSON.parse(await run(['ip', '-j', '-6', 'address', 'show'])) as readonly {
    readonly ifname: string
    readonly addr_info: readonly { readonly local: string; readonly scope: string }[]
  }[]
  const link = links.find(({ addr_info: infos }) =>
    infos.some(({ local }) => local === RANGES[6].gateway),
  )
  const mac = (await run(['cat', `/sys/class/net/${link?.ifname}/address`])).trim()
  const address = link?.addr_info.find(({ scope }) => scope === 'link')?.local ?? ''
  return { address, mac }
}
