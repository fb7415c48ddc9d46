// The names under which kubevirt-patches/ registers this project with KubeVirt.

/** A VM may use several of them. Each has a hook sidecar of its own; a Plugin's hook serves all. */
export const OUR_BINDINGS = ['l2wire', 'l2wire-macvtap'] as const
