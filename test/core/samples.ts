// What an agent remembers and what the store keeps, whole: tests change what they are about.
import type { TapAttachment, WireAttachment } from '../../core/attach/attachment.ts'
import type { BindConfig } from '../../core/cni/bind-config.ts'
import { CniError } from '../../core/errors.ts'
import { toHostEndName } from '../../core/name.ts'
import type { ObservedLink, ObservedLinks } from '../../core/observe/links.ts'
import { toHookKey, type Observation } from '../../core/observe/observation.ts'
import { toFilter, type Filter } from '../../core/steps/filter.ts'
import type { EndClaim, Wire } from '../../core/wire/wire.ts'

export const BIND_CONFIG: BindConfig = {
  cniVersion: '1.1.0',
  name: 'bind',
  type: 'l2wire-bind',
  prevResult: undefined,
  unknownKeys: [],
  attach: 'tap',
  logicNetworkName: 'ge0',
  hasSidecar: true,
  hasDhcp: true,
  dns: undefined,
  isMultiQueue: undefined,
  deviceID: undefined,
  standby: undefined,
}

export function newTap(more: Partial<TapAttachment> = {}): TapAttachment {
  return {
    version: 1,
    kind: 'tap',
    containerID: 'c1',
    ifname: 'net1',
    netns: { path: '/run/netns/c1', inode: 1, bootId: 'b' },
    network: 'bind',
    phase: 'adding',
    podLink: 'eth0',
    tap: 'tap0',
    mtuBytes: 1500,
    ...more,
  }
}

/** Of a pod that is called as its container. */
export function newWireAttachment(
  containerID: string,
  more: Partial<WireAttachment> = {},
): WireAttachment {
  return {
    version: 1,
    kind: 'wire',
    containerID,
    ifname: 'eth1',
    netns: { path: '/run/netns/x', inode: 1, bootId: 'b' },
    network: 'w',
    phase: 'ready',
    wire: { namespace: 'lab', name: 'w' },
    holder: `pod/${containerID}`,
    node: 'n1',
    mac: '02:00:00:00:00:01',
    mtuBytes: 1500,
    maxFrameBytes: 9216,
    hostDevice: toHostEndName(containerID, 'eth1'),
    ...more,
  }
}

export function newWire(ends: readonly EndClaim[], more: Partial<Wire> = {}): Wire {
  return {
    namespace: 'lab',
    name: 'w',
    ends,
    isUnplugged: false,
    standbys: [],
    displaced: [],
    vni: undefined,
    tunnelNodes: [],
    reports: [],
    ...more,
  }
}

/** A device of ours as it is to be: up and silent. */
export function newLink(name: string, more: Partial<ObservedLink> = {}): ObservedLink {
  return {
    name,
    ifindex: 1,
    mac: '02:00:00:00:00:01',
    mtuBytes: 9216,
    isUp: true,
    hasCarrier: true,
    flags: new Set(['UP', 'NOARP']),
    alias: '',
    kind: 'veth',
    isMultiQueue: false,
    qdisc: 'noqueue',
    genMode: 'none',
    vxlan: null,
    ...more,
  }
}

export interface SampleLink extends Partial<ObservedLink> {
  readonly name: string
  /** Where it leads: one device, or none; undefined where nobody looked. */
  readonly targets?: readonly string[] | undefined
}

/** The devices, and where they lead. */
export function newObservation(
  links: readonly SampleLink[],
  more: Partial<Observation> = {},
): Observation {
  const all: ObservedLinks = new Map(links.map(({ name, ...link }) => [name, newLink(name, link)]))
  return {
    links: all,
    filters: new Map(
      links.flatMap(({ name, targets }) => (targets === undefined ? [] : [toHook(name, targets)])),
    ),
    ...more,
  }
}

function toHook(dev: string, targets: readonly string[]): [string, readonly Filter[]] {
  const filters = targets.flatMap(
    (target) =>
      toFilter({ op: 'add-redirect', netns: undefined, dev, target }, 'bpf')?.filter ?? [],
  )
  return [toHookKey({ dev, hook: 'ingress' }), filters]
}

/** What a refusal says. */
export function catchRefusal(action: () => unknown): CniError {
  try {
    action()
  } catch (error) {
    if (error instanceof CniError) return error
    throw error
  }
  throw new Error('Nothing was thrown, expected a CniError')
}
