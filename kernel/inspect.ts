// Looks at one wire's devices on this node, where nobody's word is needed: what iproute2 and nft say.
import { CommandError } from '../core/errors.ts'
import {
  parseDevice,
  type Device,
  type EndInspection,
  type WireInspection,
} from '../core/inspection.ts'
import { toHostDeviceName, toTunnelDeviceName } from '../core/name.ts'
import { toWireKey, type AttachmentId, type WireId } from '../core/wire.ts'
import { isPeerAllowed } from './peers.ts'
import type { Run } from './run.ts'

/** An end to look at, with what its agent remembers of it. */
export interface InspectedEnd extends AttachmentId {
  /** Path of the pod's network namespace, where it is known. */
  readonly netns: string | undefined
  /** The VM's tap in that namespace, where there is one. */
  readonly tap: string | undefined
}

/** Devices that are not there are null. Throws CommandError where a tool is missing or not allowed. */
export async function inspectWire(
  run: Run,
  id: WireId,
  ends: readonly InspectedEnd[],
): Promise<WireInspection> {
  const tunnel = await readDevice(run, undefined, toTunnelDeviceName(toWireKey(id)))
  return {
    ends: await Promise.all(ends.map(async (end) => inspectEnd(run, end))),
    tunnel,
    isRemoteAllowed: await readAllowed(run, tunnel),
  }
}

async function inspectEnd(run: Run, end: InspectedEnd): Promise<EndInspection> {
  const { containerID, ifname, netns, tap } = end
  const inside = async (dev: string | undefined): Promise<Device | null> =>
    netns === undefined || dev === undefined ? null : readDevice(run, netns, dev)
  return {
    containerID,
    ifname,
    netns: netns ?? null,
    hostEnd: await readDevice(run, undefined, toHostDeviceName(containerID, ifname)),
    podEnd: await inside(ifname),
    tap: await inside(tap),
  }
}

// What iproute2 and nsenter say when the device or the namespace is not there.
const MISSING =
  /does not exist|Cannot find device|nsenter: (cannot open .*: No such file|reassociate to namespace .*Invalid argument)/

async function readDevice(
  run: Run,
  netns: string | undefined,
  dev: string,
): Promise<Device | null> {
  const enter = netns === undefined ? [] : ['nsenter', `--net=${netns}`]
  try {
    const [link, filter] = await Promise.all([
      run([...enter, 'ip', '-s', '-d', '-j', 'link', 'show', 'dev', dev]),
      run([...enter, 'tc', '-s', '-j', 'filter', 'show', 'dev', dev, 'ingress']),
    ])
    return parseDevice(link, filter)
  } catch (error) {
    if (error instanceof CommandError && MISSING.test(error.stderr)) return null
    throw error
  }
}

async function readAllowed(run: Run, tunnel: Device | null): Promise<boolean | null> {
  const vxlan = tunnel?.vxlan ?? null
  return vxlan === null ? null : isPeerAllowed(run, vxlan.remote, vxlan.vni)
}
