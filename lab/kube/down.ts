// Removes the cluster of this checkout, whatever parts of it exist: "make cluster-down".
import { run } from '../../kernel/run.ts'
import { removeCgroup } from './cgroups.ts'
import { CGROUP, readState, STATE } from './state.ts'
import { putBackSysctls } from './sysctls.ts'
import { listClusterTraces, listMountpoints } from './traces.ts'

const REMOVE_MS = 5 * 60_000

/** Throws if something is left. */
async function takeDown(): Promise<void> {
  // All its processes are in there. Namespaces, devices and mounts end with their last process.
  await removeCgroup(CGROUP)
  for (const mountpoint of await listMountpoints()) await run(['umount', '--lazy', mountpoint])
  const state = await readState().catch(() => undefined)
  await putBackSysctls(state?.sysctls ?? {})
  // A mount that somebody has added since is not ours to delete.
  await run(['rm', '-rf', '--one-file-system', STATE], { timeoutMs: REMOVE_MS })
  const traces = await listClusterTraces()
  if (traces.length > 0)
    throw new Error(`The cluster left these traces, expected none:\n  ${traces.join('\n  ')}`)
}

const before = await listClusterTraces()
if (before.length === 0) console.log('No cluster is here.')
else {
  await takeDown()
  console.log('The cluster is gone. What it was built from is kept for the next one.')
}
