// What the agent remembers of one ADD: enough to take it back, to check it and to rebuild it.
import { deriveMac } from '../net/address.ts'
import { decodeAddressing, type Addressing } from '../steps/addressing.ts'
import type { CniArgs } from '../cni/env.ts'
import { decodePodRef } from '../cni/env.ts'
import type { WireConfig } from '../cni/config.ts'
import type { BindConfig } from '../cni/bind-config.ts'
import { each, list, number, object, oneOf, optional, text, type Fields } from '../shape.ts'
import { decodeObjectRef, type ObjectRef, type PodOwner } from '../wire/holder.ts'
import type { NicWish } from './launcher.ts'
import { decodeVmNetwork, type VmNetwork } from '../podnetwork/vm-network.ts'
import { isSecondaryPodLink, PRIMARY_POD_LINK, toHostEndName, toFoundTapName } from '../name.ts'
import type { AttachmentId, EndClaim, WireId } from '../wire/wire.ts'

/** A network namespace as a path may lie: which one was meant, so that a reused path is noticed. */
export interface NetnsRef {
  readonly path: string
  /** Inode in nsfs; unique until the next boot. */
  readonly inode: number
  readonly bootId: string
}

interface CommonAttachment extends AttachmentId {
  readonly version: 1
  readonly netns: NetnsRef
  /** The CNI network's name, which GC and CHECK go by. */
  readonly network: string
  /**
   * "adding" until every step is done; what is found so at a start is taken back. "released" once a
   * newer sandbox took the end: it has no claim, and makes none. "leaving" from its DEL on: its devices
   * go, and what is left after the answer is to tell the store.
   */
  readonly phase: 'adding' | 'ready' | 'released' | 'leaving'
}

/** A pod link that is one end of a wire. */
export interface WireAttachment extends CommonAttachment {
  readonly kind: 'wire'
  readonly wire: WireId
  readonly holder: string
  readonly node: string
  readonly mac: string
  readonly mtuBytes: number
  readonly maxFrameBytes: number
  /** The VNI its configuration asks for. */
  readonly vni?: number
  /** What reaches the end is whole, as its configuration asks for. */
  readonly offload?: false
  /** Whether its guest is to be shown the carrier, as its configuration asks for. */
  readonly carrier?: 'vm'
  readonly pod?: string
  /** Made for a migration whose guest has not come yet: whatever becomes of its claim, it takes nothing before. */
  readonly isTarget?: true
  /** Whom Events about this end are told to; none without a cluster. */
  readonly subjects?: readonly ObjectRef[]
  /** What it was given by us: for CHECK, since a veth takes it all along when it goes. */
  readonly addressing?: Addressing
  /** Whoever gave it its addresses goes on asking for them, from within its namespace. */
  readonly isRenewed?: true
  /** The host end, by the key that documents on disk and nodes' surveys have for it. */
  readonly hostDevice: string
}

/** A tap or a macvtap joined to a pod link, for a VM. */
export interface TapAttachment extends CommonAttachment {
  readonly kind: 'tap'
  readonly podLink: string
  /** What QEMU opens. */
  readonly tap: string
  /** What the guest is told. */
  readonly mtuBytes: number
  /** A macvtap in passthru mode on the pod link; without it a tap. */
  readonly attach?: 'macvtap'
  /** The macvtap's ifindex: its character device is /dev/tap and this number. */
  readonly index?: number
  /** Where on the node the container runtime finds that device. */
  readonly devicePath?: string
  /** QEMU opens it with several queues. */
  readonly isMultiQueue?: true
  /** What the pod link is set to where it is a cable's end; another CNI plugin's keeps its MTU. */
  readonly podLinkMtuBytes?: number
  /**
   * The pod's own stack sends nothing out through the pod link: the VM alone speaks there. Without it, one
   * that release 0.2.0 attached to a pod network, which stays as it was.
   */
  readonly isMuted?: true
  /** What the VM is told about the pod link that it takes over; documents and surveys of 0.3.0 call it a lease. */
  readonly lease?: VmNetwork
}

export type Attachment = WireAttachment | TapAttachment

/** What an attachment has from its node. */
export interface NodeFacts {
  readonly name: string
  /** The MTU that ends are told where their configuration names none. */
  readonly mtuBytes: number
}

/** The CNI plugins' own DHCP client (containernetworking/plugins, plugins/ipam/dhcp): takes the link down when a lease ends. */
const RENEWING_IPAM = 'dhcp'

/** What an ADD of type l2wire asks for, as a value; owner is what a cluster knows of its pod. */
export function toWireAttachment(
  args: CniArgs,
  config: WireConfig,
  netns: NetnsRef,
  node: NodeFacts,
  owner?: PodOwner,
): WireAttachment {
  const pod = decodePodRef(args.args)
  const wire = { namespace: pod.namespace, name: config.wire }
  const unowned = pod.name === undefined ? `container/${args.containerID}` : `pod/${pod.name}`
  const holder = config.end ?? owner?.holder ?? unowned
  return {
    version: 1,
    kind: 'wire',
    containerID: args.containerID,
    ifname: args.ifname,
    netns,
    network: config.name,
    phase: 'adding',
    wire,
    holder,
    node: node.name,
    mac: config.requestedMac ?? deriveMac(wire.namespace, wire.name, holder, args.ifname),
    mtuBytes: config.mtuBytes ?? Math.min(node.mtuBytes, config.maxFrameBytes),
    maxFrameBytes: config.maxFrameBytes,
    ...(config.vni === undefined ? {} : { vni: config.vni }),
    ...(config.offload ? {} : { offload: false as const }),
    ...(config.carrier === undefined ? {} : { carrier: config.carrier }),
    ...(config.ipam === RENEWING_IPAM ? { isRenewed: true } : {}),
    ...(pod.name === undefined ? {} : { pod: pod.name }),
    ...(owner === undefined ? {} : { subjects: owner.subjects }),
    hostDevice: toHostEndName(args.containerID, args.ifname),
  }
}

export function toClaim(attachment: WireAttachment, address: string): EndClaim {
  const { containerID, ifname, holder, node, mtuBytes, pod } = attachment
  // Its ADD sets the pod end up.
  return { containerID, ifname, holder, node, address, mtuBytes, pod, isUp: true }
}

/**
 * Whether a pod end is made for a VM, before anybody binds it: by the name that KubeVirt gives a secondary
 * network's pod link, or because the pod is a VM's. The primary one may serve a stack that masquerades.
 */
export function isOfVm({ ifname, subjects = [] }: WireAttachment): boolean {
  if (isSecondaryPodLink(ifname)) return true
  return (
    ifname !== PRIMARY_POD_LINK && subjects.some(({ kind }) => kind === 'VirtualMachineInstance')
  )
}

/** What is found about a pod link. */
export interface TapOwn extends Pick<TapAttachment, 'podLink' | 'mtuBytes'> {
  readonly podLinkMtuBytes: number | undefined
  readonly vmNetwork: VmNetwork | undefined
}

/** A tap as this release makes it. To 0.3.0 a cable's pod link was not mute, and its MTU not worth a note. */
export function upgradeTap(tap: TapAttachment, cable: Attachment | undefined): TapAttachment {
  if (cable?.kind !== 'wire' || tap.podLinkMtuBytes !== undefined) return tap
  return { ...tap, isMuted: true, podLinkMtuBytes: cable.maxFrameBytes }
}

/** What an ADD of type l2wire-bind asks for, once its pod link is found. */
export function toTapAttachment(
  args: CniArgs,
  config: BindConfig,
  netns: NetnsRef,
  { podLink, mtuBytes, podLinkMtuBytes, vmNetwork }: TapOwn,
  wish: NicWish,
): TapAttachment {
  return {
    version: 1,
    kind: 'tap',
    containerID: args.containerID,
    ifname: args.ifname,
    netns,
    network: config.name,
    phase: 'adding',
    podLink,
    tap: toFoundTapName(podLink),
    mtuBytes,
    ...(wish.isMultiQueue ? { isMultiQueue: true } : {}),
    ...(podLinkMtuBytes === undefined ? {} : { podLinkMtuBytes }),
    isMuted: true,
    ...(vmNetwork === undefined ? {} : { lease: vmNetwork }),
  }
}

const COMMON: Fields<CommonAttachment> = {
  version: oneOf(1),
  ...each(text, 'containerID', 'ifname', 'network'),
  netns: object<NetnsRef>({ ...each(text, 'path', 'bootId'), inode: number }),
  phase: oneOf('adding', 'ready', 'released', 'leaving'),
}

const decodeKind = object<Pick<Attachment, 'version' | 'kind'>>({
  version: COMMON.version,
  kind: oneOf('wire', 'tap'),
})

const decodeWire = object<WireAttachment>({
  ...COMMON,
  kind: oneOf('wire'),
  wire: object<WireId>(each(text, 'namespace', 'name')),
  ...each(text, 'holder', 'node', 'mac', 'hostDevice'),
  ...each(number, 'mtuBytes', 'maxFrameBytes'),
  vni: optional(number),
  offload: optional(oneOf(false)),
  carrier: optional(oneOf('vm')),
  pod: optional(text),
  isTarget: optional(oneOf(true)),
  subjects: optional(list(decodeObjectRef)),
  addressing: optional(decodeAddressing),
  isRenewed: optional(oneOf(true)),
})

const decodeTap = object<TapAttachment>({
  ...COMMON,
  kind: oneOf('tap'),
  ...each(text, 'podLink', 'tap'),
  mtuBytes: number,
  attach: optional(oneOf('macvtap')),
  ...each(optional(number), 'index', 'podLinkMtuBytes'),
  devicePath: optional(text),
  ...each(optional(oneOf(true)), 'isMultiQueue', 'isMuted'),
  lease: optional(decodeVmNetwork),
})

/** A document of the state directory. Throws DecodeError for one this version cannot read. */
export function decodeAttachment(value: unknown, path: string): Attachment {
  const { kind } = decodeKind(value, `${path}: `)
  return (kind === 'wire' ? decodeWire : decodeTap)(value, `${path}: `)
}
