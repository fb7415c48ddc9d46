// What others keep from being called: KubeVirt that has no such binding, Multus that nobody calls. Told by the
// objects of the API alone.
import { parseNetworks } from '../attach/network-selection.ts'
import type { AroundFacts, NetworkDefinition } from './around-facts.ts'
import type { DoctorFacts } from './facts.ts'
import { newFinding, type Finding } from './finding.ts'

const OURS: readonly string[] = ['l2wire', 'l2wire-bind']
const REGISTER = 'kubevirt-patches/README.md'

export function isOurs({ types }: NetworkDefinition): boolean {
  return types.some((type) => OURS.includes(type))
}

export function findAround(facts: DoctorFacts): readonly Finding[] {
  const { around } = facts
  if (around === undefined) return []
  return [
    ...findUnregistered(around),
    ...findMissingNetworks(around),
    ...findOtherReleases(around, facts),
    ...findUnattached(around, facts),
  ]
}

function findUnregistered({ bindings, boundNics }: AroundFacts): readonly Finding[] {
  if (bindings === undefined) return []
  const known = bindings.map(({ name }) => name)
  return boundNics
    .filter(({ binding }) => !known.includes(binding))
    .map(({ vm, nic, binding }) =>
      newFinding(
        'binding-unknown',
        `VM ${vm} wants NIC ${nic} by the binding ${binding}, which KubeVirt does not know`,
        `register it: ${REGISTER}`,
        {},
      ),
    )
}

function findMissingNetworks({ bindings = [], networks }: AroundFacts): readonly Finding[] {
  if (networks === undefined) return []
  const known = networks.map(({ namespace, name }) => `${namespace}/${name}`)
  return bindings
    .filter(({ network }) => network.includes('/') && !known.includes(network))
    .map(({ name, network }) =>
      newFinding(
        'binding-network',
        `KubeVirt's binding ${name} names the network ${network}, which is not there: launchers wait in ContainerCreating`,
        'kubectl apply -k deploy/, with the component macvtap for l2wire-macvtap; or register the binding again',
        {},
      ),
    )
}

/** A release's tag; one by digest, or of a mirror's own making, tells nothing. */
const RELEASE = /:v?(\d+\.\d+\.\d+)$/

function findOtherReleases(
  { bindings = [] }: AroundFacts,
  { visits }: DoctorFacts,
): readonly Finding[] {
  const versions = [...new Set(visits.flatMap(({ survey }) => survey?.version ?? []))]
  const [version] = versions
  if (version === undefined || versions.length > 1) return []
  return bindings.flatMap(({ name, sidecarImage }) => {
    const tag = RELEASE.exec(sidecarImage)?.[1]
    if (tag === undefined || tag === version) return []
    return newFinding(
      'binding-release',
      `KubeVirt's binding ${name} has the sidecar ${sidecarImage}, and the agents are of release ${version}`,
      `register it again with this release's file: ${REGISTER}; VMs that run keep what they have`,
      { level: 'hint' },
    )
  })
}

// Multus writes the status before a pod's containers start: who runs without it was never shown to Multus.
function findUnattached(
  { networks = [], pods }: AroundFacts,
  { agents, nodeNames }: DoctorFacts,
): readonly Finding[] {
  const ours = new Set(networks.filter(isOurs).map(({ namespace, name }) => `${namespace}/${name}`))
  return pods.flatMap((pod) => {
    const { namespace, name, node, isRunning, networkStatus } = pod
    const wanted = parseNetworks(pod.networks, namespace).filter((one) => ours.has(one))
    if (wanted.length === 0 || node === '') return []
    const label = `Pod ${namespace}/${name}`
    const list = wanted.join(', ')
    if (isRunning && networkStatus === '')
      return newFinding(
        'multus-silent',
        `${label} runs on node ${node} without its network ${list}: Multus was not called for it`,
        `see that Multus is the first configuration in /etc/cni/net.d of ${node}: it may be missing, or another plugin has put it aside (Cilium: cni.exclusive=false); then delete the pod`,
        { node },
      )
    const isNodeKnown = nodeNames?.includes(node) ?? false
    if (isRunning || agents === undefined || !isNodeKnown) return []
    if (agents.some((agent) => agent.node === node && agent.isReady)) return []
    return newFinding(
      'pod-waits',
      `${label} waits on node ${node} for its network ${list}: no agent is ready there`,
      'kubectl -n l2wire get pods -o wide; kubectl -n l2wire describe pod tells why',
      { node },
    )
  })
}
