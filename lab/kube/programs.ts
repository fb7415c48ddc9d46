// The programs of a whole cluster with KubeVirt, built from Go modules once and kept in the user's cache.
import { join } from 'node:path'

import { ensureClusterBinary } from '../cluster-binaries.ts'
import { ensureProduct, type Say } from '../go-build.ts'
import { buildKubevirt, listCauses, PLACES } from './kubevirt-build.ts'
import { CONTAINER_DISK, listPrograms } from './kubevirt-version.ts'

/** Of Kubernetes itself, and the CNI plugin that calls ours. */
export const KUBERNETES_PROGRAMS = [
  'etcd',
  'kube-apiserver',
  'kube-controller-manager',
  'kube-scheduler',
  'kube-proxy',
  'kubelet',
  'kubectl',
  'multus',
] as const

export type KubernetesProgram = (typeof KUBERNETES_PROGRAMS)[number]

export interface KubevirtBuild {
  /** Such as "1.7.0". */
  readonly version: string
  /** Of the programs. */
  readonly folder: string
  /** The module's files, changed so that they build. */
  readonly source: string
  readonly programs: readonly string[]
}

/** The path of the program. Builds it if needed. */
export async function ensureKubernetesProgram(name: KubernetesProgram, say: Say): Promise<string> {
  return ensureClusterBinary(name, say)
}

/** Builds KubeVirt's programs if needed. Throws DecodeError for an invalid version. */
export async function ensureKubevirt(version: string, say: Say): Promise<KubevirtBuild> {
  const name = `kubevirt-${version}`
  const make = async (target: string): Promise<void> => buildKubevirt(version, target)
  const why = 'runs virtual machines as pods; takes minutes'
  const folder = await ensureProduct({ name, why, make }, await listCauses(version), say)
  return {
    version,
    folder: join(folder, PLACES.programs),
    source: join(folder, PLACES.source),
    programs: [...listPrograms(version), CONTAINER_DISK].map((program) => program.name),
  }
}
