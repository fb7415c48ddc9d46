// The alias of the device that QEMU opens. With it the agent tells the sidecar which pod link the device
// belongs to.

/**
 * This prefix distinguishes it from KubeVirt's device of the same name, whatever follows. Agents up to 0.3.0
 * wrote "network-data", alone or with the pod link behind it, if cloud-init was to give a VM that data.
 */
const OURS = 'l2wire '

export function isOurAlias(alias: string): boolean {
  return alias.startsWith(OURS)
}

export function renderAlias(kind: 'tap' | 'macvtap', podLink: string): string {
  return `${OURS}${kind} of ${podLink}`
}

/** The pod link that an alias names. */
export function findJoined(alias: string): string | undefined {
  return isOurAlias(alias) ? / of (\S+)$/.exec(alias)?.[1] : undefined
}
