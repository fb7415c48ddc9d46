// The names that the pod link of a network may have. KubeVirt v1.9: pkg/network/namescheme. A current KubeVirt
// asks Multus for the hashed names. The ordinal ones belong to pods of an older KubeVirt, or of a CNI plugin
// that reports "netN".
import { DecodeError } from '../errors.ts'
import { PRIMARY_POD_LINK, toPodLinkName } from '../name.ts'
import type { Field } from './field.ts'
import { asArray, asBoolean, asString, at, getString, isAbsent } from './field.ts'

export interface PodLinkNames {
  /** Whether it is on the pod's own network, whose tap has a fixed name. */
  readonly isPrimary: boolean
  /** Search in this order. */
  readonly podLinks: readonly string[]
}

/**
 * Looks up the VMI's networks by name; the path is the interface's. Throws DecodeError if the network does not
 * exist.
 */
export function indexPodLinks(vmi: Field): (name: string, path: string) => PodLinkNames {
  const byName = new Map<string, Field>()
  const ordinals = new Map<Field, number>()
  const primaries: Field[] = []
  for (const network of asArray(at(vmi, 'spec', 'networks'))) {
    const name = getString(at(network, 'name'))
    if (!byName.has(name)) byName.set(name, network)
    if (isSecondary(network)) ordinals.set(network, ordinals.size + 1)
    else if (isPrimary(network)) primaries.push(network)
  }
  return (name, path) => {
    const network = byName.get(name)
    if (network === undefined) throw new DecodeError(path, name, 'the name of one of spec.networks')
    const ordinal = ordinals.get(network)
    if (ordinal !== undefined)
      return { isPrimary: false, podLinks: [toPodLinkName(name), `net${ordinal}`] }
    const [first, second] = primaries
    if (second !== undefined)
      throw new DecodeError(second.path, second.value, `no pod network beside ${first?.path}`)
    if (!isPrimary(network))
      throw new DecodeError(network.path, network.value, 'a network with "pod" or "multus"')
    const reported = findReported(vmi, name)
    const podLinks = reported === undefined ? [PRIMARY_POD_LINK] : [reported, PRIMARY_POD_LINK]
    return { isPrimary: true, podLinks }
  }
}

/** The name of the primary link in the pod, as virt-handler found it. */
function findReported(vmi: Field, name: string): string | undefined {
  const status = asArray(at(vmi, 'status', 'interfaces')).find(
    (candidate) => at(candidate, 'name').value === name,
  )
  return status === undefined ? undefined : asString(at(status, 'podInterfaceName'))
}

function isSecondary(network: Field): boolean {
  const multus = at(network, 'multus')
  return !isAbsent(multus) && !asBoolean(at(multus, 'default'))
}

function isPrimary(network: Field): boolean {
  return !isAbsent(at(network, 'pod')) || !isAbsent(at(network, 'multus'))
}
