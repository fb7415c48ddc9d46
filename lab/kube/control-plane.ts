// etcd, API server, controller manager and scheduler, in the fabric. They have the same rights as in a
// production cluster, so that the same requests are refused.
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'

import { toApiFlags, toEtcdArgv } from '../api-argv.ts'
import { toKubeconfig } from '../kubeconfig.ts'
import type { Manifest } from '../manifests.ts'
import {
  AUTHORITY,
  ensureAuthority,
  ensureCertificate,
  ensureSigningKey,
  PROXY_AUTHORITY,
  readBase64,
  toKeyPair,
  type KeyPair,
} from './certificates.ts'
import type { Machine } from './machine.ts'
import { API_PORT, toApiUrl, type ClusterPlan } from './plan.ts'
import { BIN, KEYS, KUBECONFIG, toMachineFolder } from './state.ts'
import { waitFor } from './wait.ts'

const ETCD_URL = 'http://127.0.0.1:2379'
const ETCD_PEER_URL = 'http://127.0.0.1:2380'

export const CONTROL_PLANE = [
  'etcd',
  'kube-apiserver',
  'kube-controller-manager',
  'kube-scheduler',
] as const

type ControlPlaneDaemon = (typeof CONTROL_PLANE)[number]

/** A component's file that only its owner can read. */
export async function writeKubeconfig(
  plan: ClusterPlan,
  file: string,
  user: Manifest,
): Promise<string> {
  const authority = await readBase64((await ensureAuthority(AUTHORITY)).certificate)
  const cluster = { server: toApiUrl(plan), 'certificate-authority-data': authority }
  await writeFile(file, JSON.stringify(toKubeconfig(cluster, user)), { mode: 0o600 })
  return file
}

/** A user entry of a kubeconfig, with a certificate. */
export async function toUser({ certificate, key }: KeyPair): Promise<Manifest> {
  return {
    'client-certificate-data': await readBase64(certificate),
    'client-key-data': await readBase64(key),
  }
}

/** All certificates and keys of daemons and people. */
export async function ensureKeys(plan: ClusterPlan): Promise<void> {
  await ensureSigningKey()
  await ensureCertificate('kube-apiserver', {
    subject: '/CN=kube-apiserver',
    names: [
      'kubernetes',
      'kubernetes.default',
      'kubernetes.default.svc',
      'localhost',
      'kubernetes.default.svc.cluster.local',
      plan.apiService,
      ...plan.fabric.addresses,
      '127.0.0.1',
    ],
  })
  await ensureCertificate('kubelet-client', { subject: '/O=system:masters/CN=kubelet-client' })
  await ensureCertificate('front-proxy-client', {
    subject: '/CN=front-proxy-client',
    authority: PROXY_AUTHORITY,
  })
  await ensureCertificate('kube-proxy', { subject: '/CN=system:kube-proxy' })
  const admin = await ensureCertificate('admin', { subject: '/O=system:masters/CN=admin' })
  await writeKubeconfig(plan, KUBECONFIG, await toUser(admin))
  for (const component of ['kube-controller-manager', 'kube-scheduler']) {
    const pair = await ensureCertificate(component, { subject: `/CN=system:${component}` })
    await writeKubeconfig(plan, toComponentKubeconfig(component), await toUser(pair))
  }
}

/**
 * Its programs are on the cluster's PATH. Does nothing if it runs. The API server refuses the others, and they
 * end, until it has made their roles. Then it reports that it is ready.
 */
export async function startControlPlane(
  plan: ClusterPlan,
  fabric: Machine,
  isReady: () => Promise<boolean>,
): Promise<void> {
  const start = async (daemon: ControlPlaneDaemon): Promise<void> =>
    fabric.start(daemon, toArgv(plan, fabric, daemon))
  await start('etcd')
  await start('kube-apiserver')
  const options = { machine: fabric, daemons: ['etcd', 'kube-apiserver'] }
  await waitFor('the API server is ready', isReady, options)
  await start('kube-controller-manager')
  await start('kube-scheduler')
}

function toArgv(plan: ClusterPlan, fabric: Machine, daemon: ControlPlaneDaemon): readonly string[] {
  const executable = join(BIN, daemon)
  switch (daemon) {
    case 'etcd':
      return toEtcdArgv(executable, toMachineFolder(fabric.name), ETCD_URL, ETCD_PEER_URL)
    case 'kube-apiserver':
      return toApiServerArgv(plan, executable)
    case 'kube-controller-manager':
    case 'kube-scheduler':
      return toComponentArgv(daemon, executable)
  }
}

function toComponentKubeconfig(component: string): string {
  return join(KEYS, `${component}.kubeconfig`)
}

function toApiServerArgv(plan: ClusterPlan, executable: string): readonly string[] {
  const server = toKeyPair('kube-apiserver')
  const kubelets = toKeyPair('kubelet-client')
  const proxy = toKeyPair('front-proxy-client')
  const authority = toKeyPair(AUTHORITY).certificate
  return [
    executable,
    ...toApiFlags(join(KEYS, 'service-account.key'), ETCD_URL),
    '--bind-address=0.0.0.0',
    `--secure-port=${API_PORT}`,
    `--advertise-address=${plan.fabric.addresses[0]}`,
    `--tls-cert-file=${server.certificate}`,
    `--tls-private-key-file=${server.key}`,
    `--client-ca-file=${authority}`,
    `--service-cluster-ip-range=${plan.serviceSubnets.join(',')}`,
    // A kubelet, and an agent with its token, may only change its own node's objects.
    '--authorization-mode=Node,RBAC',
    '--enable-admission-plugins=NodeRestriction',
    `--kubelet-certificate-authority=${authority}`,
    `--kubelet-client-certificate=${kubelets.certificate}`,
    `--kubelet-client-key=${kubelets.key}`,
    '--kubelet-preferred-address-types=InternalIP',
    // KubeVirt's API is an aggregated one.
    `--requestheader-client-ca-file=${toKeyPair(PROXY_AUTHORITY).certificate}`,
    '--requestheader-allowed-names=front-proxy-client',
    '--requestheader-username-headers=X-Remote-User',
    '--requestheader-group-headers=X-Remote-Group',
    '--requestheader-extra-headers-prefix=X-Remote-Extra-',
    `--proxy-client-cert-file=${proxy.certificate}`,
    `--proxy-client-key-file=${proxy.key}`,
    // No kube-proxy runs on this machine.
    '--enable-aggregator-routing=true',
  ]
}

function toComponentArgv(
  component: 'kube-controller-manager' | 'kube-scheduler',
  executable: string,
): readonly string[] {
  const kubeconfig = toComponentKubeconfig(component)
  const argv = [
    executable,
    `--kubeconfig=${kubeconfig}`,
    `--authentication-kubeconfig=${kubeconfig}`,
    `--authorization-kubeconfig=${kubeconfig}`,
    '--bind-address=127.0.0.1',
    // There is no other one.
    '--leader-elect=false',
    '--v=1',
  ]
  if (component === 'kube-scheduler') return argv
  const authority = toKeyPair(AUTHORITY)
  return [
    ...argv,
    `--service-account-private-key-file=${join(KEYS, 'service-account.key')}`,
    `--root-ca-file=${authority.certificate}`,
    `--cluster-signing-cert-file=${authority.certificate}`,
    `--cluster-signing-key-file=${authority.key}`,
    '--use-service-account-credentials=true',
    // Each node's object has its pod subnets from the start.
    '--allocate-node-cidrs=false',
  ]
}
