// Names of network devices. Linux allows 15 bytes; what we make is a stable hash, so a half-made
// thing is found again under the same name. The words stand in the device's alias (ifalias).
import { BOUNDS, isWithin } from './bounds.ts'
import { sha256Hex } from './hash.ts'

export const IFNAME_BYTES = BOUNDS.ifname.maxLength

/** KubeVirt's name for the primary pod link, and for its tap (pkg/network/link/names.go, v1.9.0). */
export const PRIMARY_POD_LINK = 'eth0'
const PRIMARY_TAP = 'tap0'

const POD_PREFIX = 'pod'

/** KubeVirt's name for the pod link of a secondary network: "pod" and 11 hex digits of the name's SHA-256. */
export function toPodLinkName(networkName: string): string {
  return `${POD_PREFIX}${sha256Hex(networkName, 11)}`
}

/** The tap that belongs to a pod link: KubeVirt swaps the three-letter prefix; the primary one is "tap0". */
export function toTapName(podLink: string): string {
  return podLink === PRIMARY_POD_LINK ? PRIMARY_TAP : `tap${podLink.slice(POD_PREFIX.length)}`
}

/** The tap for a pod link that we found: one that is not a secondary network's is the primary, whatever its name. */
export function toFoundTapName(podLink: string): string {
  return isSecondaryPodLink(podLink) ? toTapName(podLink) : PRIMARY_TAP
}

export function isSecondaryPodLink(name: string): boolean {
  return /^pod[0-9a-f]{11}$/.test(name)
}

/** The veth pair in a launcher behind which a VM's DHCP server is: the server's end, and the one that leads to the tap. */
export function toServerNames(tap: string): { readonly server: string; readonly peer: string } {
  const rest = tap.slice(PRIMARY_TAP.length - 1)
  return { server: `lws${rest}`, peer: `lwp${rest}` }
}

/** The host end of an attachment. One name per (containerID, ifname): an old sandbox never clashes with a new one. */
export function toHostEndName(containerID: string, ifname: string): string {
  return `lw${sha256Hex(`${containerID}/${ifname}`, IFNAME_BYTES - 2)}`
}

/** The VXLAN device of a wire that crosses nodes: one per wire and node. */
export function toTunnelDeviceName(wireKey: string): string {
  return `lx${sha256Hex(wireKey, IFNAME_BYTES - 2)}`
}

/** Whether the kernel takes this as a device name, and our tools take it for nothing else. */
export function isDeviceName(name: string): boolean {
  return isWithin(BOUNDS.ifname, name)
}
