// A namespace of the running cluster with cables, pods and VMs. Disposing it removes everything.
import { randomBytes } from 'node:crypto'

import { CommandError } from '../../core/errors.ts'
import { openKubeCluster, type KubeCluster } from './cluster.ts'
import type { Manifest } from '../manifests.ts'
import { GUEST_IMAGE, TOOLS_IMAGE } from './images.ts'
import { waitFor } from './wait.ts'

export interface Place extends AsyncDisposable {
  readonly cluster: KubeCluster
  readonly namespace: string
  readonly kubectl: (...argv: readonly string[]) => Promise<string>
  readonly l2wire: (...argv: readonly string[]) => Promise<string>
  /** Makes a cable. more are keys of its configuration. */
  readonly addCable: (name: string, more?: object) => Promise<void>
  /**
   * Makes a container's end of each cable, eth1 and so on. It runs when this returns. more are keys of the
   * pod's spec.
   */
  readonly addPod: (
    name: string,
    node: string,
    cables: readonly Plug[],
    more?: object,
  ) => Promise<void>
  /** The same for many at once. */
  readonly addPods: (
    node: string,
    pods: readonly { readonly name: string; readonly cables: readonly Plug[] }[],
    more?: object,
  ) => Promise<void>
  /**
   * Makes a VM with NICs ge0 and so on, beside one on the pod network. Its guest has booted when this returns.
   * more are words for the guest: lab/kube/guest-init.sh.
   */
  readonly addVm: (
    name: string,
    node: string,
    cables: readonly string[],
    more?: readonly string[],
  ) => Promise<void>
  /** Waits until the guest's agent answers. The VM itself need not exist yet. */
  readonly waitUntilBooted: (vm: string) => Promise<void>
  readonly waitUntilConnected: (wire: string) => Promise<void>
}

/** A cable's name, or a name with addresses. The cable must then have `"capabilities": {"ips": true}`. */
type Plug = string | { readonly name: string; readonly ips: readonly string[] }

/** The time limit of an emulated guest on a busy machine. */
const BOOT_SECONDS = 480
const CONNECT_SECONDS = 120
const START_SECONDS = 180
const GONE_MS = 300_000

export async function newPlace(): Promise<Place> {
  const cluster = await openKubeCluster()
  const namespace = `l2w-${randomBytes(3).toString('hex')}`
  const kubectl = async (...argv: readonly string[]): Promise<string> =>
    cluster.kubectl(['--namespace', namespace, ...argv], { timeoutMs: (BOOT_SECONDS + 30) * 1000 })
  const wait = async (what: string, condition: string, seconds: number): Promise<string> =>
    kubectl('wait', what, `--for=condition=${condition}`, `--timeout=${seconds}s`)
  const add = async (kind: string, name: string, more: object): Promise<void> =>
    cluster.apply({ kind, metadata: { name, namespace }, ...more })
  const waitUntilBooted = async (vm: string): Promise<void> => {
    // KubeVirt makes it a moment later.
    await kubectl('wait', `vmi/${vm}`, '--for=create', `--timeout=${CONNECT_SECONDS}s`)
    await wait(`vmi/${vm}`, 'AgentConnected', BOOT_SECONDS)
  }
  const addPods: Place['addPods'] = async (node, pods, more = {}) => {
    const items = pods.map(({ name, cables }) =>
      toPod({ name, namespace }, cables, { nodeName: node, ...more }),
    )
    await cluster.apply(...items)
    const names = pods.map(({ name }) => `pod/${name}`)
    await kubectl('wait', ...names, '--for=condition=Ready', `--timeout=${START_SECONDS}s`)
  }
  await cluster.kubectl(['create', 'namespace', namespace])
  return {
    cluster,
    namespace,
    kubectl,
    l2wire: async (command = '', ...argv) =>
      cluster.run(['kubectl', 'l2wire', command, '--namespace', namespace, ...argv]),
    addCable: async (name, more = {}) => {
      const config = JSON.stringify({ cniVersion: '1.1.0', name, type: 'l2wire', ...more })
      const apiVersion = 'k8s.cni.cncf.io/v1'
      await add('NetworkAttachmentDefinition', name, { apiVersion, spec: { config } })
    },
    addPod: async (name, node, cables, more) => addPods(node, [{ name, cables }], more),
    addPods,
    addVm: async (name, node, cables, more = []) => {
      await cluster.apply(toVm({ name, namespace }, node, cables, { words: [...QUIET, ...more] }))
      await waitUntilBooted(name)
    },
    waitUntilBooted,
    waitUntilConnected: async (wire) => {
      await waitFor(`${wire} is there`, async () =>
        kubectl('get', 'wire', wire).then(
          () => true,
          (error: unknown) => {
            if (error instanceof CommandError) return false
            throw error
          },
        ),
      )
      await wait(`wire/${wire}`, 'Connected', CONNECT_SECONDS)
    },
    [Symbol.asyncDispose]: async () => {
      await kubectl('delete', 'vm,pod', '--all', '--wait=true', '--ignore-not-found')
      await cluster.kubectl(['delete', 'namespace', namespace], { timeoutMs: GONE_MS })
    },
  }
}

interface Metadata {
  readonly name: string
  readonly namespace: string
}

function toPod(metadata: Metadata, cables: readonly Plug[], more: object): Manifest {
  const networks = cables.map((plug, at) => ({
    ...(typeof plug === 'string' ? { name: plug } : plug),
    interface: `eth${at + 1}`,
  }))
  const annotations = { 'k8s.v1.cni.cncf.io/networks': JSON.stringify(networks) }
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { ...metadata, annotations },
    spec: {
      terminationGracePeriodSeconds: 0,
      containers: [
        {
          name: 'tools',
          image: TOOLS_IMAGE,
          command: ['sh', '-c', 'sysctl -qw net.ipv6.conf.all.disable_ipv6=1; exec sleep infinity'],
          securityContext: { privileged: true },
        },
      ],
      ...more,
    },
  }
}

/** The options of a VM beside its name, its node and its cables. */
export interface VmShape {
  /**
   * Words for its guest: lab/kube/guest-init.sh. Without them the guest's IPv6 would send on cables that should
   * be silent.
   */
  readonly words?: readonly string[]
  /** How its cables are attached. */
  readonly binding?: string
  /** More keys of its interface on the pod network. */
  readonly mgmt?: Manifest
  readonly labels?: Manifest
  /** More keys of its devices, its domain, its instance's spec. */
  readonly devices?: Manifest
  readonly domain?: Manifest
  readonly spec?: Manifest
}

const QUIET = ['l2w.ipv6=off']

export function toVm(
  metadata: Metadata,
  node: string,
  cables: readonly string[],
  shape: VmShape = {},
): Manifest {
  const { words = QUIET, binding = 'l2wire', mgmt = { masquerade: {} } } = shape
  const nics = cables.map((multus, at) => ({ name: `ge${at}`, multus }))
  const container = {
    image: GUEST_IMAGE,
    kernelPath: '/boot/vmlinuz',
    initrdPath: '/boot/initrd',
    imagePullPolicy: 'IfNotPresent',
  }
  const kernelArgs = ['console=ttyS0', `l2w.name=${metadata.name}`, ...words]
  return {
    apiVersion: 'kubevirt.io/v1',
    kind: 'VirtualMachine',
    metadata,
    spec: {
      runStrategy: 'Always',
      template: {
        metadata: { labels: shape.labels ?? {} },
        spec: {
          nodeSelector: { 'kubernetes.io/hostname': node },
          terminationGracePeriodSeconds: 0,
          domain: {
            memory: { guest: '512Mi' },
            firmware: { kernelBoot: { kernelArgs: kernelArgs.join(' '), container } },
            devices: {
              interfaces: [
                { name: 'mgmt', ...mgmt },
                ...nics.map(({ name }) => ({ name, binding: { name: binding } })),
              ],
              ...shape.devices,
            },
            ...shape.domain,
          },
          networks: [
            { name: 'mgmt', pod: {} },
            ...nics.map(({ name, multus }) => ({ name, multus: { networkName: multus } })),
          ],
          ...shape.spec,
        },
      },
    },
  }
}
