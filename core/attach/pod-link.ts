// Which device of a launcher pod carries a VMI network.
import { CNI_CODE, CniError } from '../errors.ts'
import { isDeviceName, isSecondaryPodLink, PRIMARY_POD_LINK, toPodLinkName } from '../name.ts'
import type { ObservedLink } from '../observe/links.ts'

/** A VMI network, as far as is known of it. */
export interface VmiNetwork {
  readonly name: string
  /** Whether it is the pod's own; undefined where nobody knows the VMI. */
  readonly isPrimary: boolean | undefined
}

/** KubeVirt's hashed name, where a link has it (pkg/network/namescheme, v1.9.0). */
export function findSecondaryLink(
  { name: networkName }: VmiNetwork,
  links: readonly ObservedLink[],
): ObservedLink | undefined {
  const hashed = toPodLinkName(networkName)
  return links.find((link) => link.name === hashed)
}

/**
 * The pod link of a VMI network: the one of KubeVirt's hashed name, else the primary. That is the one that
 * the pod's default routes, of these devices, lead out through: a CNI plugin may have moved them from eth0
 * to a link of its own. Where none do, or eth0 is among them, it is eth0. A secondary network's link is
 * made right before its binding runs: where it is missing, the primary is another NIC's. Throws CniError 104.
 */
export function getPodLink(
  network: VmiNetwork,
  links: readonly ObservedLink[],
  defaultDevices: readonly string[],
): ObservedLink {
  const hashed = findSecondaryLink(network, links)
  if (hashed !== undefined) return hashed
  const { name: networkName, isPrimary } = network
  const names = links.map(({ name }) => name).join(', ')
  if (isPrimary === false)
    throw new CniError(
      CNI_CODE.LINK_MISSING,
      `Cannot bind network "${networkName}": "${toPodLinkName(networkName)}" is not among the pod's links (${names}), expected the link of a secondary network`,
    )
  // A name that its owner made for our tools to stumble over is in no command of ours.
  const leading = links.filter(
    ({ name }) => defaultDevices.includes(name) && !isSecondaryPodLink(name) && isDeviceName(name),
  )
  const usual = links.find(({ name }) => name === PRIMARY_POD_LINK)
  if (usual !== undefined && (leading.length === 0 || leading.includes(usual))) return usual
  if (leading.length === 1 && leading[0] !== undefined) return leading[0]
  const through = leading.map(({ name }) => name).join(', ')
  throw new CniError(
    CNI_CODE.LINK_MISSING,
    `Cannot bind network "${networkName}": "${toPodLinkName(networkName)}" is not among the pod's links (${names}), and its default routes lead through ${through === '' ? 'none' : through}, expected one of them, or "${PRIMARY_POD_LINK}"`,
  )
}
