// Stand-ins for the images that the examples name, because no registry can be reached. Containers get Debian's
// packages of the same programs, VMs a Debian disk. test/examples.test.ts checks that none is missing.
import { run } from '../../kernel/run.ts'
import { listUserPackages } from '../cloud-init.ts'
import { toVmi } from '../domain-vmi.ts'
import { byName, listExamples, readExample } from '../example.ts'
import type { Say } from '../go-build.ts'
import { ensureImage } from './archive.ts'
import type { Image } from './docker-archive.ts'
import type { Entry } from './entries.ts'
import { ensureSystemDisk } from './system-disk.ts'

/** Programs of containers, by their names in the tools' image. */
export const CONTAINER_IMAGES = [
  'docker.io/library/debian:12-slim',
  'docker.io/nicolaka/netshoot:v0.13',
  'docker.io/osixia/keepalived:2.0.20',
  'ghcr.io/lldpd/lldpd:1.0.20',
  'quay.io/frrouting/frr:10.2.1',
] as const

/** The second one is no Fedora. It exists only to boot. */
export const DISK_IMAGES = [
  'quay.io/containerdisks/debian:12',
  'quay.io/containerdisks/fedora:42',
] as const

const SYSTEM_IMAGE = 'l2w.lab/system:1'

/** The user as which KubeVirt runs QEMU. */
const QEMU = 107

/** Its guests install the examples' packages with cloud-init. */
export async function ensureSystemImage(say: Say): Promise<Image> {
  const disk = await ensureSystemDisk(await listPackages(), say)
  const entries: readonly Entry[] = [
    { path: 'disk/disk.qcow2', of: { file: disk }, mode: 0o440, owner: QEMU },
  ]
  // KubeVirt starts its own program in it.
  const start = { entrypoint: ['/none'], user: `${QEMU}:${QEMU}` }
  const image = await ensureImage({ name: SYSTEM_IMAGE, bases: [], entries, start }, say)
  return { ...image, otherNames: DISK_IMAGES }
}

async function listPackages(): Promise<readonly string[]> {
  const packages = new Set<string>()
  for (const example of await listExamples())
    for (const vm of Object.values(byName(await readExample(example), 'VirtualMachine')))
      for (const name of listUserPackages(toVmi(vm))) packages.add(name)
  return [...packages]
}

/** Folders that systemd creates for Debian's daemons, in a root of their packages. */
export async function listDaemonFolders(layer: string): Promise<readonly Entry[]> {
  const passwd = await run(['tar', '--occurrence=1', '-xOf', layer, './etc/passwd'], {
    timeoutMs: 60_000,
  })
  const frr = /^frr:x:(\d+):/m.exec(passwd)?.[1]
  if (frr === undefined) throw new Error(`No user "frr" in "${layer}", expected Debian's FRR there`)
  return [
    { path: 'run/frr', of: 'folder', owner: Number(frr) },
    { path: 'run/lldpd', of: 'folder' },
  ]
}
