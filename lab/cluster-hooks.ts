// The part of virt-launcher that speaks with hook sidecars, built from KubeVirt's own module.
import { join } from 'node:path'

import { ensureGoProduct, runGo, type Say } from './go-build.ts'
import { ROOT } from './manifests.ts'

/** Its go.mod pins KubeVirt's version. */
const MODULE = join(ROOT, 'test/cluster/kubevirt-hooks')

/** The path of the program that main.go describes; builds it where it is not there yet. */
export async function ensureHookDriver(say: Say = () => undefined): Promise<string> {
  const make = async (target: string): Promise<void> => {
    const flags = ['-trimpath', '-buildvcs=false', '-ldflags', '-s -w']
    await runGo(MODULE, ['build', ...flags, '-o', target, '.'])
  }
  return ensureGoProduct(
    {
      module: MODULE,
      name: 'kubevirt-hooks',
      why: "calls our sidecar by KubeVirt's own code",
      make,
      sources: ['main.go', 'define.go'],
    },
    say,
  )
}
