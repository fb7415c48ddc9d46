// Launchers whose VM took over a pod link, on the real kernel. The model is what they are right behind their
// ADD: whatever somebody changes in there, that is what they come to.
import { setTimeout as sleep } from 'node:timers/promises'

import fc from 'fast-check'

import { toServerNames } from '../../core/name.ts'
import { newLabNode, type LabNode } from '../../lab/node.ts'
import type { LabNetns } from '../../lab/netns.ts'
import { newPodNetwork } from '../kernel/fixture-pod-network.ts'
import { MAC, newVmCable, POD_LINK, TAP } from '../kernel/fixture-vm-cable.ts'
import {
  listLauncherChanges,
  ODD_ADDRESS,
  type LauncherChange,
  type VmDevices,
} from './launcher-change.ts'

const REST_MS = 30_000
const POLL_MS = 100
/** How many changes meet. */
const AT_ONCE = 4

/** What happens at once. */
export interface LauncherRound {
  readonly changes: readonly LauncherChange[]
  /** Whether the agent is killed before, and started behind it. */
  readonly isAgentAway: boolean
}

export interface LauncherLab extends AsyncDisposable {
  readonly perform: (round: LauncherRound) => Promise<void>
  readonly look: () => Promise<readonly string[]>
  /** As it was right behind the ADD. */
  readonly whole: readonly string[]
}

export interface LauncherKind {
  readonly attach: 'tap' | 'macvtap'
  readonly on: 'a cable' | 'a pod network'
}

export const LAUNCHER_KINDS: readonly LauncherKind[] = (
  ['a cable', 'a pod network'] as const
).flatMap((on) => (['tap', 'macvtap'] as const).map((attach) => ({ attach, on })))

export async function newLauncherLab(kind: LauncherKind): Promise<LauncherLab> {
  const { attach } = kind
  await using made = new AsyncDisposableStack()
  // Of what goes on in a namespace without an end of a wire no event tells.
  const node = made.use(await newLabNode({ more: ['--check-seconds', '1'] }))
  const devices = toVmDevices(kind)
  const { netns, mac } = devices.isCable
    ? await newCable(node, attach, made)
    : await newNetwork(node, attach, made)
  const lookNow = async (): Promise<readonly string[]> => look(netns, devices, mac)
  const whole = await lookNow()
  const resources = made.move()
  return {
    perform: async ({ changes, isAgentAway }) => {
      if (isAgentAway) await node.stopAgent('SIGKILL')
      // One may have taken away what the next would change.
      const script = changes.map(({ words }) => `{ ${words}; } || :`).join('\n')
      await netns.run(['sh', '-c', `exec 2>/dev/null\n${script}`])
      if (isAgentAway) await node.startAgent()
    },
    look: lookNow,
    whole,
    [Symbol.asyncDispose]: async () => resources.disposeAsync(),
  }
}

interface Vm {
  readonly netns: LabNetns
  readonly mac: string
}

function toVmDevices({ attach, on }: LauncherKind): VmDevices {
  return on === 'a cable'
    ? { attach, isCable: true, tap: TAP, podLink: POD_LINK }
    : { attach, isCable: false, tap: 'tap0', podLink: 'eth0' }
}

async function newCable(
  node: LabNode,
  attach: LauncherKind['attach'],
  made: AsyncDisposableStack,
): Promise<Vm> {
  const cable = made.use(await newVmCable(node, attach))
  await cable.plug(cable.launcher)
  await cable.bind(cable.launcher)
  return { netns: cable.launcher.netns, mac: MAC }
}

async function newNetwork(
  node: LabNode,
  attach: LauncherKind['attach'],
  made: AsyncDisposableStack,
): Promise<Vm> {
  const network = made.use(await newPodNetwork(node, { plugin: 'bridge', families: [4, 6] }))
  await network.add({ attach })
  return { netns: network.pod, mac: network.mac }
}

interface IpLink {
  readonly ifname: string
  readonly flags: readonly string[]
  readonly mtu: number
  readonly qdisc: string
  readonly ifalias?: string
  readonly address: string
  readonly inet6_addr_gen_mode?: string
  readonly linkinfo?: { readonly info_kind?: string }
  readonly addr_info?: readonly { readonly local: string; readonly prefixlen: number }[]
}

interface IpNeighbour {
  readonly dev: string
  readonly dst: string
  readonly lladdr?: string
}

const FLAGS: readonly string[] = ['UP', 'NOARP', 'MULTICAST', 'ALLMULTI', 'PROMISC']

// Links, addresses, and neighbours on a line each, then what is read as it stands.
const SCRIPT = `
ip -j -d link show
ip -j address show
ip -j neigh show
for hook in $HOOKS; do
  echo "$hook $(tc -j filter show dev "\${hook%/*}" "\${hook#*/}" 2>/dev/null | tr -d '\\n')"
done
nft list ruleset
[ ! -e "/sys/class/net/$SERVER" ] || ethtool -k "$SERVER" | grep -E '^(tx-checksumming|generic-seg|tcp-seg)'
sysctl net.ipv4.conf.$SERVER.accept_local net.ipv4.conf.$SERVER.rp_filter net.ipv6.conf.$SERVER.forwarding 2>/dev/null
sysctl net.ipv4.neigh.$SERVER.gc_stale_time net.ipv6.neigh.$SERVER.gc_stale_time 2>/dev/null
:`

/** Lines, one for each thing. */
async function look(
  netns: LabNetns,
  { tap, podLink, isCable }: VmDevices,
  mac: string,
): Promise<readonly string[]> {
  const { server, peer } = toServerNames(tap)
  const hooks = [podLink, tap, peer].flatMap((dev) => [`${dev}/ingress`, `${dev}/egress`])
  const environment = [`HOOKS=${hooks.join(' ')}`, `SERVER=${server}`]
  const shown = await netns.run(['env', ...environment, 'sh', '-c', SCRIPT])
  const [links = '', addressed = '', neighbours = '', ...rest] = shown.split('\n')
  const addresses = new Map(
    (JSON.parse(addressed) as readonly IpLink[]).map(({ ifname, addr_info: all = [] }) => [
      ifname,
      all.map(({ local, prefixlen }) => `${local}/${prefixlen}`).sort(),
    ]),
  )
  return [
    ...(JSON.parse(links) as readonly IpLink[])
      .filter(({ ifname }) => ifname !== 'lo')
      // Another's is up, and the rest of it its CNI plugin's.
      .map((link) =>
        link.ifname === podLink && !isCable
          ? `${podLink} ${link.flags.includes('UP') ? 'up' : 'down'}`
          : describeLink(link, addresses.get(link.ifname)),
      ),
    // It learns where the address is that somebody gave to the VM's device.
    ...(JSON.parse(neighbours) as readonly IpNeighbour[])
      .filter(({ dev, lladdr, dst }) => dev === server && lladdr === mac && dst !== ODD_ADDRESS)
      .map(({ dst }) => `${server} knows ${dst}`),
    // Each action has a number of its own, and so has each table of u32.
    ...rest.map((line) =>
      line.replaceAll(/"index":\d+,?/g, '').replaceAll(/"(fh|key_ht)":"[0-9a-f]+/g, '"$1":"'),
    ),
  ].sort()
}

function describeLink(link: IpLink, addresses: readonly string[] = []): string {
  const { ifname, flags, mtu, qdisc, ifalias, address, inet6_addr_gen_mode: mode } = link
  // Of the others the kernel draws it anew.
  const kind = link.linkinfo?.info_kind ?? ''
  return [
    `${ifname} (${kind}${kind === 'tun' || ifname.startsWith('lw') ? '' : ` ${address}`})`,
    FLAGS.filter((flag) => flags.includes(flag)).join(' '),
    `MTU ${mtu}, queue ${qdisc}, alias ${ifalias}, mode ${mode}`,
    addresses.join(' '),
  ].join(': ')
}

/** Throws an error that tells the whole story when the launcher does not come to what its ADD made. */
export async function playInLauncher(
  lab: LauncherLab,
  rounds: readonly LauncherRound[],
): Promise<void> {
  const story: string[] = []
  for (const round of rounds) {
    const names = round.changes.map(({ name }) => name).join('  AND AT ONCE  ')
    story.push(`  - ${round.isAgentAway ? 'without an agent: ' : ''}${names}`)
    await lab.perform(round)
    await waitUntilWhole(lab, story)
  }
}

/** Twice in a row. */
async function waitUntilWhole(lab: LauncherLab, story: readonly string[]): Promise<void> {
  const { whole } = lab
  const deadline = Date.now() + REST_MS
  for (let count = 0; count < 2;) {
    // What is looked at may go in the same moment.
    const now = await lab.look().catch((error: unknown) => [String(error)])
    count = now.join('\n') === whole.join('\n') ? count + 1 : 0
    if (Date.now() > deadline)
      throw new Error(
        [
          'What was changed:',
          ...story,
          `Not as its ADD made it within ${REST_MS / 1000} seconds:`,
          ...whole.filter((line) => !now.includes(line)).map((line) => `  expected  ${line}`),
          ...now.filter((line) => !whole.includes(line)).map((line) => `  but found ${line}`),
        ].join('\n'),
      )
    await sleep(POLL_MS)
  }
}

/** Each change once, at once with some of other devices. */
export function listEachChange(kind: LauncherKind): readonly LauncherRound[] {
  const changes = listLauncherChanges(toVmDevices(kind))
  const count = Math.ceil(changes.length / AT_ONCE)
  return Array.from({ length: count }, (_, at) => ({
    changes: changes.filter((_, i) => i % count === at),
    isAgentAway: at === 0,
  }))
}

export function newLauncherSequences(kind: LauncherKind): fc.Arbitrary<readonly LauncherRound[]> {
  const changes = listLauncherChanges(toVmDevices(kind))
  const anyRound = fc.record({
    changes: fc.array(fc.constantFrom(...changes), { minLength: 1, maxLength: AT_ONCE }),
    isAgentAway: fc.oneof(
      { weight: 4, arbitrary: fc.constant(false) },
      { weight: 1, arbitrary: fc.constant(true) },
    ),
  })
  return fc.array(anyRound, { minLength: 1, maxLength: 8, size: 'max' })
}
