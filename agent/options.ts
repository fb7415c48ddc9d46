// The agent's command line: stable, manifests and tests rely on it.
import { isIP } from 'node:net'
import { parseArgs } from 'node:util'

import { BOUNDS, isWithin } from '../core/bounds.ts'
import { DEFAULT_SOCKET } from '../core/cni/socket.ts'
import { DecodeError } from '../core/errors.ts'
import { MACVTAPS_MAX } from '../core/attach/macvtap.ts'
import { decodeVniRange, type VniRange } from '../core/wire/vni.ts'
import { NET_SYSCTLS } from '../kernel/ipv6.ts'
import { decodeFileUrl } from '../store/file-url.ts'

export interface AgentOptions {
  /** Folder of the file store; undefined keeps wires in the Kubernetes API. */
  readonly storeFolder: string | undefined
  readonly nodeName: string
  readonly underlayAddress: string
  /** UDP port of the tunnels between nodes. */
  readonly vxlanPort: number
  readonly vniRange: VniRange
  readonly socketPath: string
  readonly stateDir: string
  /** Where the network's sysctls can be written. */
  readonly netSysctls: string
  /** What a resolver in a pod of this node's cluster is told, or on this machine. */
  readonly resolvConf: string
  /** The node's own, for pods of DNS policy Default. */
  readonly nodeResolvConf: string | undefined
  /** Seconds between two looks at everything. */
  readonly checkSeconds: number
  /** The kubelet's folder of device plugins; undefined where no kubelet hands macvtaps out. */
  readonly devicePlugins: string | undefined
  /** The kubelet's socket that tells pods' devices. */
  readonly podResources: string
  /** How many macvtaps the node has to give. */
  readonly macvtapDevices: number
}

const POD_RESOURCES = '/var/lib/kubelet/pod-resources/kubelet.sock'

export const USAGE = `Usage: l2wire-agent --store file:///DIR|kubernetes --node-name NAME [options]

  --store URL              where wires are kept: file:///DIR, or kubernetes: the cluster of
                           KUBECONFIG, ~/.kube/config or the pod's service account
  --node-name NAME         this node's name, unique among those that share the store
  --underlay-address IP    this node's address towards the others; default 127.0.0.1, a single node
  --vxlan-port PORT        UDP port of the wires between nodes, the same on all; default 14789
  --vni-range FIRST-LAST   VNIs of the wires between nodes; default 4096-16777215
  --socket PATH            where the CNI plugins reach the agent; default ${DEFAULT_SOCKET}
  --state-dir DIR          what the agent remembers of its attachments; default /var/lib/l2wire
  --net-sysctls DIR        where the sysctls under net can be written; default ${NET_SYSCTLS}
  --resolv-conf PATH       what VMs are told of DNS comes from there; default /etc/resolv.conf
  --node-resolv-conf PATH  the same for VMs of DNS policy Default; default: as the others, less the
                           cluster's search domains
  --check-seconds N        how often everything is looked at, kernel events or not; default 300
  --device-plugins DIR     be the kubelet's device plugin for macvtaps; its folder is mostly
                           /var/lib/kubelet/device-plugins
  --pod-resources SOCKET   where the kubelet tells which pod has which device, with --device-plugins;
                           default ${POD_RESOURCES}
  --macvtap-devices N      how many VM interfaces by macvtap the node takes; default 1000
  -h, --help               this text
`

/** Throws DecodeError, or TypeError from node:util for an option that does not exist. */
export function decodeOptions(argv: readonly string[]): AgentOptions | 'help' {
  const { values } = parseArgs({
    args: [...argv],
    options: {
      store: { type: 'string' },
      'node-name': { type: 'string' },
      'underlay-address': { type: 'string', default: '127.0.0.1' },
      'vxlan-port': { type: 'string', default: '14789' },
      'vni-range': { type: 'string', default: '4096-16777215' },
      socket: { type: 'string', default: DEFAULT_SOCKET },
      'state-dir': { type: 'string', default: '/var/lib/l2wire' },
      'net-sysctls': { type: 'string', default: NET_SYSCTLS },
      'resolv-conf': { type: 'string', default: '/etc/resolv.conf' },
      'node-resolv-conf': { type: 'string' },
      'check-seconds': { type: 'string', default: '300' },
      'device-plugins': { type: 'string' },
      'pod-resources': { type: 'string', default: POD_RESOURCES },
      'macvtap-devices': { type: 'string', default: '1000' },
      help: { type: 'boolean', short: 'h', default: false },
    },
  })
  if (values.help) return 'help'
  const nodeName = values['node-name'] ?? ''
  if (!isWithin(BOUNDS.subdomain, nodeName))
    throw new DecodeError('--node-name', values['node-name'], BOUNDS.subdomain.expected)
  if (isIP(values['underlay-address']) === 0)
    throw new DecodeError('--underlay-address', values['underlay-address'], 'an IP address')
  const vxlanPort = Number(values['vxlan-port'])
  if (!/^\d+$/.test(values['vxlan-port']) || vxlanPort < 1 || vxlanPort > 65535)
    throw new DecodeError('--vxlan-port', values['vxlan-port'], 'a UDP port from 1 to 65535')
  const checkSeconds = Number(values['check-seconds'])
  if (!/^\d+$/.test(values['check-seconds']) || checkSeconds < 1 || checkSeconds > 86_400)
    throw new DecodeError('--check-seconds', values['check-seconds'], 'seconds from 1 to 86400')
  const macvtapDevices = Number(values['macvtap-devices'])
  if (
    !/^\d+$/.test(values['macvtap-devices']) ||
    macvtapDevices < 1 ||
    macvtapDevices > MACVTAPS_MAX
  )
    throw new DecodeError(
      '--macvtap-devices',
      values['macvtap-devices'],
      `a number from 1 to ${MACVTAPS_MAX}`,
    )
  return {
    storeFolder: decodeStore(values.store),
    nodeName,
    underlayAddress: values['underlay-address'],
    vxlanPort,
    vniRange: decodeVniRange(values['vni-range'], '--vni-range'),
    socketPath: values.socket,
    stateDir: values['state-dir'],
    netSysctls: values['net-sysctls'],
    resolvConf: values['resolv-conf'],
    nodeResolvConf: values['node-resolv-conf'],
    checkSeconds,
    devicePlugins: values['device-plugins'],
    podResources: values['pod-resources'],
    macvtapDevices,
  }
}

function decodeStore(store: string | undefined): string | undefined {
  if (store === 'kubernetes') return undefined
  try {
    return decodeFileUrl(store)
  } catch (cause) {
    throw new DecodeError('--store', store, 'file:///DIR or kubernetes', { cause })
  }
}
