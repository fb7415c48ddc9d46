// What the users of a wire's ends, and of a VM's NIC, are told about it, as an Event where there is a cluster.
import { CNI_CODE, type CniError } from '../errors.ts'
import { toWireKey, type NodeReport, type Wire } from './wire.ts'
import { hasMtuMismatch, summarizeWire } from './summary.ts'

export interface Notice {
  readonly type: 'Normal' | 'Warning'
  /** One word, as `kubectl get events` sorts by. */
  readonly reason: string
  readonly message: string
}

/** What a node's report makes worth telling its own ends' users; nothing while an end waits. */
export function listNotices(wire: Wire, report: NodeReport): readonly Notice[] {
  const key = toWireKey(wire)
  const { ends, nodes, mtu } = summarizeWire(wire)
  if (report.state === 'waiting') return []
  if (report.state === 'failed')
    return [
      {
        type: 'Warning',
        reason: 'WireFailed',
        message: `wire ${key} is not connected on node ${report.node}: ${report.message ?? 'unknown'}`,
      },
    ]
  const vni = wire.vni === undefined ? '' : `, VNI ${wire.vni}`
  const connected: Notice = {
    type: 'Normal',
    reason: 'WireConnected',
    message: `wire ${key} connects ${ends} (${nodes}${vni}, MTU ${mtu})`,
  }
  if (!hasMtuMismatch(wire)) return [connected]
  return [
    connected,
    {
      type: 'Warning',
      reason: 'WireMtuMismatch',
      message: `the ends of wire ${key}, ${ends}, were told MTUs ${mtu}: frames that fit one end only are dropped, expected the same "mtu" in both configurations`,
    },
  ]
}

/** For a VM by macvtap that starts with volumes of these names: docs/macvtap.md says what KubeVirt does then. */
export function toHotplugNotice(network: string, volumes: readonly string[]): Notice {
  const names = volumes.map((name) => `"${name}"`).join(', ')
  return {
    type: 'Warning',
    reason: 'MacvtapHotplugVolume',
    message:
      `NIC "${network}" is a macvtap, and the VM starts with ${volumes.length === 1 ? 'volume' : 'volumes'} ${names}, which can be hot-plugged: ` +
      "on a node with cgroup v2, for a volume of mode Block, KubeVirt replaces the launcher's list of devices before QEMU starts, " +
      "and the NIC's device is not on it (Operation not permitted). " +
      'Expected the binding "l2wire", whose tap is on that list, or a volume without "hotpluggable"',
  }
}

/** For a VM that does not migrate to where it would have another address. */
export function toMigrationRefusal({ message }: CniError): Notice {
  return { type: 'Warning', reason: 'MigrationRefused', message }
}

/** For a refused ADD: only what the wire's users can mend is worth an Event of its own. */
export function toRefusal(error: CniError): Notice | undefined {
  if (!REFUSALS.includes(error.code)) return undefined
  return { type: 'Warning', reason: 'WireRefused', message: error.message }
}

const REFUSALS: readonly number[] = [
  CNI_CODE.WIRE_FULL,
  CNI_CODE.NO_UNDERLAY,
  CNI_CODE.VNI_EXHAUSTED,
  CNI_CODE.VNI_TAKEN,
  CNI_CODE.STORE_REFUSED,
]
