// What a cluster keeps beside our own objects and our plugins need: KubeVirt's bindings, VMs that use them, networks, pods
// that ask for them.

/** A binding as a KubeVirt object registers it. */
export interface Binding {
  readonly name: string
  /** "l2wire/l2wire-bind", or a name in the namespace of each VM; empty without one. */
  readonly network: string
  /** Empty without a sidecar. */
  readonly sidecarImage: string
}

/** A NetworkAttachmentDefinition, and the types of the plugins that it names. */
export interface NetworkDefinition {
  readonly namespace: string
  readonly name: string
  readonly types: readonly string[]
}

/** A VM's NIC by a binding that is named as ours are. */
export interface BoundNic {
  /** "lab/r1". */
  readonly vm: string
  readonly nic: string
  readonly binding: string
}

/** A pod that is to have networks of Multus. */
export interface NetworkPod {
  readonly namespace: string
  readonly name: string
  readonly node: string
  readonly isRunning: boolean
  /** The annotations k8s.v1.cni.cncf.io/networks and network-status as they stand there. */
  readonly networks: string
  readonly networkStatus: string
}

/** What the API keeps beside our own objects; undefined where it could not be read. */
export interface AroundFacts {
  /** Empty without KubeVirt. */
  readonly bindings: readonly Binding[] | undefined
  readonly boundNics: readonly BoundNic[]
  readonly networks: readonly NetworkDefinition[] | undefined
  /** Of the namespaces that have networks of ours. */
  readonly pods: readonly NetworkPod[]
}
