// The machine's cgroup hierarchies, old (one per controller) and new (one for all), from its table of mounts,
// and how a node mounts them again in its own cgroup namespace.

export interface Hierarchy {
  readonly mountpoint: string
  readonly version: 1 | 2
  /** The option of its mount on a node: controllers, or the name of a hierarchy without any. */
  readonly options: string
}

export const CGROUP_FOLDER = '/sys/fs/cgroup'

/**
 * The hierarchies for containers, from /proc/self/mounts. If the old ones have the controllers, the new one
 * beside them is omitted, as a runtime does.
 */
export function parseHierarchies(mounts: string): readonly Hierarchy[] {
  const all = mounts.split('\n').flatMap((line): readonly Hierarchy[] => {
    const [, mountpoint = '', type, options = ''] = line.split(' ')
    if (mountpoint !== CGROUP_FOLDER && !mountpoint.startsWith(`${CGROUP_FOLDER}/`)) return []
    if (type === 'cgroup2') return [{ mountpoint, version: 2, options: '' }]
    if (type === 'cgroup') return [{ mountpoint, version: 1, options: pickControllers(options) }]
    return []
  })
  const old = all.filter(({ version }) => version === 1)
  return old.some(({ options }) => !options.startsWith('name='))
    ? old
    : all.filter(({ version }) => version === 2)
}

// The options also contain mount flags, which do not matter, and words that name no controller.
const FLAGS =
  /^(rw|ro|no(suid|dev|exec|atime|diratime|prefix)|relatime|sync|xattr|clone_children|release_agent=.*|seclabel)$/

function pickControllers(options: string): string {
  return options
    .split(',')
    .filter((option) => !FLAGS.test(option))
    .join(',')
}

/** In mount's form: FOLDER TYPE OPTIONS. A hierarchy without controllers has its name there. */
export function toMountWords({ mountpoint, version, options }: Hierarchy): string {
  if (version === 2) return `${mountpoint} cgroup2 rw`
  return `${mountpoint} cgroup ${options.startsWith('name=') ? 'none,' : ''}${options}`
}
