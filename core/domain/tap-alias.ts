// The alias of what QEMU opens, by which the agent speaks to the sidecar: of which pod link it is, and
// whether its VM wants network data.
import { isSecondaryPodLink, PRIMARY_POD_LINK } from '../name.ts'

/** By which it is told from KubeVirt's of the same name, whatever else it says. */
const OURS = 'l2wire '

/** In the pod of a VM that wants network data. */
export const NETWORK_DATA_MARK = `${OURS}network-data`

export function isOurAlias(alias: string): boolean {
  return alias.startsWith(OURS)
}

export function renderAlias(kind: 'tap' | 'macvtap', podLink: string): string {
  return `${OURS}${kind} of ${podLink}`
}

/** A name that KubeVirt gives is left out: sidecars of 0.2.0 know the bare mark alone. */
export function renderMark(podLink: string): string {
  const isUsual = podLink === PRIMARY_POD_LINK || isSecondaryPodLink(podLink)
  return isUsual ? NETWORK_DATA_MARK : `${NETWORK_DATA_MARK} of ${podLink}`
}

export function isMark(alias: string): boolean {
  return alias === NETWORK_DATA_MARK || alias.startsWith(`${NETWORK_DATA_MARK} of `)
}

/** The pod link that an alias names. */
export function findJoined(alias: string): string | undefined {
  return isOurAlias(alias) ? / of (\S+)$/.exec(alias)?.[1] : undefined
}
