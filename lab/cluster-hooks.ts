// Parts of virt-launcher, built from KubeVirt's own module: the client of hook sidecars, and the DHCP servers
// of its own bindings.
import { join } from 'node:path'

import { ensureGoProduct, runGo, type Say } from './go-build.ts'
import { ROOT } from './manifests.ts'

interface Part {
  /** Of its folder, whose go.mod pins KubeVirt's version, and of the program. */
  readonly name: string
  readonly why: string
  readonly sources: readonly string[]
}

const HOOKS: Part = {
  name: 'kubevirt-hooks',
  why: "calls our sidecar by KubeVirt's own code",
  sources: ['main.go', 'define.go'],
}

const DHCP: Part = {
  name: 'kubevirt-dhcp',
  why: "answers a masquerade NIC by KubeVirt's own code",
  sources: ['main.go'],
}

async function ensurePart({ name, why, sources }: Part, say: Say): Promise<string> {
  const module = join(ROOT, 'test/cluster', name)
  const make = async (target: string): Promise<void> => {
    const flags = ['-trimpath', '-buildvcs=false', '-ldflags', '-s -w']
    await runGo(module, ['build', ...flags, '-o', target, '.'])
  }
  return ensureGoProduct({ module, name, why, make, sources }, say)
}

/** The path of the program that its main.go describes. Builds it if needed. */
export async function ensureHookDriver(say: Say = () => undefined): Promise<string> {
  return ensurePart(HOOKS, say)
}

/** As ensureHookDriver. */
export async function ensureDhcpServers(say: Say = () => undefined): Promise<string> {
  return ensurePart(DHCP, say)
}
