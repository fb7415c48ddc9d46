// A node's container runtime with the real Multus as its CNI: sandboxes of pods that are objects of the lab's
// API server. The pods' default network, eth0, is Debian's bridge plugin.
import { randomBytes } from 'node:crypto'
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { SOCKET_VARIABLE } from '../core/cni/socket.ts'
import { isRecord } from '../core/record.ts'
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
  /** Where a scheduler would have put it. */
  readonly nodeName?: string
  /** Otherwise a container's own stack would send on its cables. */
  readonly isLauncher?: boolean
}

export interface LabMultus extends AsyncDisposable {
  /** Makes a runtime's call for a pod's sandbox: ADD, CHECK, DEL. */
  readonly call: (command: string, pod: LabPod) => Promise<CniAnswer>
  /** As call, and throws unless Multus succeeds. */
  readonly mustCall: (command: string, pod: LabPod) => Promise<Manifest>
  readonly readLog: () => Promise<string>
}

const ACCOUNT = { namespace: 'kube-system', name: 'multus' }

/** Makes the pod object and an empty sandbox for it. */
export async function newLabPod(api: LabApiServer, options: PodOptions): Promise<LabPod> {
  const { namespace, name, networks } = options
  const { annotations: more = {} } = options.metadata ?? {}
  const annotations = {
    ...(isRecord(more) ? more : {}),
    'k8s.v1.cni.cncf.io/networks': JSON.stringify(networks),
  }
  await api.apply({
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { ...options.metadata, namespace, name, annotations },
    spec: {
      ...(options.nodeName === undefined ? {} : { nodeName: options.nodeName }),
      containers: [{ name: 'shell', image: 'busybox' }],
    },
  })
  const { uid } = getMapping(await api.getObject('pod', name, namespace), 'metadata')
  const netns = await newLabNetns(name, { ipv6: options.isLauncher === true })
  return {
    namespace,
    name,
    uid: String(uid),
    containerID: randomBytes(32).toString('hex'),
    netns,
    [Symbol.asyncDispose]: async () => netns[Symbol.asyncDispose](),
  }
}

/** Multus' report about the pod's networks. */
export async function readNetworkStatus(
  api: LabApiServer,
  pod: LabPod,
): Promise<readonly Manifest[]> {
  const object = await api.getObject('pod', pod.name, pod.namespace)
  const text = getMapping(object, 'metadata', 'annotations')['k8s.v1.cni.cncf.io/network-status']
  return JSON.parse(String(text)) as Manifest[]
}

/**
 * Multus looks for a kubelet at its path on every node. podResources is the folder that it should find there.
 */
const WITH_KUBELET = `
  mount -t tmpfs tmpfs /var/lib
  mkdir -p /var/lib/kubelet/pod-resources
  mount --bind "$1" /var/lib/kubelet/pod-resources
  shift
  exec "$@"
`

export interface LabMultusOptions {
  readonly podResources?: string
  /** The only address of the pods' default network. */
  readonly onlyAddress?: string | undefined
}

/** The netns is the node's own, and the API must be reachable there. The socket is its agent's. */
export async function newLabMultus(
  api: LabApiServer,
  node: LabNetns,
  socket: string,
  { podResources, onlyAddress }: LabMultusOptions = {},
): Promise<LabMultus> {
  const executable = await ensureClusterBinary('multus')
  const kubeconfig = await newMultusAccount(api)
  const folder = await mkdtemp(join(tmpdir(), 'l2w-multus-'))
  const clusterNetwork = join(folder, 'default.conf')
  await writeFile(clusterNetwork, JSON.stringify(toDefaultNetwork(folder, onlyAddress)))
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
      // Multus passes its environment on to the plugins that it delegates to.
      [SOCKET_VARIABLE]: socket,
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

// Not a list of plugins: when Multus 4.2 looks up the default network for a DEL it forgets all but the types of
// a list. The second DEL of a pod then fails in host-local.
function toDefaultNetwork(folder: string, onlyAddress: string | undefined): Manifest {
  const only = onlyAddress === undefined ? {} : { rangeStart: onlyAddress, rangeEnd: onlyAddress }
  return {
    cniVersion: '1.0.0',
    name: 'default',
    type: 'bridge',
    bridge: 'l2wdefault0',
    ipam: {
      type: 'host-local',
      ranges: [[{ subnet: '198.51.100.0/24', ...only }]],
      dataDir: join(folder, 'host-local'),
    },
  }
}
