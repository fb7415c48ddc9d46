// What the agent remembers of one ADD: enough to take it back, to check it and to rebuild it.
import { deriveMac } from './address.ts'
import type { Addressing } from './addressing.ts'
import type { CniArgs } from './cni/env.ts'
import { decodePodRef } from './cni/env.ts'
import type { WireConfig } from './cni/config.ts'
import type { BindConfig } from './cni/bind-config.ts'
import { isRecord } from './record.ts'
import { DecodeError } from './errors.ts'
import type { ObjectRef, PodOwner } from './holder.ts'
import type { NicWish } from './launcher.ts'
import type { Lease } from './lease.ts'
import { toHostDeviceName, toFoundTapName } from './name.ts'
import type { AttachmentId, EndClaim, WireId } from './wire.ts'

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
  /** Whether its guest is to be shown the carrier, as its configuration asks for. */
  readonly carrier?: 'vm'
  readonly pod?: string
  /** Whom Events about this end are told to; none without a cluster. */
  readonly subjects?: readonly ObjectRef[]
  /** What it was given by us: for CHECK, since a veth takes it all along when it goes. */
  readonly addressing?: Addressing
  /** Whoever gave it its addresses goes on asking for them, from within its namespace. */
  readonly isRenewed?: true
  /** The veth end in the node's namespace. */
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
  /** The pod's own stack sends nothing out through the pod link: the VM alone speaks there. */
  readonly isMuted?: true
  /** What the VM is told about the pod link that it takes over. */
  readonly lease?: Lease
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
    ...(config.carrier === undefined ? {} : { carrier: config.carrier }),
    ...(config.ipam === RENEWING_IPAM ? { isRenewed: true } : {}),
    ...(pod.name === undefined ? {} : { pod: pod.name }),
    ...(owner === undefined ? {} : { subjects: owner.subjects }),
    hostDevice: toHostDeviceName(args.containerID, args.ifname),
  }
}

export function toClaim(attachment: WireAttachment, address: string): EndClaim {
  const { containerID, ifname, holder, node, mtuBytes, pod } = attachment
  // Its ADD sets the pod end up.
  return { containerID, ifname, holder, node, address, mtuBytes, pod, isUp: true }
}

/** What is found about a pod link. */
export interface TapOwn extends Pick<TapAttachment, 'podLink' | 'mtuBytes'> {
  readonly isMuted: boolean
  readonly lease: Lease | undefined
}

/** What an ADD of type l2wire-bind asks for, once its pod link is found. */
export function toTapAttachment(
  args: CniArgs,
  config: BindConfig,
  netns: NetnsRef,
  { podLink, mtuBytes, isMuted, lease }: TapOwn,
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
    ...(isMuted ? { isMuted: true } : {}),
    ...(lease === undefined ? {} : { lease }),
  }
}

/** A document of the state directory. Throws DecodeError for one this version cannot read. */
export function decodeAttachment(value: unknown, path: string): Attachment {
  if (!isRecord(value)) throw new DecodeError(path, value, 'a JSON object')
  if (value['version'] !== 1) throw new DecodeError(`${path}: version`, value['version'], '1')
  const { kind, netns } = value
  if (kind !== 'wire' && kind !== 'tap')
    throw new DecodeError(`${path}: kind`, kind, 'one of wire, tap')
  const { carrier } = value
  if (carrier !== undefined && carrier !== 'vm')
    throw new DecodeError(`${path}: carrier`, carrier, '"vm"')
  if (!isRecord(netns)) throw new DecodeError(`${path}: netns`, netns, 'a network namespace')
  const isWire = kind === 'wire'
  const wire = isWire ? value['wire'] : undefined
  if (isWire && !isRecord(wire)) throw new DecodeError(`${path}: wire`, wire, 'a wire')
  const check = (
    owner: Readonly<Record<string, unknown>>,
    type: string,
    keys: readonly string[],
  ): void => {
    for (const key of keys)
      if (typeof owner[key] !== type)
        throw new DecodeError(`${path}: ${key}`, owner[key], `a ${type}`)
  }
  check(value, 'string', ['containerID', 'ifname', 'network', 'phase'])
  check(value, 'string', isWire ? ['holder', 'node', 'mac', 'hostDevice'] : ['podLink', 'tap'])
  check(value, 'number', isWire ? ['mtuBytes', 'maxFrameBytes'] : ['mtuBytes'])
  check(netns, 'string', ['path', 'bootId'])
  check(netns, 'number', ['inode'])
  if (isRecord(wire)) check(wire, 'string', ['namespace', 'name'])
  return value as unknown as Attachment
}
