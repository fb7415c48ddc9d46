// What somebody with a root shell in a launcher's namespace may do to what a VM has there, as commands.
import { toServerNames } from '../../core/name.ts'

/** The devices of a VM's NIC. */
export interface VmDevices {
  readonly tap: string
  readonly podLink: string
  readonly attach: 'tap' | 'macvtap'
  /** Whether the pod link is an end of a wire; else another CNI plugin's, with addresses. */
  readonly isCable: boolean
}

export interface LauncherChange {
  readonly name: string
  readonly words: string
}

export const ODD_ADDRESS = 'fe80::77'

/** Matches every frame, drops every frame, lets every frame pass: classic BPF. */
const ALL = '"1,6 0 0 4294967295,"'
const PASS = '"1,6 0 0 0,"'

/** Where a device's filters are, "eth0 ingress", and where among them one of ours is. */
type Place = readonly [dev: string, hook: string, pref: number]

export function listLauncherChanges(devices: VmDevices): readonly LauncherChange[] {
  const { tap, podLink, attach, isCable } = devices
  const { server, peer } = toServerNames(tap)
  const changes: Readonly<Record<string, string>> = {
    ...changeLink(tap),
    [`the alias of ${tap}`]: `ip link set dev ${tap} alias mine`,
    [`the queueing discipline of ${tap}`]: `tc qdisc replace dev ${tap} root pfifo`,
    ...(attach === 'macvtap' ? { 'what MACs it hears': `ip link set dev ${tap} promisc off` } : {}),
    [`${tap} itself`]: `ip link del dev ${tap}`,
    ...(isCable
      ? { ...changeLink(podLink), [`${podLink} itself`]: `ip link del dev ${podLink}` }
      : {
          // What addresses it loses nobody gives it again.
          [`${podLink} down`]: `sysctl -qw net.ipv6.conf.${podLink}.keep_addr_on_down=1; ip link set dev ${podLink} down`,
          ...changeServer(server, peer),
        }),
    [`all filters of ${podLink}`]: `tc qdisc del dev ${podLink} clsact`,
    [`all filters of ${tap}`]: `tc qdisc del dev ${tap} clsact`,
    ...Object.assign({}, ...listPlaces(devices).map(changeFilter)),
  }
  return Object.entries(changes).map(([name, words]) => ({ name, words }))
}

function listPlaces({ tap, podLink, attach, isCable }: VmDevices): readonly Place[] {
  const { peer } = toServerNames(tap)
  const hook = attach === 'tap' ? 'ingress' : 'egress'
  return [
    [podLink, 'ingress', 1],
    // What lets the VM through, and what keeps all others mute.
    [podLink, 'egress', 1],
    [podLink, 'egress', 2],
    [tap, hook, isCable ? 1 : 9],
    // A question to the server, and an answer.
    ...(isCable
      ? []
      : ([
          [tap, hook, 2],
          [peer, 'ingress', 1],
        ] as const)),
  ]
}

function changeLink(dev: string): Readonly<Record<string, string>> {
  const set = `ip link set dev ${dev}`
  return {
    [`the MTU of ${dev}`]: `${set} mtu 1300`,
    [`the MTU of ${dev}, and IPv6 with it`]: `${set} mtu 1000`,
    [`ARP of ${dev}`]: `${set} arp on`,
    [`multicast of ${dev}`]: `${set} multicast on`,
    [`the link-local address of ${dev}`]: `${set} addrgenmode eui64`,
    [`an address of ${dev}`]: `ip address add ${ODD_ADDRESS}/64 dev ${dev} nodad`,
    [`${dev} down`]: `${set} down`,
  }
}

function changeServer(server: string, peer: string): Readonly<Record<string, string>> {
  return {
    'the MTU of the server': `ip link set dev ${server} mtu 1400`,
    'the MTU of its peer': `ip link set dev ${peer} mtu 1400`,
    'ARP of its peer': `ip link set dev ${peer} arp on`,
    'multicast of its peer': `ip link set dev ${peer} multicast on`,
    'the link-local address of its peer': `ip link set dev ${peer} addrgenmode eui64`,
    'its peer down': `ip link set dev ${peer} down`,
    'the server down': `ip link set dev ${server} down`,
    'ARP of the server': `ip link set dev ${server} arp off`,
    'multicast of the server': `ip link set dev ${server} multicast off`,
    'the addresses of the server': `ip address flush dev ${server}`,
    'an address of the server': `ip -4 address flush dev ${server}`,
    'whom the server knows': `ip neigh flush dev ${server} nud permanent`,
    'what the server hears': 'nft flush ruleset',
    'what the server leaves to others': `ethtool -K ${server} tx on gso on tso on`,
    'the switches of the server': `sysctl -qw net.ipv4.conf.${server}.accept_local=0 net.ipv6.conf.${server}.forwarding=0`,
    'the server itself': `ip link del dev ${server}`,
  }
}

function changeFilter([dev, hook, pref]: Place): Readonly<Record<string, string>> {
  const place = `dev ${dev} ${hook} pref ${pref}`
  const lead = `bpf bytecode ${ALL} action mirred egress redirect dev lo`
  const remove = `tc filter del ${place}`
  return {
    [`filter ${place}`]: remove,
    [`filter ${place}, which leads elsewhere`]: `tc filter replace ${place} protocol all handle 1 ${lead} || { ${remove}; tc filter add ${place} protocol all handle 1 ${lead}; }`,
    [`filter ${place}, which lets pass`]: `${remove}; tc filter add ${place} protocol all handle 1 bpf da bytecode ${PASS}`,
    [`filter ${place}, of another kind`]: `${remove}; tc filter add ${place} protocol all u32 match u32 0 0 at -12 flowid 1:1`,
    [`filter ${place}, with another beside it`]: `tc filter add ${place} protocol all handle 7 bpf da bytecode ${PASS}`,
  }
}
