// What one NIC should look like in the domain: takes VMI and pod links, returns the wanted elements.
import { LinkMissingError, LinkUnfitError } from '../errors.ts'
import { PRIMARY_POD_LINK, toTapName } from '../name.ts'
import { decodeMac } from './address.ts'
import type { ElementSpec } from './splice.ts'
import type { Vmi, VmiNic } from './vmi.ts'

/** The kernel's facts about one link in the pod. */
export interface LinkFacts {
  readonly mtuBytes: number
  readonly address: string
  /** Whether it is a tap made for several queues; undefined if it is no tap. */
  readonly isMultiQueue: boolean | undefined
  /** The pod link that the agent joined it to, if the alias names one. */
  readonly joined?: string
}

/** The links of the pod that may belong to our NICs, by name. */
export type PodLinks = ReadonlyMap<string, LinkFacts>

/** What the pod has ready for one NIC. */
export interface NicFacts {
  readonly podLink: string
  readonly podLinkAddress: string
  /** The device that QEMU opens: the tap if there is one, else the pod link itself. */
  readonly target: string
  readonly mtuBytes: number
  readonly isMultiQueue: boolean | undefined
}

/** Facts about the machine from the domain document itself. */
export interface Machine {
  /** libvirt's name: "x86_64", "aarch64", "s390x". */
  readonly architecture: string | undefined
  /** QEMU translates the guest's code. The pod then has no /dev/vhost-net. */
  readonly isEmulated: boolean
}

/** A number to write, "none" to remove it, "keep" to leave it unchanged. */
export type Queues = number | 'none' | 'keep'

export interface NicPlan {
  readonly alias: string
  /** Elements that must have these attributes. Their other attributes stay. */
  readonly elements: readonly ElementSpec[]
  readonly queues: Queues
  /** Elements to remove if they have exactly this attribute. */
  readonly unwanted: readonly ElementSpec[]
}

/** KubeVirt's limit, which is the kernel's: 256 queues per tap (MAX_TAP_QUEUES). */
const MAX_QUEUES = 256

/** Names of all links that a NIC's plan may need. */
export function toLinkNames(nic: VmiNic): string[] {
  return nic.podLinks.flatMap((podLink) => [podLink, toTap(nic, podLink)])
}

/** Finds the NIC's links among the pod's. Throws LinkMissingError if the pod link does not exist. */
export function getNicFacts(nic: VmiNic, links: PodLinks): NicFacts {
  // The agent decides by the pod's routes which link is the primary. A tap without that alias is of an older
  // agent.
  const joined = nic.isPrimary ? links.get(toTapName(PRIMARY_POD_LINK))?.joined : undefined
  for (const podLink of [...(joined === undefined ? [] : [joined]), ...nic.podLinks]) {
    const facts = links.get(podLink)
    if (facts === undefined) continue
    const tap = toTap(nic, podLink)
    const tapFacts = links.get(tap)
    return {
      podLink,
      podLinkAddress: facts.address,
      target: tapFacts === undefined ? podLink : tap,
      mtuBytes: (tapFacts ?? facts).mtuBytes,
      isMultiQueue: (tapFacts ?? facts).isMultiQueue,
    }
  }
  throw new LinkMissingError(
    `Cannot plug in interface "${nic.name}": the pod has no link "${nic.podLinks.join('" or "')}", ` +
      'expected its network to be attached to the pod before the VM is defined',
  )
}

/** current is the number of queues that the domain gives the NIC so far. */
export function planNic(
  vmi: Vmi,
  nic: VmiNic,
  facts: NicFacts,
  machine: Machine,
  current: number,
): NicPlan {
  const isS390x = (machine.architecture ?? vmi.architecture) === 's390x'
  const isVirtio = nic.model.startsWith('virtio')
  const queues = isVirtio ? planQueues(vmi, nic, facts, current) : planOneQueue(nic, facts)
  const driver = isVirtio ? toDriverSpecs(queues, vmi.needsIommu, machine) : []
  // Only PCI has ROMs, so s390x has none. Under memory encryption KubeVirt always switches them off.
  const wantsNoRom = !isS390x && (nic.bootOrder === undefined || vmi.needsIommu)
  const unwanted: ElementSpec[] = []
  // KubeVirt follows the VMI's state: it would set the link back to it at its next sync.
  if (!nic.isDown) unwanted.push({ name: 'link', attributes: { state: 'down' } })
  // A NIC that boots the guest needs its ROM.
  if (!wantsNoRom) unwanted.push({ name: 'rom', attributes: { enabled: 'no' } })
  return {
    alias: toAlias(nic.name),
    elements: [
      { name: 'target', attributes: { dev: facts.target, managed: 'no' } },
      { name: 'model', attributes: { type: toModelType(vmi, nic, isS390x) } },
      { name: 'mac', attributes: { address: toMac(nic, facts) } },
      { name: 'mtu', attributes: { size: String(facts.mtuBytes) } },
      ...(nic.bootOrder === undefined
        ? []
        : [{ name: 'boot', attributes: { order: String(nic.bootOrder) } }]),
      ...(nic.isDown ? [{ name: 'link', attributes: { state: 'down' } }] : []),
      { name: 'alias', attributes: { name: toAlias(nic.name) } },
      ...driver,
      ...(wantsNoRom ? [{ name: 'rom', attributes: { enabled: 'no' } }] : []),
      ...(nic.acpiIndex === undefined
        ? []
        : [{ name: 'acpi', attributes: { index: String(nic.acpiIndex) } }]),
      ...(nic.pciAddress === undefined
        ? []
        : [{ name: 'address', attributes: { type: 'pci', ...nic.pciAddress } }]),
    ],
    queues,
    unwanted,
  }
}

/** libvirt lets a user name a device if the name begins with "ua-". KubeVirt appends the network's name. */
export function toAlias(name: string): string {
  return `ua-${name}`
}

function toTap(nic: VmiNic, podLink: string): string {
  return toTapName(nic.isPrimary ? PRIMARY_POD_LINK : podLink)
}

/** The VMI's MAC, else the pod link's. */
export function toMac(nic: VmiNic, facts: NicFacts): string {
  return nic.mac ?? decodeMac(facts.podLinkAddress, `address of link ${facts.podLink}`)
}

// KubeVirt v1.9: converter/arch TransitionalModelType. The two named models are PCI devices, which s390x does
// not have.
function toModelType(vmi: Vmi, nic: VmiNic, isS390x: boolean): string {
  if (nic.model !== 'virtio' || isS390x) return nic.model
  return vmi.useVirtioTransitional ? 'virtio-transitional' : 'virtio-non-transitional'
}

// The tap decides, not the VMI. The kernel answers EINVAL if a tap for several queues is opened with one, or a
// tap for one queue with several. libvirt asks for several only if "queues" is more than 1. An existing number
// above 1 stays, because a migrating VM must find its NIC unchanged.
function planQueues(vmi: Vmi, nic: VmiNic, facts: NicFacts, current: number): Queues {
  if (facts.isMultiQueue === false) return 'none'
  const count = Math.min(nic.runningQueues ?? vmi.vcpus, MAX_QUEUES)
  if (facts.isMultiQueue === true)
    return current > 1 ? Math.min(current, MAX_QUEUES) : Math.max(count, 2)
  return vmi.networkInterfaceMultiqueue && current === 1 ? count : 'keep'
}

// For models other than virtio libvirt opens one queue, whatever the domain specifies.
function planOneQueue(nic: VmiNic, facts: NicFacts): Queues {
  if (facts.isMultiQueue !== true) return 'none'
  throw new LinkUnfitError(
    `Cannot plug in interface "${nic.name}" of model ${nic.model}: "${facts.target}" is made for several queues, ` +
      'which only virtio opens; expected model virtio, or a binding without "multiQueue": true',
  )
}

function toDriverSpecs(queues: Queues, needsIommu: boolean, machine: Machine): ElementSpec[] {
  const attributes = {
    ...(typeof queues === 'number' ? { queues: String(queues) } : {}),
    ...(needsIommu ? { iommu: 'on' } : {}),
  }
  if (Object.keys(attributes).length === 0) return []
  // "vhost" requires vhost-net in libvirt. An emulated VM's pod does not have it.
  return [{ name: 'driver', initial: { name: machine.isEmulated ? 'qemu' : 'vhost' }, attributes }]
}
