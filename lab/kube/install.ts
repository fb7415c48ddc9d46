// Installs KubeVirt by its operator, and l2wire by README's commands, into a cluster whose nodes are ready.
import { join } from 'node:path'

import type { Say } from '../go-build.ts'
import { ROOT } from '../manifests.ts'
import type { Admin } from './kubectl.ts'
import { toKubevirtObject } from './kubevirt-object.ts'
import { hasCondition, isUp } from './status.ts'
import { succeeds, waitFor } from './wait.ts'

const KUBEVIRT_MS = 15 * 60_000
const ROLLOUT_MS = 6 * 60_000
const SOON_MS = 60_000
const LOOK_MS = 2_000

/** The manifest of a release, which makes its namespace. */
export async function installKubevirt(
  admin: Admin,
  { version, manifest }: { readonly version: string; readonly manifest: string },
  say: Say,
): Promise<void> {
  const { kubectl } = admin
  await kubectl(['apply', '--server-side', '--force-conflicts', '-f', '-'], { input: manifest })
  await kubectl([
    'wait',
    'crd/kubevirts.kubevirt.io',
    '--for=condition=Established',
    '--timeout=60s',
  ])
  // Keeps everything that was registered since.
  if (!(await succeeds(async () => admin.getObject('kubevirt', 'kubevirt', 'kubevirt')))) {
    const object = toKubevirtObject(version)
    await waitFor(
      'KubeVirt takes its object',
      async () => succeeds(async () => admin.apply(object)),
      {
        timeoutMs: SOON_MS,
      },
    )
  }
  say(`KubeVirt ${version} is being deployed by its operator`)
  let told = ''
  const isAvailable = async (): Promise<boolean> => {
    const now = await countPods(admin)
    if (now !== told) say(`  ${now}`)
    told = now
    return hasCondition(await admin.getObject('kubevirt', 'kubevirt', 'kubevirt'), 'Available')
  }
  await waitFor('KubeVirt is available', isAvailable, { timeoutMs: KUBEVIRT_MS, everyMs: LOOK_MS })
}

async function countPods({ kubectl }: Admin): Promise<string> {
  const lines = (await kubectl(['-n', 'kubevirt', 'get', 'pods', '--no-headers'])).trim()
  const pods = lines === '' ? [] : lines.split('\n')
  const ready = pods.filter((line) => isUp(line.split(/ +/).slice(1)))
  return `${ready.length} of ${pods.length} pods are ready`
}

/** By README's commands. */
export async function installL2wire({ kubectl }: Admin): Promise<void> {
  await kubectl(['apply', '-k', join(ROOT, 'deploy')])
  await kubectl(['-n', 'l2wire', 'rollout', 'status', 'daemonset/l2wire-agent', '--timeout=5m'], {
    timeoutMs: ROLLOUT_MS,
  })
  await kubectl([
    'patch',
    'kubevirt',
    'kubevirt',
    '-n',
    'kubevirt',
    '--type',
    'merge',
    '--patch-file',
    join(ROOT, 'kubevirt-patches/register-binding.yaml'),
  ])
}
