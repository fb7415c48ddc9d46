// Steps spelled for iproute2's batch mode. Always "dev X" and "name X": a bare name may be read as
// an abbreviated keyword.
import { IPV6_MTU_MIN } from '../net/address.ts'
import type { NicRoute } from '../net/route.ts'
import { MATCH_ALL_PROGRAM, DROP_PROGRAM, PLACE } from './filter-place.ts'
import { renderProgram } from './frame-match.ts'
import { getPeerSet, renderGuard, TABLE } from './guard.ts'
import { getFamily } from '../net/ip.ts'
import { NO_OFFLOAD } from './offload.ts'
import type { Step, AcceptForStep } from './step.ts'

/**
 * Match-all classifiers in order of preference; which one a kernel has is probed once. matchall is behind
 * bpf as the kernel replaces no filter of it: a redirect could only be changed by a moment without.
 */
export const CLASSIFIERS = ['bpf', 'matchall', 'u32'] as const
export type Classifier = (typeof CLASSIFIERS)[number]

/** Lines for `ip -batch`, `tc -batch` or `nft -f`, or one for ethtool, and the namespace to run them in. */
export interface Batch {
  readonly tool: 'ip' | 'tc' | 'nft' | 'ethtool'
  readonly netns: string | undefined
  readonly lines: readonly string[]
}

export interface RenderOptions {
  readonly classifier: Classifier
  /** Path by which another namespace can name the agent's own, "/proc/<pid>/ns/net". */
  readonly hostNetns: string
}

export function renderClassifier(classifier: Classifier): string {
  switch (classifier) {
    case 'matchall':
      return 'matchall'
    case 'bpf':
      return `bpf bytecode "${MATCH_ALL_PROGRAM}"`
    case 'u32':
      // Without "at -12" u32 looks four bytes behind the header and drops 14-byte runts.
      return 'u32 match u32 0 0 at -12'
  }
}

const FIRST = `pref ${PLACE.first}`
const BEHIND_STEERING = `pref ${PLACE.behindSteering}`

function renderStep(step: Step, options: RenderOptions): Batch {
  switch (step.op) {
    case 'add-veth':
      return {
        tool: 'ip',
        netns: step.netns,
        lines: [
          // The pair is born in the pod and its host end pushed out, so no pod end is ever in the
          // node's namespace. The flags ride along: the host end is mute from its first moment, but the kernel
          // sets them when it has registered the device.
          `link add name ${step.dev} address ${step.mac} mtu ${step.mtuBytes} ${step.isSilent ? `${NO_CHATTER} ` : ''}type veth ` +
            `peer name ${step.hostEnd} mtu ${BIRTH_MTU} ${NO_CHATTER} netns ${options.hostNetns}`,
          ...(step.isSilent ? [renderNoLinkLocal(step.dev)] : []),
          `link set dev ${step.dev} up`,
        ],
      }
    case 'claim-ingress':
      return { tool: 'tc', netns: step.netns, lines: [renderIngress(step.dev)] }
    case 'add-address':
      return {
        tool: 'ip',
        netns: step.netns,
        lines: [
          `address add ${step.address} ${renderAddressWords(step.address)}` +
            `${step.isAlone ? 'noprefixroute ' : ''}dev ${step.dev}`,
        ],
      }
    case 'add-route':
      return { tool: 'ip', netns: step.netns, lines: [renderRoute(step.route, step.dev)] }
    case 'add-tap':
      return {
        tool: 'ip',
        netns: step.netns,
        lines: [
          `tuntap add dev ${step.dev} mode tap user ${step.owner} group ${step.owner}${step.isMultiQueue ? ' multi_queue' : ''}`,
        ],
      }
    case 'add-macvtap':
      return {
        tool: 'ip',
        netns: step.netns,
        lines: [
          `link add link ${step.link} name ${step.dev} index ${step.index} type macvtap mode passthru`,
        ],
      }
    case 'rename-link':
      return {
        tool: 'ip',
        netns: step.netns,
        lines: [`link set dev ${step.dev} name ${step.name}`],
      }
    case 'set-link': {
      const mtu = step.mtuBytes === undefined ? '' : `mtu ${step.mtuBytes}`
      const words = [
        ...(step.isPromiscuous === true ? ['promisc on'] : []),
        ...(step.alias === undefined ? [] : [`alias "${step.alias}"`]),
        ...(step.up === undefined ? [] : [step.up ? 'up' : 'down']),
      ]
      const set = `link set dev ${step.dev}`
      return {
        tool: 'ip',
        netns: step.netns,
        lines: [
          // IPv6 comes with the MTU that it needs: behind the flags, which keep it from joining groups of routers, and
          // before its addresses are switched off, since it comes with the kernel's default.
          ...(step.isSilent === undefined
            ? []
            : [`${set} ${step.isSilent ? NO_CHATTER : CHATTER}`]),
          ...(mtu === '' ? [] : [`${set} ${mtu}`]),
          ...(step.isSilent ? renderSilence(step.dev) : []),
          ...(step.hearsAll ? [`${set} allmulticast on`] : []),
          ...(words.length === 0 ? [] : [`${set} ${words.join(' ')}`]),
        ],
      }
    }
    case 'stop-offload':
      return {
        tool: 'ethtool',
        netns: step.netns,
        lines: [`-K ${step.dev} ${NO_OFFLOAD}`],
      }
    case 'add-vxlan':
      return {
        tool: 'ip',
        netns: step.netns,
        lines: [
          // Without "dev" the MTU may be larger than the underlay's: what is longer is sent in fragments.
          `link add name ${step.dev} mtu ${BIRTH_MTU} type vxlan id ${step.vni} local ${step.local} ` +
            `remote ${step.remote} dstport ${step.port} nolearning`,
        ],
      }
    case 'set-remote':
      return {
        tool: 'ip',
        netns: step.netns,
        lines: [`link set dev ${step.dev} type vxlan id ${step.vni} remote ${step.remote}`],
      }
    case 'guard-port':
      return { tool: 'nft', netns: step.netns, lines: renderGuard(step) }
    case 'allow-peer':
    case 'forbid-peer': {
      const element = `element ${TABLE} ${getPeerSet(step.address)} { ${step.address} . ${step.vni} }`
      // One transaction: adding first makes the deletion of what is not there succeed.
      const lines = [`add ${element}`, ...(step.op === 'forbid-peer' ? [`delete ${element}`] : [])]
      return { tool: 'nft', netns: step.netns, lines }
    }
    case 'add-redirect':
      return {
        tool: 'tc',
        netns: step.netns,
        lines: [
          renderIngress(step.dev),
          `filter replace dev ${step.dev} ${step.hook ?? 'ingress'} ${step.isBehindSteering ? BEHIND_STEERING : FIRST} ` +
            `protocol all ${renderHandle(options.classifier)}` +
            `${renderClassifier(options.classifier)} action mirred ${step.into ?? 'egress'} redirect dev ${step.target}`,
        ],
      }
    case 'steer':
      return {
        tool: 'tc',
        netns: step.netns,
        lines: [
          renderIngress(step.dev),
          `filter replace dev ${step.dev} ${step.hook} pref ${step.place} protocol ${step.frames.protocol} handle 1 ` +
            `bpf bytecode "${renderProgram(step.frames)}" action mirred ${step.into} ` +
            // "continue": to the filters behind it.
            (step.isCopied ? `mirror dev ${step.target} continue` : `redirect dev ${step.target}`),
        ],
      }
    case 'drop-egress':
      return {
        tool: 'tc',
        netns: step.netns,
        lines: [
          renderIngress(step.dev),
          `filter replace dev ${step.dev} egress pref ${step.place ?? PLACE.dropEgress} protocol all handle 1 ` +
            `bpf da bytecode "${DROP_PROGRAM}"`,
        ],
      }
    case 'let-through':
      return {
        tool: 'tc',
        netns: step.netns,
        lines: [
          renderIngress(step.dev),
          // A redirect leaves the device that a frame came in at in skb_iif; what the pod's own stack sends
          // has none there. A filter without action is the last word, and lets pass. Of whichever table its place
          // has: the kernel counts them on while another place of the hook has one, and changes that one's filter.
          `filter replace dev ${step.dev} egress ${FIRST} protocol all handle ${step.table ?? ''}::1 ` +
            `u32 match u32 0 0 at -12 indev ${step.source} flowid 1:1`,
        ],
      }
    case 'add-pair':
      return {
        tool: 'ip',
        netns: step.netns,
        lines: [
          `link add name ${step.dev}${step.mac === undefined ? '' : ` address ${step.mac}`} type veth ` +
            `peer name ${step.peer}`,
          renderNoLinkLocal(step.dev),
        ],
      }
    case 'set-neighbour':
      return {
        tool: 'ip',
        netns: step.netns,
        lines: [`neigh replace ${step.address} lladdr ${step.mac} dev ${step.dev} nud permanent`],
      }
    case 'accept-for':
      return { tool: 'nft', netns: step.netns, lines: renderAcceptFor(step) }
    case 'forget-accept-for':
      return { tool: 'nft', netns: step.netns, lines: renderForgetting(step.dev) }
    case 'del-queue':
      return {
        tool: 'tc',
        netns: step.netns,
        lines: [`qdisc replace dev ${step.dev} root noqueue`],
      }
    case 'del-redirect':
      return {
        tool: 'tc',
        netns: step.netns,
        lines: [`filter del dev ${step.dev} ingress ${FIRST}`],
      }
    case 'del-filters': {
      const { dev, hook, place, one } = step
      const which =
        one === undefined ? '' : ` protocol ${one.protocol} handle ${one.handle} ${one.kind}`
      return {
        tool: 'tc',
        netns: step.netns,
        lines: [`filter del dev ${dev} ${hook} pref ${place}${which}`],
      }
    }
    case 'del-link':
      return { tool: 'ip', netns: step.netns, lines: [`link del dev ${step.dev}`] }
  }
}

// One transaction: adding first makes the deletion of what is not there succeed.
function renderForgetting(dev: string): readonly string[] {
  const table = `netdev l2wire-${dev}`
  return [`add table ${table}`, `delete table ${table}`]
}

// Before the stack has seen it: what is for others it would hand on, or give to whoever listens for any.
function renderAcceptFor({ dev, addresses, asked, confirmsAt }: AcceptForStep): readonly string[] {
  const table = `netdev l2wire-${dev}`
  return [
    ...renderForgetting(dev),
    `add table ${table}`,
    `add chain ${table} input { type filter hook ingress device "${dev}" priority 0; policy drop; }`,
    ...addresses.map((address) => {
      const family = getFamily(address) === 4 ? 'ip' : 'ip6'
      return `add rule ${table} input ${family} daddr ${address} meta pkttype set host accept`
    }),
    ...asked.map(
      (address) => `add rule ${table} input arp daddr ip ${address} meta pkttype set host accept`,
    ),
    ...(confirmsAt === undefined ? [] : renderConfirm(table, confirmsAt)),
  ]
}

// dnsmasq answers a REBIND (6) of an address that is not the client's by naming it once more; to a CONFIRM (4)
// it says NotOnLink. The client's port, which no answer goes by, takes what the checksum would miss.
function renderConfirm(table: string, dev: string): readonly string[] {
  const [clientPort, rebind, confirm] = [546, 6, 4]
  return [
    `add chain ${table} confirm { type filter hook ingress device "${dev}" priority 0; policy accept; }`,
    `add rule ${table} confirm ip6 nexthdr udp udp dport 547 @th,64,8 ${rebind} ` +
      `@th,0,16 set ${clientPort + (rebind - confirm) * 256} @th,64,8 set ${confirm} fwd to "${dev}"`,
  ]
}

export const NO_CHATTER = 'arp off multicast off'
const CHATTER = 'arp on multicast on'
/**
 * Of a device that is not silent yet: one that gets IPv6 while it can do multicast, on a node that forwards, joins the
 * group of all routers, and tells of that (MLD) whenever it goes up.
 */
export const BIRTH_MTU = IPV6_MTU_MIN - 1
const NO_LINK_LOCAL = 'addrgenmode none'

// Alone on its line: see passOver().
function renderNoLinkLocal(dev: string): string {
  return `link set dev ${dev} ${NO_LINK_LOCAL}`
}

// The address that a device has already would go on speaking.
function renderSilence(dev: string): readonly string[] {
  return [renderNoLinkLocal(dev), `address flush dev ${dev} to fe80::/10`]
}

function renderIngress(dev: string): string {
  return `qdisc replace dev ${dev} clsact`
}

// Without "nodad" an IPv6 address waits for a cable that may lead nowhere yet. An IPv4 network of one
// or two addresses has no broadcast address (RFC 3021).
function renderAddressWords(address: string): string {
  if (getFamily(address) === 6) return 'nodad '
  return Number(address.split('/')[1]) < 31 ? 'broadcast + ' : ''
}

// "append": a route of the owner's other networks to the same destination keeps its precedence.
function renderRoute(
  { dst, gw, mtu, advmss, priority, table, scope }: NicRoute,
  dev: string,
): string {
  const words = { via: gw, mtu, advmss, metric: priority, table, scope }
  const given = Object.entries(words).flatMap(([word, value]) =>
    value === undefined ? [] : [`${word} ${value}`],
  )
  return ['route append', dst, `dev ${dev}`, ...given].join(' ')
}

// A handle makes "replace" replace instead of adding a second filter. u32 numbers its own.
function renderHandle(classifier: Classifier): string {
  return classifier === 'u32' ? 'handle 800::1 ' : 'handle 1 '
}

// Of a filter of another kind, and of matchall for any.
const IN_THE_WAY = /filter kind does not match existing one|RTNETLINK answers: File exists/

/** The line to go before a line of tc that failed with these words; undefined where another's filter is not why. */
export function clearTheWay(line: string, said: string): string | undefined {
  const place = /^filter replace (dev \S+ (?:ingress|egress) pref \d+) /.exec(line)?.[1]
  return place !== undefined && IN_THE_WAY.test(said) ? `filter del ${place}` : undefined
}

/**
 * Whether a line that failed with these words asked for nothing: a device without IPv6, whose MTU is below 1280 or whose
 * kernel was booted without, has no link-local address to be kept from; what is to be removed is gone.
 */
export function passOver(line: string, said: string): boolean {
  if (line.endsWith(` ${NO_LINK_LOCAL}`))
    return said.includes('Address family not supported by protocol')
  return /^(?:link|filter) del /.test(line) && isGone(said)
}

// What iproute2 6.x and nsenter say of a device, qdisc, filter or namespace that is not there. A tool
// that is missing or not allowed says something else, and that is no success.
const GONE = [
  /^\S+: Error: No such file or directory/m,
  /^Cannot find device/m,
  /^RTNETLINK answers: No such device/m,
  /^Error: Parent Qdisc doesn't exists/m,
  /^Error: Cannot find specified filter chain/m,
  /^Error: Filter with specified priority\/protocol not found/m,
  /^nsenter: cannot open .*: No such file or directory/m,
  /^nsenter: reassociate to namespace '.*' failed: Invalid argument/m,
]

/** Whether a tool that failed with these words missed what it was to change. */
export function isGone(said: string): boolean {
  return GONE.some((words) => words.test(said))
}

/** Steps in order, neighbours of one tool and namespace together: a process each is what costs. */
export function renderBatches(steps: readonly Step[], options: RenderOptions): readonly Batch[] {
  const batches: Batch[] = []
  for (const step of steps) {
    const batch = renderStep(step, options)
    const last = batches.at(-1)
    const isShared = batch.tool !== 'ethtool' && last?.tool === batch.tool
    if (last !== undefined && isShared && last.netns === batch.netns)
      batches[batches.length - 1] = { ...last, lines: [...last.lines, ...batch.lines] }
    else batches.push(batch)
  }
  return batches.filter((batch) => batch.lines.length > 0)
}

export function toArgv(batch: Batch): readonly string[] {
  const argv = [batch.tool, ...listWords(batch)]
  return batch.netns === undefined ? argv : ['nsenter', `--net=${batch.netns}`, ...argv]
}

function listWords({ tool, lines }: Batch): readonly string[] {
  if (tool === 'nft') return ['-f', '-']
  return tool === 'ethtool' ? lines.flatMap((line) => line.split(' ')) : ['-batch', '-']
}
