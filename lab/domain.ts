// The domain document that virt-launcher v1.9.0 hands to hook sidecars for a VMI. The order of elements
// is that of virtwrap/api/schema.go; the lab adds one thing of its own, the guest's shell (a channel).
import { createHash } from 'node:crypto'

import { toPodLinkName, toTapName } from '../core/name.ts'
import type { Accelerator } from './accelerator.ts'
import { element, renderElement, type Element } from './domain-element.ts'
import type { Vmi, VmiInterface } from './domain-vmi.ts'
import { GUEST_PORT_NAME } from './guest.ts'

/** What virt-launcher reads of a link in its pod. */
export interface PodLink {
  readonly mac: string
  readonly mtu: number
}

export interface DomainOptions {
  readonly accelerator: Accelerator
  /**
   * domainAttachmentType per binding name, as registered in the KubeVirt CR. Absent: a sidecar writes the
   * interface.
   */
  readonly domainAttachments?: Readonly<Record<string, 'tap' | 'managedTap'>>
  /** The pod's links by name ("eth0", "pod…", "tap…"). */
  readonly podLinks: ReadonlyMap<string, PodLink>
  /** Overrides the manifest's memory, because the lab's guest needs little. Default 128 MiB. */
  readonly memoryBytes?: number
}

const KERNEL_BOOT_DIRECTORY = '/var/run/kubevirt/container-disks/kernel-boot'
/** Booting is the slowest part of the lab: no self-tests, no calibration, no slow console. */
const KERNEL_ARGUMENTS =
  'console=ttyS0 loglevel=4 mitigations=off nokaslr no_timer_check cryptomgr.notests tsc=nowatchdog'

/** converter/arch TransitionalModelType, on amd64. */
export const toVirtioModel = (vmi: Vmi): string =>
  vmi.spec.domain.devices.useVirtioTransitional === true
    ? 'virtio-transitional'
    : 'virtio-non-transitional'

export const toDomainName = (vmi: Vmi): string => `${vmi.metadata.namespace}_${vmi.metadata.name}`

/** The folder of this VMI's sockets, inside the launcher. */
export const toPrivateDirectory = (vmi: Vmi): string =>
  `/var/run/kubevirt-private/${vmi.metadata.uid}`

export const toGuestSocketPath = (vmi: Vmi): string =>
  `${toPrivateDirectory(vmi)}/${GUEST_PORT_NAME}`

export const toDiskPath = (volume: string): string =>
  `/var/run/kubevirt-private/vmi-disks/${volume}/disk.img`

/** Names of the volumes that the domain opens as disks; the launcher makes a small file for each. */
export function toDiskNames(vmi: Vmi): readonly string[] {
  return (vmi.spec.domain.devices.disks ?? []).map((disk) => disk.name)
}

function toTopology(vmi: Vmi) {
  const { cpu } = vmi.spec.domain
  return { sockets: cpu?.sockets ?? 1, cores: cpu?.cores ?? 1, threads: cpu?.threads ?? 1 }
}

function countVcpus(vmi: Vmi): number {
  const { sockets, cores, threads } = toTopology(vmi)
  return sockets * cores * threads
}

/**
 * Queues of each virtio NIC; undefined if the VM does not ask for several (converter/network/virtio-queues.go).
 */
export function countQueues(vmi: Vmi): number | undefined {
  const isAsked = vmi.spec.domain.devices.networkInterfaceMultiqueue === true
  return isAsked ? Math.min(countVcpus(vmi), 256) : undefined
}

export function toDomainXml(vmi: Vmi, options: DomainOptions): string {
  const topology = toTopology(vmi)
  const type = { type: options.accelerator, 'xmlns:qemu': QEMU_NAMESPACE }
  const domain = element('domain', type, [
    element('name', {}, toDomainName(vmi)),
    element('memory', { unit: 'b' }, String(options.memoryBytes ?? 128 * 2 ** 20)),
    element('os', {}, [
      element('type', { arch: 'x86_64', machine: 'q35' }, 'hvm'),
      element('smbios', { mode: 'sysinfo' }),
      element('kernel', {}, `${KERNEL_BOOT_DIRECTORY}/vmlinuz`),
      element('initrd', {}, `${KERNEL_BOOT_DIRECTORY}/initrd`),
      element('cmdline', {}, KERNEL_ARGUMENTS),
    ]),
    toSysinfo(vmi),
    element('devices', {}, toDevices(vmi, options)),
    element('clock', { offset: 'utc', adjustment: 'reset' }, [
      element('timer', { name: 'rtc', tickpolicy: 'catchup', present: 'yes' }),
      element('timer', { name: 'hpet', present: 'no' }),
    ]),
    element('metadata', {}, [
      element('kubevirt', { xmlns: 'http://kubevirt.io' }, [element('uid', {}, vmi.metadata.uid)]),
    ]),
    element('features', {}, [element('acpi'), element('vmport', { state: 'off' })]),
    element('cpu', { mode: 'host-model' }, [
      element('topology', {
        sockets: String(topology.sockets),
        cores: String(topology.cores),
        threads: String(topology.threads),
      }),
    ]),
    element('vcpu', { placement: 'static' }, String(countVcpus(vmi))),
    element('iothreads', {}, '1'),
  ])
  return renderElement(domain)
}

const QEMU_NAMESPACE = 'http://libvirt.org/schemas/domain/qemu/1.0'

function entry(name: string, value: string): Element {
  return element('entry', { name }, value)
}

function toSysinfo(vmi: Vmi): Element {
  return element('sysinfo', { type: 'smbios' }, [
    element('system', {}, [
      entry('uuid', vmi.metadata.uid),
      entry('manufacturer', 'KubeVirt'),
      entry('family', 'KubeVirt'),
      entry('product', 'None'),
      entry('sku', ''),
      entry('version', ''),
    ]),
    element('bios'),
    element('baseBoard'),
    element('chassis'),
  ])
}

function toDevices(vmi: Vmi, options: DomainOptions): readonly Element[] {
  const privateDirectory = toPrivateDirectory(vmi)
  const virtio = toVirtioModel(vmi)
  return [
    ...toInterfaces(vmi, options),
    element('channel', { type: 'unix' }, [
      element('target', { name: 'org.qemu.guest_agent.0', type: 'virtio' }),
    ]),
    element('channel', { type: 'unix' }, [
      element('source', { mode: 'bind', path: toGuestSocketPath(vmi) }),
      element('target', { name: GUEST_PORT_NAME, type: 'virtio' }),
    ]),
    element('controller', { type: 'usb', index: '0', model: 'none' }),
    element('controller', { type: 'scsi', index: '0', model: virtio }),
    element('controller', { type: 'virtio-serial', index: '0', model: virtio }),
    element('video', {}, [element('model', { type: 'vga', heads: '1', vram: '16384' })]),
    element('graphics', { type: 'vnc' }, [
      element('listen', { type: 'socket', socket: `${privateDirectory}/virt-vnc` }),
    ]),
    element('memballoon', { model: virtio, freePageReporting: 'on' }, [
      element('stats', { period: '10' }),
    ]),
    ...toDiskNames(vmi).map((name, index) => toDisk(name, index, virtio)),
    element('serial', { type: 'unix' }, [
      element('target', { port: '0' }),
      element('source', { mode: 'bind', path: `${privateDirectory}/virt-serial0` }),
      element('log', { file: `${privateDirectory}/virt-serial0-log`, append: 'on' }),
    ]),
    element('console', { type: 'pty' }, [element('target', { type: 'serial', port: '0' })]),
    element('rng', { model: virtio }, [element('backend', { model: 'random' }, '/dev/urandom')]),
  ]
}

function toDisk(name: string, index: number, model: string): Element {
  const device = { device: 'disk', type: 'file', model }
  const driver = { error_policy: 'stop', name: 'qemu', type: 'raw', discard: 'unmap' }
  return element('disk', device, [
    element('source', { file: toDiskPath(name) }),
    element('target', { bus: 'virtio', dev: `vd${String.fromCodePoint(97 + index)}` }),
    element('driver', driver),
    element('alias', { name: `ua-${name}` }),
  ])
}

/** The interfaces that virt-launcher generates itself, in the order of the VMI's spec. */
function toInterfaces(vmi: Vmi, options: DomainOptions): readonly Element[] {
  const generated = (vmi.spec.domain.devices.interfaces ?? []).filter(
    (nic) => nic.state !== 'absent' && isGenerated(nic, options),
  )
  return generated.map((nic) => toInterface(vmi, nic, options))
}

/** Whether virt-launcher writes this interface itself. Otherwise a sidecar or a device does. */
export function isGenerated(
  nic: VmiInterface,
  options: Pick<DomainOptions, 'domainAttachments'>,
): boolean {
  if (nic.sriov !== undefined) return false
  // converter/network/configurator.go: a binding whose attachment is not exactly "tap" is skipped.
  return nic.binding === undefined || options.domainAttachments?.[nic.binding.name] === 'tap'
}

/** The link by which this network of the VM arrives in its pod. */
export function toPodLink(vmi: Vmi, name: string): string {
  const multus = vmi.spec.networks?.find((network) => network.name === name)?.multus
  return multus === undefined || multus.default === true ? 'eth0' : toPodLinkName(name)
}

function toInterface(vmi: Vmi, nic: VmiInterface, options: DomainOptions): Element {
  const podLink = toPodLink(vmi, nic.name)
  const tap = toTapName(podLink)
  const link = options.podLinks.get(podLink)
  // If the tap does not exist, virt-launcher opens the pod link itself.
  const target = nic.binding === undefined || options.podLinks.has(tap) ? tap : podLink
  const model = nic.model === undefined || nic.model === 'virtio' ? toVirtioModel(vmi) : nic.model
  return element('interface', { type: 'ethernet' }, [
    nic.pciAddress === undefined ? undefined : toPciAddress(nic.pciAddress),
    element('source'),
    element('target', { dev: target, managed: 'no' }),
    element('model', { type: model }),
    element('mac', { address: nic.macAddress ?? link?.mac ?? toMac(vmi, nic) }),
    element('mtu', { size: String(link?.mtu ?? 1500) }),
    nic.bootOrder === undefined ? undefined : element('boot', { order: String(nic.bootOrder) }),
    nic.state === 'down' ? element('link', { state: 'down' }) : undefined,
    element('alias', { name: `ua-${nic.name}` }),
    toDriver(vmi, nic, options),
    nic.bootOrder === undefined ? element('rom', { enabled: 'no' }) : undefined,
    nic.acpiIndex === undefined ? undefined : element('acpi', { index: String(nic.acpiIndex) }),
  ])
}

/**
 * KubeVirt always writes "vhost". An emulated VM's pod has no vhost, so it would not start with several queues.
 */
function toDriver(vmi: Vmi, nic: VmiInterface, options: DomainOptions): Element | undefined {
  const queues = countQueues(vmi)
  if (queues === undefined || (nic.model ?? 'virtio') !== 'virtio') return undefined
  const name = options.accelerator === 'kvm' ? 'vhost' : 'qemu'
  return element('driver', { name, queues: String(queues) })
}

function toPciAddress(text: string): Element {
  const [domain = '0000', bus = '00', slot = '00', fn = '0'] = text.split(/[:.]/)
  const numbers = { domain: `0x${domain}`, bus: `0x${bus}`, slot: `0x${slot}`, function: `0x${fn}` }
  return element('address', { type: 'pci', ...numbers })
}

/** For a pod network that the lab omits. KubeVirt would draw a random value. */
function toMac(vmi: Vmi, nic: VmiInterface): string {
  const digits = createHash('sha256').update(`${vmi.metadata.uid}/${nic.name}`).digest('hex')
  return `02:${(digits.slice(0, 10).match(/../g) ?? []).join(':')}`
}
