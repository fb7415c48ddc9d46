// What one NIC should look like in the domain: VMI and pod links in, wanted elements out.
import { LinkMissingError, LinkUnfitError } from '../errors.ts'
import { PRIMARY_POD_LINK, toTapName } from '../name.ts'
import { decodeMac } from './address.ts'
import type { ElementSpec } from './splice.ts'
import type { Vmi, VmiNic } from './vmi.ts'

/** What the kernel says about one link in the pod. */
export interface LinkFacts {
  readonly mtuBytes: number
  readonly address: string
  /** Whether it is a tap made for several queues; undefined when it is not a tap. */
  readonly isMultiQueue: boolean | undefined
  /** The pod link that the agent joined it to, where that has said so. */
  readonly joined?: string
}

/** The links of the pod that may belong to our NICs, by name. */
export type PodLinks = ReadonlyMap<string, LinkFacts>

/** What the pod has made ready for one NIC. */
export interface NicFacts {
  readonly podLink: string
  readonly podLinkAddress: string
  /** What QEMU opens: the tap where there is one, else the pod link itself. */
  readonly target: string
  readonly mtuBytes: number
  readonly isMultiQueue: boolean | undefined
}

/** What the domain document itself says about the machine. */
export interface Machine {
  /** libvirt's name: "x86_64", "aarch64", "s390x". */
  readonly architecture: string | undefined
  /** QEMU translates the guest's code; the pod has no /dev/vhost-net then. */
  readonly isEmulated: boolean
}

/** A number to write, "none" to write none, "keep" to leave what is there. */
export type Queues = number | 'none' | 'keep'

export interface NicPlan {
  readonly alias: string
  /** Elements that must be there with these attributes; what else they have stays. */
  readonly elements: readonly ElementSpec[]
  readonly queues: Queues
  /** Elements to be taken out when they have exactly this attribute. */
  readonly unwanted: readonly ElementSpec[]
}

/** KubeVirt's cap, which is the kernel's: 256 queues per tap (MAX_TAP_QUEUES). */
const MAX_QUEUES = 256

/** Names of all links whose facts a NIC's plan may need. */
export function toLinkNames(nic: VmiNic): string[] {
  return nic.podLinks.flatMap((podLink) => [podLink, toTap(nic, podLink)])
}

/** Picks the NIC's links out of the pod's. Throws LinkMissingError when the pod link is not there. */
export function getNicFacts(nic: VmiNic, links: PodLinks): NicFacts {
  // Which link is the primary the agent decides, by the pod's routes; a tap that says nothing is of an older one.
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

/** current is how many queues the domain gives the NIC so far. */
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
  // ROMs are a matter of PCI: s390x has none. Under memory encryption KubeVirt switches them off always.
  const wantsNoRom = !isS390x && (nic.bootOrder === undefined || vmi.needsIommu)
  const unwanted: ElementSpec[] = []
  // The VMI's state is KubeVirt's authority: it would set a link to it again at its next sync.
  if (!nic.isDown) unwanted.push({ name: 'link', attributes: { state: 'down' } })
  // A NIC that is to boot the guest needs its ROM.
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

/** libvirt lets a user name a device when the name begins with "ua-"; KubeVirt puts the network's behind it. */
export function toAlias(name: string): string {
  return `ua-${name}`
}

function toTap(nic: VmiNic, podLink: string): string {
  return toTapName(nic.isPrimary ? PRIMARY_POD_LINK : podLink)
}

/** The VMI's word, else the pod link's. */
export function toMac(nic: VmiNic, facts: NicFacts): string {
  return nic.mac ?? decodeMac(facts.podLinkAddress, `address of link ${facts.podLink}`)
}

// KubeVirt v1.9: converter/arch TransitionalModelType. The two named models are PCI devices, which
// s390x does not have.
function toModelType(vmi: Vmi, nic: VmiNic, isS390x: boolean): string {
  if (nic.model !== 'virtio' || isS390x) return nic.model
  return vmi.useVirtioTransitional ? 'virtio-transitional' : 'virtio-non-transitional'
}

// The tap decides, not the VMI: the kernel answers EINVAL when a tap made for several queues is
// opened with one, and when one made for a single queue is opened with several. libvirt asks for
// several only when "queues" is more than 1.
// Several that are there already stay: a VM that migrates must find its NIC as it was.
function planQueues(vmi: Vmi, nic: VmiNic, facts: NicFacts, current: number): Queues {
  if (facts.isMultiQueue === false) return 'none'
  const count = Math.min(nic.runningQueues ?? vmi.vcpus, MAX_QUEUES)
  if (facts.isMultiQueue === true)
    return current > 1 ? Math.min(current, MAX_QUEUES) : Math.max(count, 2)
  return vmi.networkInterfaceMultiqueue && current === 1 ? count : 'keep'
}

// For models other than virtio libvirt opens one queue, whatever the domain says.
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
  // "vhost" makes vhost-net a must for libvirt. An emulated VM's pod does not have it.
  return [{ name: 'driver', initial: { name: machine.isEmulated ? 'qemu' : 'vhost' }, attributes }]
}
