// The configuration of a node's daemons, as documents.
import type { Manifest } from '../manifests.ts'
import type { ClusterPlan, NodePlan } from './plan.ts'

export const PAUSE_IMAGE = 'registry.k8s.io/pause:3.10'
export const MULTUS_KUBECONFIG = '/etc/cni/net.d/multus.d/multus.kubeconfig'
export const RUNTIME_SOCKET = '/run/containerd/containerd.sock'

/** Paths of its own files on a node. */
export const KUBELET_FILES = {
  config: '/etc/kubernetes/kubelet.json',
  kubeconfig: '/etc/kubernetes/kubelet.kubeconfig',
  authority: '/etc/kubernetes/ca.crt',
  certificate: '/etc/kubernetes/kubelet.crt',
  key: '/etc/kubernetes/kubelet.key',
} as const

export const PROXY_FILES = {
  config: '/etc/kubernetes/kube-proxy.json',
  kubeconfig: '/etc/kubernetes/kube-proxy.kubeconfig',
} as const

/** The address on the node where containerd exports its call times for Prometheus. */
export const RUNTIME_METRICS = '127.0.0.1:1338'

/** TOML. Of containerd 1.6 and newer. */
export function toContainerdConfig(): string {
  const cri = 'plugins."io.containerd.grpc.v1.cri"'
  return `version = 2
[metrics]
  address = "${RUNTIME_METRICS}"
[${cri}]
  # Without CAP_SYS_RESOURCE nothing may lower its OOM score.
  restrict_oom_score_adj = true
  sandbox_image = "${PAUSE_IMAGE}"
  [${cri}.cni]
    bin_dir = "/opt/cni/bin"
    conf_dir = "/etc/cni/net.d"
`
}

/** Multus first, then the pod network, as its own installer writes it. */
export function toCniConfig({ podSubnets }: NodePlan): Manifest {
  return {
    cniVersion: '1.0.0',
    name: 'multus-cni-network',
    type: 'multus',
    kubeconfig: MULTUS_KUBECONFIG,
    logLevel: 'verbose',
    logFile: '/run/l2w/log/multus.log',
    delegates: [
      {
        cniVersion: '1.0.0',
        name: 'pod-network',
        type: 'bridge',
        bridge: 'cni0',
        isGateway: true,
        // A pod can reach itself by its Service.
        hairpinMode: true,
        ipam: {
          type: 'host-local',
          ranges: podSubnets.map((subnet) => [{ subnet }]),
          routes: podSubnets.map((subnet) => ({
            dst: subnet.includes(':') ? '::/0' : '0.0.0.0/0',
          })),
        },
      },
    ],
  }
}

export function toKubeletConfig(plan: ClusterPlan): Manifest {
  return {
    apiVersion: 'kubelet.config.k8s.io/v1beta1',
    kind: 'KubeletConfiguration',
    authentication: {
      anonymous: { enabled: false },
      webhook: { enabled: true },
      x509: { clientCAFile: KUBELET_FILES.authority },
    },
    authorization: { mode: 'Webhook' },
    tlsCertFile: KUBELET_FILES.certificate,
    tlsPrivateKeyFile: KUBELET_FILES.key,
    cgroupDriver: 'cgroupfs',
    failCgroupV1: false,
    failSwapOn: false,
    containerRuntimeEndpoint: `unix://${RUNTIME_SOCKET}`,
    clusterDomain: 'cluster.local',
    clusterDNS: [plan.dnsService],
    resolvConf: '/etc/resolv.conf',
    nodeStatusUpdateFrequency: '5s',
    // Images come from files, and nobody could fetch them again.
    imageGCHighThresholdPercent: 100,
    imageGCLowThresholdPercent: 99,
    // The nodes share this machine's memory and disk.
    evictionHard: {
      'memory.available': '100Mi',
      'nodefs.available': '1%',
      'imagefs.available': '1%',
      'nodefs.inodesFree': '1%',
    },
  }
}

export function toProxyConfig(plan: ClusterPlan): Manifest {
  return {
    apiVersion: 'kubeproxy.config.k8s.io/v1alpha1',
    kind: 'KubeProxyConfiguration',
    mode: 'nftables',
    clusterCIDR: plan.podSubnets.join(','),
    clientConnection: { kubeconfig: PROXY_FILES.kubeconfig },
    // The kernel's own settings stay: they belong to the whole machine, or cannot be set in a namespace.
    conntrack: { maxPerCore: 0, min: 0, tcpEstablishedTimeout: '0s', tcpCloseWaitTimeout: '0s' },
    oomScoreAdj: 0,
  }
}

/**
 * The Node that the kubelet would make itself, with values that it may not set: its role, which KubeVirt's
 * operator looks for, and its pods' subnets.
 */
export function toNodeObject({ name, podSubnets }: NodePlan): Manifest {
  return {
    apiVersion: 'v1',
    kind: 'Node',
    metadata: { name, labels: { 'node-role.kubernetes.io/control-plane': '' } },
    spec: { podCIDR: podSubnets[0], podCIDRs: podSubnets },
  }
}
