// The arguments of etcd and the API server that all users share.
import { join } from 'node:path'

export function toEtcdArgv(
  executable: string,
  folder: string,
  clientUrl: string,
  peerUrl: string,
): readonly string[] {
  return [
    executable,
    `--data-dir=${join(folder, 'etcd')}`,
    `--listen-client-urls=${clientUrl}`,
    `--advertise-client-urls=${clientUrl}`,
    `--listen-peer-urls=${peerUrl}`,
    `--initial-advertise-peer-urls=${peerUrl}`,
    `--initial-cluster=default=${peerUrl}`,
    // Its data need not survive the machine.
    '--unsafe-no-fsync',
    '--log-level=warn',
  ]
}

/** The key signs the tokens of service accounts. */
export function toApiFlags(key: string, etcdUrl: string): readonly string[] {
  return [
    `--etcd-servers=${etcdUrl}`,
    '--service-account-issuer=https://kubernetes.default.svc',
    `--service-account-key-file=${key}`,
    `--service-account-signing-key-file=${key}`,
    '--allow-privileged=true',
    // From Kubernetes 1.36 on they are there by default.
    '--feature-gates=MutatingAdmissionPolicy=true',
    '--runtime-config=admissionregistration.k8s.io/v1beta1=true',
    '--v=1',
  ]
}
