// The VirtualMachineInstance as a virt-launcher gets it (kubevirt.io/v1), with the fields that the lab reads.
import { createHash } from 'node:crypto'

import { DecodeError } from '../core/errors.ts'

export interface VmiInterface {
  readonly name: string
  readonly binding?: { readonly name: string }
  readonly masquerade?: object
  readonly bridge?: object
  readonly sriov?: object
  readonly model?: string
  readonly macAddress?: string
  readonly state?: 'up' | 'down' | 'absent'
  readonly bootOrder?: number
  readonly acpiIndex?: number
  readonly pciAddress?: string
}

export interface VmiNetwork {
  readonly name: string
  readonly pod?: object | null
  readonly multus?: { readonly networkName: string; readonly default?: boolean }
}

export interface VmiDisk {
  readonly name: string
  readonly disk?: { readonly bus?: string }
}

export interface VmiVolume {
  readonly name: string
  readonly cloudInitNoCloud?: { readonly userData?: string; readonly networkData?: string }
}

export interface Vmi {
  readonly apiVersion: 'kubevirt.io/v1'
  readonly kind: 'VirtualMachineInstance'
  readonly metadata: {
    readonly name: string
    readonly namespace: string
    readonly uid: string
    readonly labels?: Readonly<Record<string, string>>
    readonly annotations?: Readonly<Record<string, string>>
  }
  readonly spec: {
    readonly domain: {
      readonly devices: {
        readonly interfaces?: readonly VmiInterface[]
        readonly disks?: readonly VmiDisk[]
        readonly networkInterfaceMultiqueue?: boolean
        readonly useVirtioTransitional?: boolean
      }
      readonly cpu?: {
        readonly cores?: number
        readonly sockets?: number
        readonly threads?: number
      }
    }
    readonly networks?: readonly VmiNetwork[]
    readonly volumes?: readonly VmiVolume[]
  }
  readonly status: object
}

interface VirtualMachine {
  readonly kind: 'VirtualMachine'
  readonly metadata: { readonly name: string; readonly namespace?: string }
  readonly spec: {
    readonly template: {
      readonly metadata?: Pick<Vmi['metadata'], 'labels' | 'annotations'>
      readonly spec: Vmi['spec']
    }
  }
}

/** The VMI that KubeVirt starts from a VirtualMachine manifest: same name, the template's spec. */
export function toVmi(manifest: unknown): Vmi {
  const vm = decodeVirtualMachine(manifest)
  const namespace = vm.metadata.namespace ?? 'default'
  const { name } = vm.metadata
  return {
    apiVersion: 'kubevirt.io/v1',
    kind: 'VirtualMachineInstance',
    metadata: { ...vm.spec.template.metadata, name, namespace, uid: toUid(namespace, name) },
    spec: vm.spec.template.spec,
    status: { phase: 'Scheduled', nodeName: 'lab', guestOSInfo: {}, runtimeUser: 107 },
  }
}

/** Checks only mistakes that would otherwise fail far from here. The API server validates manifests. */
function decodeVirtualMachine(manifest: unknown): VirtualMachine {
  const vm = manifest as Partial<VirtualMachine> | null | undefined
  if (vm?.kind !== 'VirtualMachine') {
    throw new DecodeError('kind', vm?.kind, '"VirtualMachine"')
  }
  if (typeof vm.metadata?.name !== 'string') {
    throw new DecodeError('metadata.name', vm.metadata?.name, 'a string')
  }
  if (typeof vm.spec?.template.spec.domain.devices !== 'object') {
    throw new DecodeError('spec.template.spec.domain.devices', undefined, 'an object')
  }
  return vm as VirtualMachine
}

/** The same VM has the same UID in every run, so that logs and golden files can be compared. */
function toUid(namespace: string, name: string): string {
  const digits = createHash('sha256').update(`${namespace}/${name}`).digest('hex')
  return digits.slice(0, 32).replace(/^(.{8})(.{4}).(.{3}).(.{3})(.{12})/, '$1-$2-4$3-8$4-$5')
}
