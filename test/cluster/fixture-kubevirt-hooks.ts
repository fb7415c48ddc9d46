// A pod of a VM with KubeVirt's hook code in it, VMs for it, and what KubeVirt's types say of a domain.
import { toPodLinkName, toTapName } from '../../core/name.ts'
import { toDomainXml } from '../../lab/domain.ts'
import { toVmi, type Vmi, type VmiInterface } from '../../lab/domain-vmi.ts'
import { newLabNetns, type LabNetns } from '../../lab/netns.ts'
import { newVirtLauncher, type VirtLauncher } from './fixture-virt-launcher.ts'

/** KubeVirt waits for minutes. */
export const COLLECT_MS = 60_000

/** virtwrap/api/schema.go, as Go writes it in JSON: as far as it is looked into. */
interface Interface {
  readonly Type: string
  readonly Alias: { readonly Name: string } | null
  readonly Target: { readonly Device: string; readonly Managed: string } | null
  readonly Model: { readonly Type: string } | null
  readonly MAC: { readonly MAC: string } | null
  readonly MTU: { readonly Size: string } | null
  readonly Driver: { readonly Queues: number | null } | null
  readonly BootOrder: { readonly Order: number } | null
  readonly LinkState: { readonly State: string } | null
  readonly ACPI: { readonly Index: number } | null
  readonly Rom: { readonly Enabled: string } | null
  readonly Address: Readonly<Record<'Domain' | 'Bus' | 'Slot' | 'Function', string>> | null
}

interface DomainSpec {
  /** null where there is none, as Go has it. */
  readonly Devices: { readonly Interfaces: readonly Interface[] | null }
}

/** The result of step "define". */
export interface Defined {
  readonly before: DomainSpec
  readonly after: DomainSpec
  readonly given: string
  readonly xml: string
  readonly generated: readonly string[]
  readonly queues: number
}

export interface LaunchedPod extends AsyncDisposable {
  readonly netns: LabNetns
  readonly launcher: VirtLauncher
}

export async function newLaunchedPod(): Promise<LaunchedPod> {
  await using started = new AsyncDisposableStack()
  const netns = started.use(await newLabNetns('launcher'))
  const launcher = started.use(await newVirtLauncher(netns))
  const resources = started.move()
  return { netns, launcher, [Symbol.asyncDispose]: async () => resources.disposeAsync() }
}

export interface PodLinkOptions {
  readonly nic: string
  readonly mac: string
  readonly isMultiQueue?: boolean
}

/** A pod link as the wire makes it, and the binding's tap on it. */
export async function addPodLink(netns: LabNetns, options: PodLinkOptions): Promise<void> {
  const { nic, mac, isMultiQueue = false } = options
  const podLink = toPodLinkName(nic)
  const tap = toTapName(podLink)
  const veth = ['type', 'veth', 'peer', 'name', `l2wp${nic}`]
  await netns.run(['ip', 'link', 'add', 'name', podLink, 'mtu', '9216', 'address', mac, ...veth])
  const flags = [
    'user',
    '107',
    'group',
    '107',
    'vnet_hdr',
    ...(isMultiQueue ? ['multi_queue'] : []),
  ]
  await netns.run(['ip', 'tuntap', 'add', 'dev', tap, 'mode', 'tap', ...flags])
  await netns.run(['ip', 'link', 'set', 'dev', tap, 'mtu', '1400'])
}

export interface VmiOptions {
  readonly volumes?: readonly object[]
  readonly disks?: Vmi['spec']['domain']['devices']['disks']
  readonly annotations?: Vmi['metadata']['annotations']
}

/** A VM with these NICs, in this order, on three CPUs with a queue each. */
export function newVmi(
  nics: Readonly<Record<string, Omit<VmiInterface, 'name'>>>,
  { volumes = [], disks = [], annotations = {} }: VmiOptions = {},
): Vmi {
  const interfaces = Object.entries(nics).map(([name, nic]) => ({ ...nic, name }))
  const networks = interfaces.map(({ name, binding }) =>
    binding === undefined ? { name, pod: {} } : { name, multus: { networkName: `cable-${name}` } },
  )
  const devices = { networkInterfaceMultiqueue: true, interfaces, disks }
  return toVmi({
    kind: 'VirtualMachine',
    metadata: { name: 'r1', namespace: 'lab' },
    spec: {
      template: {
        metadata: { annotations },
        spec: { domain: { cpu: { cores: 3 }, devices }, networks, volumes },
      },
    },
  })
}

const QEMU = `<qemu:commandline><qemu:arg value="-fw_cfg"/><qemu:arg value="name=opt/l2wire,string=a&lt;b"/></qemu:commandline>`

/** The domain that virt-launcher generates for it, with something of everything KubeVirt's types write. */
export function newDomainXml(vmi: Vmi): string {
  const xml = toDomainXml(vmi, { accelerator: 'kvm', podLinks: new Map() })
  return xml.replace('</domain>', `${QEMU}</domain>`)
}

/** What decides about a NIC, as KubeVirt's types have it; only what is there. */
export type Nic = Readonly<Record<string, string | number>>

function readNic(nic: Interface): Nic {
  const { Address: at } = nic
  const fields = {
    alias: nic.Alias?.Name,
    type: nic.Type,
    target: nic.Target?.Device,
    managed: nic.Target?.Managed,
    model: nic.Model?.Type,
    mac: nic.MAC?.MAC,
    mtu: nic.MTU?.Size,
    queues: nic.Driver?.Queues,
    boot: nic.BootOrder?.Order,
    link: nic.LinkState?.State,
    acpi: nic.ACPI?.Index,
    rom: nic.Rom?.Enabled,
    pci: at === null ? undefined : `${at.Domain}:${at.Bus}:${at.Slot}.${at.Function}`,
  }
  const present = Object.entries(fields).flatMap(([name, value]) =>
    value === undefined || value === null ? [] : [[name, value] as const],
  )
  return Object.fromEntries(present)
}

export function readNics(spec: DomainSpec): readonly Nic[] {
  return (spec.Devices.Interfaces ?? []).map(readNic)
}

/** The domain less the NICs of these names. */
export function withoutNics(spec: DomainSpec, names: readonly string[]): DomainSpec {
  const all = spec.Devices.Interfaces ?? []
  const Interfaces = all.filter((nic) => !names.includes(nic.Alias?.Name ?? ''))
  return { ...spec, Devices: { ...spec.Devices, Interfaces } }
}

const INTERFACE = /\s*<interface [^]*?<\/interface>/g

/** The same of the document's text. */
export function withoutNicText(xml: string, names: readonly string[]): string {
  const isOurs = (text: string): boolean => names.some((name) => text.includes(`"ua-${name}"`))
  return xml.replaceAll(INTERFACE, (text) => (isOurs(text) ? '' : text))
}
