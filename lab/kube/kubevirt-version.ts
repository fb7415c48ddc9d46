// The parts of a KubeVirt version: its programs, the modules that replace those that the module proxy does not
// have, and the values that are linked into the programs.
import { DecodeError } from '../../core/errors.ts'

/** Builds from modules of the proxy alone. */
export const DEFAULT_KUBEVIRT = '1.7.0'

/** The version that a user asks for: "KUBEVIRT=1.9.0". */
export function readKubevirtVersion(env: NodeJS.ProcessEnv = process.env): string {
  return env['KUBEVIRT'] ?? DEFAULT_KUBEVIRT
}

interface Part {
  /** The first minor version with it. */
  readonly since?: number
}

interface Program extends Part {
  readonly name: string
  /** Of its main package, in the module. */
  readonly folder: string
}

interface Replace {
  readonly path: string
  /** A module at a version, or a folder as seen from the module's. */
  readonly by: string
}

/** Images that the operator deploys, and their contents. */
const PROGRAMS: readonly Program[] = [
  ...[
    'virt-operator',
    'virt-api',
    'virt-controller',
    'virt-handler',
    'virt-chroot',
    'virt-launcher',
    'virt-launcher-monitor',
    'virt-freezer',
    'virt-probe',
    'virt-tail',
    'virt-exportproxy',
    'virtctl',
  ].map((name) => ({ name, folder: `cmd/${name}` })),
  // The operator's Deployment uses this name, which differs from its folder's.
  {
    name: 'virt-synchronization-controller',
    folder: 'cmd/synchronization-controller',
    since: 6,
  },
  { name: 'libvirt-hook-client', folder: 'cmd/virt-launcher/libvirt-hook-client', since: 8 },
  // Writes the manifest of a release.
  { name: 'manifest-templator', folder: 'tools/manifest-templator' },
]

/** Keeps the socket of a container disk open; the only program that is C. */
export const CONTAINER_DISK = {
  name: 'container-disk',
  source: 'cmd/container-disk-v2alpha/main.c',
} as const

/** Beside the module's folder: stand-ins of ours. */
export const STUBS = 'stubs'

/** Modules in staging/ of a release's own repository, which its module lacks. */
const STAGED = ['kubevirt.io/api', 'kubevirt.io/client-go'] as const

/** Modules that the proxy does not have: VM templates, and the library that reads disks for backups. */
const STUBBED: readonly (Part & { readonly path: string })[] = [
  { path: 'kubevirt.io/virt-template-api', since: 8 },
  { path: 'kubevirt.io/virt-template-client-go', since: 8 },
  { path: 'kubevirt.io/virt-template-engine', since: 8 },
  { path: 'libguestfs.org/libnbd', since: 8 },
]

/** The minor version of "1.7.0". Throws DecodeError. */
function getMinor(version: string): number {
  const minor = /^1\.(\d+)\.\d+$/.exec(version)?.[1]
  if (minor === undefined)
    throw new DecodeError('KUBEVIRT', version, `a version such as ${DEFAULT_KUBEVIRT}`)
  return Number(minor)
}

/** The first minor version with Plugins. */
const PLUGINS_MINOR = 9

/** Throws DecodeError when it is no version. */
export function hasPlugins(version: string): boolean {
  return getMinor(version) >= PLUGINS_MINOR
}

function isIn(version: string): (part: Part) => boolean {
  const minor = getMinor(version)
  return ({ since = 0 }) => minor >= since
}

/** Throws DecodeError when it is no version. */
export function listPrograms(version: string): readonly Program[] {
  return PROGRAMS.filter(isIn(version))
}

/** The modules that have a stand-in. Throws DecodeError when it is no version. */
export function listStubs(version: string): readonly string[] {
  return STUBBED.filter(isIn(version)).map(({ path }) => path)
}

/** Throws DecodeError when it is no version. */
export function listReplaces(version: string): readonly Replace[] {
  return [
    ...STAGED.map((path) => ({ path, by: `${path}@v${version}` })),
    ...listStubs(version).map((path) => ({ path, by: `../${STUBS}/${path}` })),
  ]
}

export interface Release {
  readonly version: string
  /** Undefined if the proxy does not tell. */
  readonly commit: string | undefined
  readonly date: string
}

/** Without symbols and debug data, with the version as a release has it. */
export function toLinkFlags({ version, commit, date }: Release): string {
  const fields = {
    gitVersion: `v${version}`,
    gitCommit: commit,
    gitTreeState: 'clean',
    buildDate: date,
  }
  const stamps = Object.entries(fields)
    .filter(([, value]) => value !== undefined)
    .map(([field, value]) => `-X kubevirt.io/client-go/version.${field}=${value}`)
  return ['-s', '-w', ...stamps].join(' ')
}
