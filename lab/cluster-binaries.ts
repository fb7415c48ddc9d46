// The real programs of a cluster, built from their Go modules: API server, etcd, kubectl, Multus and cnitool
// for the tests, and the rest for a whole cluster. KUBEBUILDER_ASSETS may name a folder that has some of them
// already.
import { join } from 'node:path'

import { ensureGoProduct, exists, getGoModule, runGo, type Say } from './go-build.ts'
import { ROOT } from './manifests.ts'

/** Its go.mod pins their versions. */
export const BINARIES_MODULE = join(ROOT, 'test/cluster/binaries')

const KUBERNETES = 'k8s.io/kubernetes'
const ETCD = 'go.etcd.io/etcd/server/v3'
export const MULTUS = 'gopkg.in/k8snetworkplumbingwg/multus-cni.v4'
const CNI = 'github.com/containernetworking/cni'
const PLUGINS = 'github.com/containernetworking/plugins'

const TESTED = {
  etcd: { module: ETCD, main: ETCD, why: 'keeps the objects of the API server' },
  'kube-apiserver': {
    module: KUBERNETES,
    main: `${KUBERNETES}/cmd/kube-apiserver`,
    why: 'validates our manifests and objects; takes minutes',
  },
  kubectl: {
    module: KUBERNETES,
    main: `${KUBERNETES}/cmd/kubectl`,
    why: 'applies our manifests as an admin does',
  },
  multus: { module: MULTUS, main: `${MULTUS}/cmd/multus`, why: 'calls our plugins in a cluster' },
  // Debian's version does not know CNI 1.1.0.
  tuning: {
    module: PLUGINS,
    main: `${PLUGINS}/plugins/meta/tuning`,
    why: 'stands behind ours in a list',
  },
  bandwidth: {
    module: PLUGINS,
    main: `${PLUGINS}/plugins/meta/bandwidth`,
    why: 'stands behind that',
  },
  cnitool: { module: CNI, main: `${CNI}/cnitool`, why: 'calls our plugins by the CNI library' },
} as const

/** The additional programs of a cluster in which pods run. */
const RUNNING = {
  kubelet: {
    module: KUBERNETES,
    main: `${KUBERNETES}/cmd/kubelet`,
    why: 'runs the pods of a node; takes minutes',
  },
  'kube-controller-manager': {
    module: KUBERNETES,
    main: `${KUBERNETES}/cmd/kube-controller-manager`,
    why: 'makes the pods of Deployments and DaemonSets',
  },
  'kube-scheduler': {
    module: KUBERNETES,
    main: `${KUBERNETES}/cmd/kube-scheduler`,
    why: 'gives each pod its node',
  },
  'kube-proxy': {
    module: KUBERNETES,
    main: `${KUBERNETES}/cmd/kube-proxy`,
    why: 'makes Services reachable on a node',
  },
} as const

const BINARIES = { ...TESTED, ...RUNNING }

export type ClusterBinary = keyof typeof BINARIES

/** The programs for tests without pods. */
export const CLUSTER_BINARIES = Object.keys(TESTED) as readonly ClusterBinary[]

/** The path of a program. Builds it if needed. */
export async function ensureClusterBinary(
  name: ClusterBinary,
  say: Say = () => undefined,
): Promise<string> {
  const assets = process.env['KUBEBUILDER_ASSETS']
  if (assets !== undefined && (await exists(join(assets, name)))) return join(assets, name)
  const { module, main, why } = BINARIES[name]
  const make = async (target: string): Promise<void> => {
    const { version } = await getGoModule(BINARIES_MODULE, module)
    const flags = ['-trimpath', '-buildvcs=false', '-ldflags', toLinkFlags(version)]
    await runGo(BINARIES_MODULE, ['build', ...flags, '-o', target, main])
  }
  return ensureGoProduct({ module: BINARIES_MODULE, name, why, make }, say)
}

/** Without symbols and debug data; Kubernetes' programs carry their version, as a release does. */
function toLinkFlags(version: string): string {
  const [major = '', minor = ''] = version.slice(1).split('.')
  const fields = { gitVersion: version, gitMajor: major, gitMinor: minor }
  const stamps = Object.entries(fields).map(
    ([field, value]) => `-X k8s.io/component-base/version.${field}=${value}`,
  )
  return ['-s', '-w', ...stamps].join(' ')
}
