// Steps spelled for iproute2's batch mode. Always "dev X" and "name X": a bare name may be read as
// an abbreviated keyword.
import type { NicRoute } from './addressing.ts'
import { MATCH_ALL_PROGRAM, MUTE_PROGRAM, PLACE } from './filter-place.ts'
import { renderProgram } from './frame-match.ts'
import { getFamily } from './ip.ts'
import type { Step, TakeAllStep } from './step.ts'

/**
 * Match-all classifiers in order of preference; which one a kernel has is probed once. matchall is behind
 * bpf as the kernel replaces no filter of it: a redirect could only be changed by a moment without.
 */
export const CLASSIFIERS = ['bpf', 'matchall', 'u32'] as const
export type Classifier = (typeof CLASSIFIERS)[number]

/** Lines for `ip -batch`, `tc -batch` or `nft -f`, and the namespace to run them in. */
export interface Batch {
  readonly tool: 'ip' | 'tc' | 'nft'
  readonly netns: string | undefined
  readonly lines: readonly string[]
}

export interface RenderOptions {
  readonly classifier: Classifier
  /** Path by which another namespace can name the agent's own, "/proc/<pid>/ns/net". */
  readonly hostNetns: string
  /** Whether the kernel speaks IPv6: one that was booted without refuses its settings. */
  readonly hasIpv6: boolean
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
const BEHIND_PICKS = `pref ${PLACE.behindPicks}`

function renderStep(step: Step, options: RenderOptions): Batch {
  switch (step.op) {
    case 'add-veth':
      return {
        tool: 'ip',
        netns: step.netns,
        lines: [
          // The pair is born in the pod and its host end pushed out, so no pod end is ever in the
          // node's namespace. The flags ride along: the host end is mute from its first moment.
          `link add name ${step.dev} address ${step.mac} mtu ${step.mtuBytes} type veth ` +
            `peer name ${step.hostDevice} mtu ${step.hostMtuBytes} arp off multicast off netns ${options.hostNetns}`,
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
      const lines: string[] = []
      if (step.isSilent)
        lines.push(
          `link set dev ${step.dev} ${options.hasIpv6 ? 'addrgenmode none ' : ''}arp off multicast off`,
        )
      if (step.hearsAll) lines.push(`link set dev ${step.dev} allmulticast on`)
      const words = [
        ...(step.mtuBytes === undefined ? [] : [`mtu ${step.mtuBytes}`]),
        ...(step.isPromiscuous === true ? ['promisc on'] : []),
        ...(step.alias === undefined ? [] : [`alias "${step.alias}"`]),
        ...(step.up === undefined ? [] : [step.up ? 'up' : 'down']),
      ]
      if (words.length > 0) lines.push(`link set dev ${step.dev} ${words.join(' ')}`)
      return { tool: 'ip', netns: step.netns, lines }
    }
    case 'add-vxlan':
      return {
        tool: 'ip',
        netns: step.netns,
        lines: [
          // Without "dev" the MTU may be larger than the underlay's: what is longer is sent in fragments.
          `link add name ${step.dev} mtu ${step.mtuBytes} type vxlan id ${step.vni} local ${step.local} ` +
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
      return { tool: 'nft', netns: step.netns, lines: renderGuard(step.port) }
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
          `filter replace dev ${step.dev} ${step.hook ?? 'ingress'} ${step.isBehindPicks ? BEHIND_PICKS : FIRST} ` +
            `protocol all ${renderHandle(options.classifier)}` +
            `${renderClassifier(options.classifier)} action mirred ${step.into ?? 'egress'} redirect dev ${step.target}`,
        ],
      }
    case 'pick':
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
    case 'mute':
      return {
        tool: 'tc',
        netns: step.netns,
        lines: [
          renderIngress(step.dev),
          `filter replace dev ${step.dev} egress pref ${step.place ?? PLACE.mute} protocol all handle 1 ` +
            `bpf da bytecode "${MUTE_PROGRAM}"`,
        ],
      }
    case 'let-through':
      return {
        tool: 'tc',
        netns: step.netns,
        lines: [
          // A redirect leaves the device that a frame came in at in skb_iif; what the pod's own stack sends
          // has none there. A filter without action is the last word, and lets pass.
          `filter replace dev ${step.dev} egress ${FIRST} protocol all handle 800::1 ` +
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
          ...(options.hasIpv6 ? [`link set dev ${step.dev} addrgenmode none`] : []),
        ],
      }
    case 'set-neighbour':
      return {
        tool: 'ip',
        netns: step.netns,
        lines: [`neigh replace ${step.address} lladdr ${step.mac} dev ${step.dev} nud permanent`],
      }
    case 'take-all':
      return { tool: 'nft', netns: step.netns, lines: renderTakeAll(step) }
    case 'forget-take-all':
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
function renderTakeAll({ dev, addresses, asked }: TakeAllStep): readonly string[] {
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
  ]
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

/** Everything of ours in nftables; removing it removes all. */
export const TABLE = 'inet l2wire'

function getPeerSet(address: string): string {
  return address.includes(':') ? 'peers6' : 'peers4'
}

// nftables 1.0.6 knows no "vxlan vni": it is the 24 bits at 96 of the transport header. In an input
// hook, where fragments are whole again; the flush and the new rules are one transaction.
function renderGuard(port: number): readonly string[] {
  const accept = (family: string, set: string): string =>
    `add rule ${TABLE} input udp dport ${port} ${family} saddr . @th,96,24 @${set} accept`
  return [
    `add table ${TABLE}`,
    `add set ${TABLE} peers4 { typeof ip saddr . @th,96,24; }`,
    `add set ${TABLE} peers6 { typeof ip6 saddr . @th,96,24; }`,
    `add chain ${TABLE} input { type filter hook input priority filter; policy accept; }`,
    `flush chain ${TABLE} input`,
    accept('ip', 'peers4'),
    accept('ip6', 'peers6'),
    `add rule ${TABLE} input udp dport ${port} counter drop`,
  ]
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

/** Steps in order, neighbours of one tool and namespace together: a process each is what costs. */
export function renderBatches(steps: readonly Step[], options: RenderOptions): readonly Batch[] {
  const batches: Batch[] = []
  for (const step of steps) {
    const batch = renderStep(step, options)
    const last = batches.at(-1)
    if (last !== undefined && last.tool === batch.tool && last.netns === batch.netns)
      batches[batches.length - 1] = { ...last, lines: [...last.lines, ...batch.lines] }
    else batches.push(batch)
  }
  return batches.filter((batch) => batch.lines.length > 0)
}

export function toArgv(batch: Batch): readonly string[] {
  const argv = batch.tool === 'nft' ? ['nft', '-f', '-'] : [batch.tool, '-batch', '-']
  return batch.netns === undefined ? argv : ['nsenter', `--net=${batch.netns}`, ...argv]
}
