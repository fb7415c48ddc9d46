// The object that installs KubeVirt, as its operator reads it.
import type { Manifest } from '../manifests.ts'

/** The first minor version whose default gates need something that is missing here. */
const BETA_GATES_MINOR = 9

/** VMs are emulated, so no KVM is needed. Further keys are the places of our patches. */
export function toKubevirtObject(version: string): Manifest {
  const minor = Number(version.split('.')[1])
  const newer = minor >= BETA_GATES_MINOR
  return {
    apiVersion: 'kubevirt.io/v1',
    kind: 'KubeVirt',
    metadata: { name: 'kubevirt', namespace: 'kubevirt' },
    spec: {
      imagePullPolicy: 'IfNotPresent',
      // One of each component, because they share two cores with everything else.
      infra: { replicas: 1 },
      configuration: {
        developerConfiguration: {
          useEmulation: true,
          // Kernels come as images: with the gate by a volume that needs containerd 2.1, without it by a
          // container.
          ...(newer ? { disabledFeatureGates: ['ImageVolume'] } : {}),
        },
        // It has images of its own, which are missing here.
        ...(newer ? { virtTemplateDeployment: { enabled: false } } : {}),
      },
    },
  }
}
