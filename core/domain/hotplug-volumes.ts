// Volumes that a VM may start with and that KubeVirt mounts into its launcher from outside. When it mounts one
// of mode Block it allows the launcher that device, by a list of its own (pkg/virt-handler/hotplug-disk,
// v1.9.0).
import type { Field } from './field.ts'
import { asArray, asBoolean, asString, at, isAbsent } from './field.ts'

/** By name. A volume of unknown mode counts as a block device. */
export function listHotplugBlockVolumes(vmi: Field): readonly string[] {
  const statuses = asArray(at(vmi, 'status', 'volumeStatus'))
  const isBlock = (name: string): boolean => {
    const status = statuses.find((one) => asString(at(one, 'name')) === name)
    const claim = status === undefined ? undefined : at(status, 'persistentVolumeClaimInfo')
    return claim === undefined || isAbsent(claim) || asString(at(claim, 'volumeMode')) === 'Block'
  }
  // Memory dumps go to a file system, and so do utility volumes.
  return asArray(at(vmi, 'spec', 'volumes'))
    .filter((volume) =>
      ['persistentVolumeClaim', 'dataVolume'].some((source) =>
        asBoolean(at(volume, source, 'hotpluggable')),
      ),
    )
    .flatMap((volume) => asString(at(volume, 'name')) ?? [])
    .filter(isBlock)
}
