// What an agent remembers and what the store keeps, whole: tests change what they are about.
import type { TapAttachment, WireAttachment } from '../../core/attachment.ts'
import type { BindConfig } from '../../core/cni/bind-config.ts'
import { CniError } from '../../core/errors.ts'
import { toHostDeviceName } from '../../core/name.ts'
import type { EndClaim, Wire } from '../../core/wire.ts'

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
    hostDevice: toHostDeviceName(containerID, 'eth1'),
    ...more,
  }
}

export function newWire(ends: readonly EndClaim[], more: Partial<Wire> = {}): Wire {
  return {
    namespace: 'lab',
    name: 'w',
    ends,
    isUnplugged: false,
    displaced: [],
    vni: undefined,
    tunnelNodes: [],
    reports: [],
    ...more,
  }
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
