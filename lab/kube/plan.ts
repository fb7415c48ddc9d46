// Names and addresses of a whole cluster on one machine. All of it follows from the number of nodes. Nothing
// here is visible outside the cluster's own network namespaces.

export interface NodePlan {
  readonly name: string
  /** IPv4 first; IPv6 if the machine has it. */
  readonly addresses: readonly string[]
  /** One for each address. */
  readonly podSubnets: readonly string[]
}

export interface ClusterPlan {
  /** The control plane's, which lives in the machine that joins the nodes' cables. */
  readonly fabric: { readonly name: string; readonly addresses: readonly string[] }
  readonly nodes: readonly NodePlan[]
  readonly serviceSubnets: readonly string[]
  readonly podSubnets: readonly string[]
  /** Service addresses that two services always have. */
  readonly apiService: string
  readonly dnsService: string
}

export interface Route {
  readonly to: string
  readonly via: string
}

interface Family {
  readonly toFabric: (host: number) => string
  readonly bits: number
  readonly services: string
  readonly pods: string
  readonly toPods: (node: number) => string
}

const FABRIC_HOST = 1
/** The prefix of the nodes' numbers, which are the same in both families: 10.99.0.11 and fd00:10:99::11. */
const NODE_HOSTS = 10
export const NODES_MAX = 9

const IPV4: Family = {
  toFabric: (host) => `10.99.0.${host}`,
  bits: 24,
  services: '10.96.0.0/16',
  pods: '10.244.0.0/16',
  toPods: (node) => `10.244.${node}.0/24`,
}
const IPV6: Family = {
  toFabric: (host) => `fd00:10:99::${host}`,
  bits: 64,
  services: 'fd00:10:96::/112',
  pods: 'fd00:10:244::/48',
  toPods: (node) => `fd00:10:244:${node}::/64`,
}

export const API_PORT = 6443

/** Throws RangeError for an invalid number of nodes. */
export function newPlan(nodes: number, hasIpv6: boolean): ClusterPlan {
  if (!Number.isInteger(nodes) || nodes < 1 || nodes > NODES_MAX)
    throw new RangeError(`Cannot make "${nodes}" nodes, expected a number from 1 to ${NODES_MAX}`)
  const families = hasIpv6 ? [IPV4, IPV6] : [IPV4]
  return {
    fabric: {
      name: 'fabric',
      addresses: families.map(({ toFabric }) => toFabric(FABRIC_HOST)),
    },
    nodes: Array.from({ length: nodes }, (_, index) => index + 1).map((number) => ({
      name: `n${number}`,
      addresses: families.map(({ toFabric }) => toFabric(NODE_HOSTS + number)),
      podSubnets: families.map(({ toPods }) => toPods(number)),
    })),
    serviceSubnets: families.map(({ services }) => services),
    podSubnets: families.map(({ pods }) => pods),
    apiService: '10.96.0.1',
    dnsService: '10.96.0.10',
  }
}

export function toApiUrl(plan: ClusterPlan): string {
  return `https://${plan.fabric.addresses[0]}:${API_PORT}`
}

/** In the form of ip. */
export function toInterfaceAddress(address: string): string {
  return `${address}/${(address.includes(':') ? IPV6 : IPV4).bits}`
}

/** Routes to the pods of all nodes but this one. */
export function toPodRoutes(plan: ClusterPlan, asking?: NodePlan): readonly Route[] {
  return plan.nodes
    .filter(({ name }) => name !== asking?.name)
    .flatMap(({ addresses, podSubnets }) =>
      addresses.map((via, index) => ({ to: podSubnets[index] ?? '', via })),
    )
}

/** A node's route to everything else, which ends at the control plane. */
export function toDefaultRoutes(plan: ClusterPlan): readonly Route[] {
  return plan.fabric.addresses.map((via) => ({ to: via.includes(':') ? '::/0' : '0.0.0.0/0', via }))
}
