// The cluster's DNS: CoreDNS in the fabric, under the service address that every pod gets.
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'

import { ensureGoProduct, runGo, type Say } from '../go-build.ts'
import type { Manifest } from '../manifests.ts'
import { ensureCertificate } from './certificates.ts'
import type { KubeCluster } from './cluster.ts'
import { toUser, writeKubeconfig } from './control-plane.ts'
import type { ClusterPlan } from './plan.ts'
import { BIN, KEYS, toMachineFolder } from './state.ts'
import { succeeds, waitFor } from './wait.ts'

export const DNS = 'coredns'

const MODULE = join(import.meta.dirname, 'dns')
const USER = 'system:coredns'
const NAMESPACE = 'kube-system'
const API_NAME = 'kubernetes.default.svc.cluster.local'
const ANSWER_MS = 10_000

/** The path of the program. Builds it if needed. */
export async function ensureDnsProgram(say: Say): Promise<string> {
  const make = async (target: string): Promise<void> => {
    await runGo(MODULE, [
      'build',
      '-trimpath',
      '-buildvcs=false',
      '-ldflags=-s -w',
      '-o',
      target,
      '.',
    ])
  }
  const why = 'answers for Services in the cluster'
  return ensureGoProduct({ module: MODULE, name: DNS, why, make, sources: ['main.go'] }, say)
}

/** The program is on the cluster's PATH. It answers when this returns. Does nothing if it runs. */
export async function installDns({ plan, fabric, apply }: KubeCluster): Promise<void> {
  await apply(...toDnsObjects(plan))
  const pair = await ensureCertificate(DNS, { subject: `/CN=${USER}` })
  const kubeconfig = join(KEYS, `${DNS}.kubeconfig`)
  await writeKubeconfig(plan, kubeconfig, await toUser(pair))
  const file = join(toMachineFolder(fabric.name), 'Corefile')
  await writeFile(file, toCorefile(plan, kubeconfig))
  await fabric.start(DNS, [join(BIN, DNS), '-conf', file])
  const ask = `busybox nslookup -type=a ${API_NAME} ${plan.fabric.addresses[0]}`
  const answers = async (): Promise<boolean> =>
    succeeds(async () => fabric.run(['sh', '-c', ask], { timeoutMs: ANSWER_MS }))
  await waitFor('DNS answers', answers, { machine: fabric, daemons: [DNS] })
}

/** Names outside the cluster do not exist here, and the server says so at once. */
export function toCorefile({ fabric }: ClusterPlan, kubeconfig: string): string {
  const bind = `bind ${fabric.addresses.join(' ')}`
  return `cluster.local in-addr.arpa ip6.arpa {
    ${bind}
    errors
    kubernetes {
        kubeconfig ${kubeconfig}
        pods insecure
        ttl 5
    }
    cache 5
    loadbalance
}

. {
    ${bind}
    errors
    template ANY ANY {
        rcode NXDOMAIN
    }
}
`
}

/** Its rights, as a cluster installer gives them, and a Service whose only endpoint is the fabric. */
export function toDnsObjects({ fabric, dnsService }: ClusterPlan): readonly Manifest[] {
  const authorization = 'rbac.authorization.k8s.io'
  const verbs = ['list', 'watch']
  const ports = (['UDP', 'TCP'] as const).map((protocol) => ({
    name: `dns-${protocol.toLowerCase()}`,
    port: 53,
    protocol,
  }))
  return [
    {
      apiVersion: `${authorization}/v1`,
      kind: 'ClusterRole',
      metadata: { name: USER },
      rules: [
        { apiGroups: [''], resources: ['endpoints', 'services', 'pods', 'namespaces'], verbs },
        { apiGroups: ['discovery.k8s.io'], resources: ['endpointslices'], verbs },
      ],
    },
    {
      apiVersion: `${authorization}/v1`,
      kind: 'ClusterRoleBinding',
      metadata: { name: USER },
      roleRef: { apiGroup: authorization, kind: 'ClusterRole', name: USER },
      subjects: [{ apiGroup: authorization, kind: 'User', name: USER }],
    },
    {
      apiVersion: 'v1',
      kind: 'Service',
      metadata: { name: 'kube-dns', namespace: NAMESPACE },
      // Without a selector, because its endpoint is no pod.
      spec: { clusterIP: dnsService, ports },
    },
    {
      apiVersion: 'discovery.k8s.io/v1',
      kind: 'EndpointSlice',
      metadata: {
        name: 'kube-dns-fabric',
        namespace: NAMESPACE,
        labels: { 'kubernetes.io/service-name': 'kube-dns' },
      },
      addressType: 'IPv4',
      endpoints: [{ addresses: fabric.addresses.slice(0, 1), conditions: { ready: true } }],
      ports,
    },
  ]
}
