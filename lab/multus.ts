// A node's container runtime with the real Multus as its CNI: sandboxes of pods that are objects of the
// lab's API server. The pods' default network, eth0, is Debian's bridge plugin.
import { randomBytes } from 'node:crypto'
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import type { LabApiServer } from './api-server.ts'
import { ensureClusterBinary } from './cluster-binaries.ts'
import { execPlugin, PLUGIN_FOLDERS, type CniAnswer } from './cni.ts'
import { getMapping, type Manifest } from './manifests.ts'
import { newLabNetns, type LabNetns } from './netns.ts'

export interface LabPod extends AsyncDisposable {
  readonly namespace: string
  readonly name: string
  readonly uid: string
  readonly containerID: string
  readonly netns: LabNetns
}

export interface PodOptions {
  readonly namespace: string
  readonly name: string
  /** Elements of the annotation k8s.v1.cni.cncf.io/networks. */
  readonly networks: readonly Manifest[]
  readonly metadata?: Manifest
}

export interface LabMultus extends AsyncDisposable {
  /** What a runtime calls for a pod's sandbox: ADD, CHECK, DEL. */
  readonly call: (command: string, pod: LabPod) => Promise<CniAnswer>
  /** As call, and throws unless Multus said yes. */
  readonly mustCall: (command: string, pod: LabPod) => Promise<Manifest>
  readonly readLog: () => Promise<string>
}

const ACCOUNT = { namespace: 'kube-system', name: 'multus' }

/** Makes the pod object and an empty sandbox for it. */
export async function newLabPod(api: LabApiServer, options: PodOptions): Promise<LabPod> {
  const { namespace, name, networks } = options
  const annotations = { 'k8s.v1.cni.cncf.io/networks': JSON.stringify(networks) }
  await api.apply({
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { ...options.metadata, namespace, name, annotations },
    spec: { containers: [{ name: 'shell', image: 'busybox' }] },
  })
  const { uid } = getMapping(await api.getObject('pod', name, namespace), 'metadata')
  const netns = await newLabNetns(name)
  return {
    namespace,
    name,
    uid: String(uid),
    containerID: randomBytes(32).toString('hex'),
    netns,
    [Symbol.asyncDispose]: async () => netns[Symbol.asyncDispose](),
  }
}

/** What Multus wrote about the pod's networks. */
export async function readNetworkStatus(
  api: LabApiServer,
  pod: LabPod,
): Promise<readonly Manifest[]> {
  const object = await api.getObject('pod', pod.name, pod.namespace)
  const text = getMapping(object, 'metadata', 'annotations')['k8s.v1.cni.cncf.io/network-status']
  return JSON.parse(String(text)) as Manifest[]
}

/** Multus looks for a kubelet where every node has it; podResources is the folder that it is to find there. */
const WITH_KUBELET = `
  mount -t tmpfs tmpfs /var/lib
  mkdir -p /var/lib/kubelet/pod-resources
  mount --bind "$1" /var/lib/kubelet/pod-resources
  shift
  exec "$@"
`

/** The netns is the node's own; the API must be reachable there. */
export async function newLabMultus(
  api: LabApiServer,
  node: LabNetns,
  podResources?: string,
): Promise<LabMultus> {
  const executable = await ensureClusterBinary('multus')
  const kubeconfig = await newMultusAccount(api)
  const folder = await mkdtemp(join(tmpdir(), 'l2w-multus-'))
  const clusterNetwork = join(folder, 'default.conf')
  await writeFile(clusterNetwork, JSON.stringify(toDefaultNetwork(folder)))
  const logFile = join(folder, 'multus.log')
  await writeFile(logFile, '')
  const [firstFolder = '', ...folders] = PLUGIN_FOLDERS
  const cniDir = join(folder, 'multus')
  await mkdir(cniDir)
  const config = {
    cniVersion: '1.0.0',
    name: 'multus-cni-network',
    type: 'multus',
    kubeconfig,
    clusterNetwork,
    cniDir,
    binDir: firstFolder,
    logFile,
    logLevel: 'verbose',
  }
  const call: LabMultus['call'] = async (command, pod) => {
    const args = {
      IgnoreUnknown: 'true',
      K8S_POD_NAMESPACE: pod.namespace,
      K8S_POD_NAME: pod.name,
      K8S_POD_INFRA_CONTAINER_ID: pod.containerID,
      K8S_POD_UID: pod.uid,
    }
    const env = {
      CNI_COMMAND: command,
      CNI_CONTAINERID: pod.containerID,
      CNI_NETNS: pod.netns.path,
      CNI_IFNAME: 'eth0',
      CNI_PATH: folders.join(':'),
      CNI_ARGS: Object.entries(args)
        .map(([key, value]) => `${key}=${value}`)
        .join(';'),
    }
    const kubelet =
      podResources === undefined
        ? []
        : ['/usr/bin/unshare', '--mount', '/bin/sh', '-ec', WITH_KUBELET, 'sh', podResources]
    const argv = ['/usr/bin/nsenter', `--net=${node.path}`, ...kubelet, executable]
    return execPlugin(argv, env, JSON.stringify(config))
  }
  return {
    call,
    mustCall: async (command, pod) => {
      const answer = await call(command, pod)
      if (answer.exitCode === 0) return answer.output ?? {}
      throw new Error(`Multus ${command} of ${pod.name} failed: ${answer.stdout}${answer.stderr}`)
    },
    readLog: async () => readFile(logFile, 'utf8'),
    [Symbol.asyncDispose]: async () => rm(folder, { recursive: true, force: true }),
  }
}

/** With the role of Multus' own manifest (deployments/multus-daemonset.yml, v4.2.4), and no more. */
async function newMultusAccount(api: LabApiServer): Promise<string> {
  const metadata = { name: ACCOUNT.name }
  const authorization = 'rbac.authorization.k8s.io'
  await api.apply(
    {
      apiVersion: `${authorization}/v1`,
      kind: 'ClusterRole',
      metadata,
      rules: [
        { apiGroups: ['k8s.cni.cncf.io'], resources: ['*'], verbs: ['*'] },
        { apiGroups: [''], resources: ['pods', 'pods/status'], verbs: ['get', 'update'] },
        {
          apiGroups: ['', 'events.k8s.io'],
          resources: ['events'],
          verbs: ['create', 'patch', 'update'],
        },
      ],
    },
    {
      apiVersion: `${authorization}/v1`,
      kind: 'ClusterRoleBinding',
      metadata,
      roleRef: { apiGroup: authorization, kind: 'ClusterRole', name: ACCOUNT.name },
      subjects: [{ kind: 'ServiceAccount', ...ACCOUNT }],
    },
  )
  return api.newServiceAccountKubeconfig(ACCOUNT.namespace, ACCOUNT.name)
}

// Not a list of plugins: of one, Multus 4.2 forgets all but the types when it looks the default network up
// for a DEL, and the second DEL of a pod then fails in host-local.
function toDefaultNetwork(folder: string): Manifest {
  return {
    cniVersion: '1.0.0',
    name: 'default',
    type: 'bridge',
    bridge: 'l2wdefault0',
    ipam: {
      type: 'host-local',
      ranges: [[{ subnet: '198.51.100.0/24' }]],
      dataDir: join(folder, 'host-local'),
    },
  }
}
