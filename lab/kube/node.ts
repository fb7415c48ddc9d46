// A node of the cluster: a machine with containerd, kubelet and kube-proxy, whose first CNI plugin is Multus.
import { copyFile, mkdir, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'

import type { Manifest } from '../manifests.ts'
import { listHierarchies } from './cgroups.ts'
import { toMountWords } from './cgroup-mounts.ts'
import { AUTHORITY, ensureCertificate, toKeyPair } from './certificates.ts'
import { toUser, writeKubeconfig } from './control-plane.ts'
import { plugInNode } from './fabric.ts'
import { newMachine, type Machine } from './machine.ts'
import {
  KUBELET_FILES,
  MULTUS_KUBECONFIG,
  PROXY_FILES,
  RUNTIME_SOCKET,
  toCniConfig,
  toContainerdConfig,
  toKubeletConfig,
  toProxyConfig,
} from './node-config.ts'
import type { ClusterPlan, NodePlan } from './plan.ts'
import { BIN, STATE, toMachineFolder } from './state.ts'
import { SYSCTLS } from './sysctls.ts'
import { succeeds, waitFor } from './wait.ts'

export type NodeDaemon = 'containerd' | 'kubelet' | 'kube-proxy'

/** In the order of their start. */
export const NODE_DAEMONS: readonly NodeDaemon[] = ['containerd', 'kubelet', 'kube-proxy']

const DEBIAN_PLUGINS = '/usr/lib/cni'
const PLUGINS = [
  'bridge',
  'host-local',
  'loopback',
  'macvlan',
  'portmap',
  'ptp',
  'static',
  'tuning',
]
const NODE_BIN = '/run/l2w/bin'
/** A separate port for that, which needs no certificate. */
const KUBELET_HEALTH = 'http://127.0.0.1:10248/healthz'

/** The contents of the node's disk before it is first switched on. */
export async function layOutNode(plan: ClusterPlan, node: NodePlan): Promise<void> {
  const { name, addresses } = node
  const folder = toMachineFolder(name)
  for (const part of ['upper', 'work', 'root', 'log', 'disk'])
    await mkdir(join(folder, part), { recursive: true })
  const toFile = async (path: string): Promise<string> => {
    const file = join(folder, 'disk', path)
    await mkdir(dirname(file), { recursive: true })
    return file
  }
  const write = async (path: string, document: Manifest | string): Promise<void> => {
    const text = typeof document === 'string' ? document : JSON.stringify(document, null, 2)
    await writeFile(await toFile(path), text)
  }
  const copy = async (from: string, path: string): Promise<void> =>
    copyFile(from, await toFile(path))

  await write('/etc/containerd/config.toml', toContainerdConfig())
  await write('/etc/cni/net.d/00-multus.conf', toCniConfig(node))
  for (const plugin of PLUGINS)
    await copy(join(DEBIAN_PLUGINS, plugin), join('/opt/cni/bin', plugin))
  await copy(join(BIN, 'multus'), '/opt/cni/bin/multus')

  const kubelet = await ensureCertificate(`kubelet-${name}`, {
    subject: `/O=system:nodes/CN=system:node:${name}`,
    names: [name, ...addresses],
  })
  await write(KUBELET_FILES.config, toKubeletConfig(plan))
  await copy(toKeyPair(AUTHORITY).certificate, KUBELET_FILES.authority)
  await copy(kubelet.certificate, KUBELET_FILES.certificate)
  await copy(kubelet.key, KUBELET_FILES.key)
  await writeKubeconfig(plan, await toFile(KUBELET_FILES.kubeconfig), await toUser(kubelet))

  await write(PROXY_FILES.config, toProxyConfig(plan))
  await writeKubeconfig(
    plan,
    await toFile(PROXY_FILES.kubeconfig),
    await toUser(toKeyPair('kube-proxy')),
  )
}

/** The token is of Multus' account. */
export async function writeMultusKubeconfig(
  plan: ClusterPlan,
  { name }: NodePlan,
  token: string,
): Promise<void> {
  const file = join(toMachineFolder(name), 'disk', MULTUS_KUBECONFIG)
  await mkdir(dirname(file), { recursive: true })
  await writeKubeconfig(plan, file, { token })
}

/** Switches the machine on, plugs it in and starts its containerd. Does nothing if that is done. */
export async function bootNode(
  plan: ClusterPlan,
  fabric: Machine,
  node: NodePlan,
): Promise<Machine> {
  const machine = newMachine(node.name)
  const cgroups = (await listHierarchies()).map(toMountWords)
  const words = [node.name, STATE, BIN, SYSCTLS.join(' '), plan.dnsService]
  await machine.powerOn('node-setup.sh', [...words, ...cgroups])
  await plugInNode(plan, fabric, { node, machine })
  await startNodeDaemon(machine, node, 'containerd')
  return machine
}

/** Does nothing if it runs. containerd and kubelet serve when it returns. */
export async function startNodeDaemon(
  machine: Machine,
  node: NodePlan,
  daemon: NodeDaemon,
): Promise<void> {
  const start = async (): Promise<void> => machine.start(daemon, toArgv(node, daemon))
  await start()
  switch (daemon) {
    case 'containerd': {
      const isServing = async (): Promise<boolean> =>
        succeeds(async () => machine.run(['ctr', '--address', RUNTIME_SOCKET, 'version']))
      return waitFor('containerd serves', isServing, { machine, daemons: [daemon] })
    }
    case 'kubelet': {
      // It ends if containerd serves but has not read its earlier state yet. An init starts it again.
      const isServing = async (): Promise<boolean> => {
        await start()
        return succeeds(async () => machine.run(['curl', '--silent', '--fail', KUBELET_HEALTH]))
      }
      return waitFor(`the kubelet of ${node.name} serves`, isServing)
    }
    case 'kube-proxy':
      return
  }
}

function toArgv({ name, addresses }: NodePlan, daemon: NodeDaemon): readonly string[] {
  switch (daemon) {
    case 'containerd':
      return ['containerd']
    case 'kubelet':
      return [
        join(NODE_BIN, daemon),
        `--config=${KUBELET_FILES.config}`,
        `--kubeconfig=${KUBELET_FILES.kubeconfig}`,
        `--hostname-override=${name}`,
        `--node-ip=${addresses.join(',')}`,
        '--v=2',
      ]
    case 'kube-proxy':
      return [
        join(NODE_BIN, daemon),
        `--config=${PROXY_FILES.config}`,
        `--hostname-override=${name}`,
      ]
  }
}
