// Derives a pod's resolv.conf as the kubelet writes it (kubernetes pkg/kubelet/network/dns/dns.go), with
// KubeVirt's additions for its guests (pkg/network/dns/resolveconf.go, v1.9.0). The VM gets it by DHCP and router
// advertisements (dnsmasq.ts). Pure.
import { isDnsName } from '../net/dns-name.ts'
import type { Field } from '../domain/field.ts'
import { asArray, asString, at } from '../domain/field.ts'
import { isLoopbackIp, normalizeIp } from '../net/ip.ts'

/** A resolver's configuration. */
export interface PodDns {
  readonly nameservers: readonly string[]
  readonly searches: readonly string[]
}

export const NO_DNS: PodDns = { nameservers: [], searches: [] }

/** The agent's sources. */
export interface DnsSources {
  /** Its own, which the kubelet wrote for a pod of policy ClusterFirstWithHostNet, or the machine's. */
  readonly own: PodDns
  /** The node's, if an option names it. */
  readonly node: PodDns | undefined
}

// Kubernetes' own limits (pkg/apis/core/validation, MaxDNS…). The kubelet truncates silently, too.
const MAX_NAMESERVERS = 3
const MAX_SEARCHES = 32
const MAX_SEARCH_CHARS = 2048

/** Leaves out a nameserver that a VM cannot use: on the node's own loopback, or with a zone. */
export function parseResolvConf(text: string): PodDns {
  const nameservers: string[] = []
  let searches: readonly string[] = []
  for (const line of text.split('\n')) {
    const [key, ...values] = line.trim().split(/\s+/)
    if (key === 'nameserver') nameservers.push(...values.slice(0, 1))
    // The last of either counts (resolv.conf(5)).
    if (key === 'search' || key === 'domain') searches = values
  }
  return clean({ nameservers, searches })
}

function clean({ nameservers, searches }: PodDns): PodDns {
  return {
    nameservers: unique(
      nameservers
        .map(normalizeIp)
        .filter((address) => address !== undefined)
        .filter((address) => !isLoopbackIp(address)),
    ),
    searches: unique(
      searches.map((domain) => domain.toLowerCase().replace(/\.$/, '')).filter(isDnsName),
    ),
  }
}

function unique(values: readonly string[]): string[] {
  return [...new Set(values)]
}

/** The DNS of the pod with this spec. Throws DecodeError. */
export function toPodDns(spec: Field, namespace: string, sources: DnsSources): PodDns {
  const base = toBase(asString(at(spec, 'dnsPolicy')), namespace, sources)
  const more = at(spec, 'dnsConfig')
  const read = (key: string): string[] =>
    asArray(at(more, key)).map((field) => asString(field) ?? '')
  const { nameservers, searches } = clean({
    nameservers: [...base.nameservers, ...read('nameservers')],
    searches: [...base.searches, ...read('searches')],
  })
  const fitting = cut(searches)
  return {
    nameservers: nameservers.slice(0, MAX_NAMESERVERS),
    searches: [...listOfSubdomain(asString(at(spec, 'subdomain')), fitting), ...fitting],
  }
}

function toBase(policy: string | undefined, namespace: string, { own, node }: DnsSources): PodDns {
  if (policy === 'None') return NO_DNS
  const [mine, services, ...others] = own.searches
  const isOfCluster =
    services !== undefined &&
    services === `svc.${others[0]}` &&
    mine?.endsWith(`.${services}`) === true
  if (policy === 'Default') {
    // The cluster's nameservers ask the node's about names that they do not know.
    return node ?? (isOfCluster ? { ...own, searches: others.slice(1) } : own)
  }
  if (!isOfCluster) return own
  return { ...own, searches: [`${namespace}.${services}`, services, ...others] }
}

function cut(searches: readonly string[]): readonly string[] {
  const fitting = searches.slice(0, MAX_SEARCHES)
  while (fitting.join(' ').length > MAX_SEARCH_CHARS) fitting.pop()
  return fitting
}

// With it a VM of a headless service finds its siblings by their short names. Kubernetes leaves this domain
// out.
function listOfSubdomain(subdomain: string | undefined, searches: readonly string[]): string[] {
  if (subdomain === undefined) return []
  const services = searches.filter((domain) => domain.includes('.svc.'))
  const longest = services.reduce((one, other) => (other.length > one.length ? other : one), '')
  if (longest === '' || longest.startsWith(`${subdomain}.`)) return []
  return [`${subdomain}.${longest}`]
}
