// Takes l2wire off a node: devices, plugins, what the agent remembers, the nftables table. While
// something is plugged in it refuses, or, forced, takes the cables out first. A pod whose plugin is gone
// can never be unplugged and stays in Terminating: the plugins go last, when the last such pod has gone.
import { rm, rmdir } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'

import { ARRIVALS_TABLE } from '../../core/steps/arrivals.ts'
import { TABLE } from '../../core/steps/guard.ts'
import { CommandError } from '../../core/errors.ts'
import { toMacvtapFolder } from '../../core/attach/macvtap.ts'
import { SOCKET_LINK } from '../../core/cni/protocol.ts'
import { toReleasedFolder } from '../../core/attach/release-note.ts'
import { toLeaseFolder } from '../podnetwork/servers.ts'
import type { Run } from '../../kernel/run.ts'
import { removeDropIns, type DropInFolders } from './drop-ins.ts'
import { removePlugins } from './install.ts'
import { listHostEnds, listOurLinks, listPlugged, renderNames } from './in-use.ts'
import { takeStateLock } from '../lock.ts'

export interface Installation {
  readonly pluginFolder: string
  readonly stateDir: string
  readonly socketPath: string
  readonly dropIns: DropInFolders
}

/** What agents to 0.3.0 were told apart by. */
const OLD_IDENTITY = 'identity'
/** How often a forced uninstall looks whether the last pod has gone. */
const POLL_MS = 1_000

/**
 * Throws, and has changed nothing, while an agent runs on the node, or a pod has an end plugged in and it
 * is not forced. Forced, it takes the cables out and returns when the last of those pods has gone; it
 * may be ended meanwhile and called again.
 */
export async function uninstall(
  run: Run,
  from: Installation,
  isForced: boolean,
  say: (text: string) => void,
): Promise<void> {
  // No agent, so no ADD can slip in between looking and removing.
  const lock = await takeStateLock(from.stateDir, () => undefined)
  const attachments = join(from.stateDir, 'attachments')
  try {
    const { plugged, unreadable } = await listPlugged(attachments)
    const users = [...plugged, ...unreadable, ...(await listHostEnds(run))]
    if (users.length > 0 && !isForced)
      throw new Error(
        `Cannot uninstall: still plugged in on this node: ${renderNames(users)}. ` +
          `Bring the agent back, delete the pods and VMs that hold them, then uninstall again; ` +
          `or take their cables out with --force`,
      )
    if (users.length > 0) say(`warning: these lose their cable now: ${renderNames(users)}`)
    await removeFromKernel(run)
    await rm(from.socketPath, { force: true })
    await removeDropIns(from.dropIns)
    await waitForPods(attachments, from.pluginFolder, say)
    await removePlugins(from.pluginFolder)
    for (const folder of [
      toReleasedFolder(from.socketPath),
      toMacvtapFolder(from.socketPath),
      toLeaseFolder(from.stateDir),
    ])
      await rm(folder, { recursive: true, force: true })
    await removeEmpty(dirname(from.socketPath))
    await rm(attachments, { recursive: true, force: true })
    for (const file of ['lock', OLD_IDENTITY, SOCKET_LINK])
      await rm(join(from.stateDir, file), { force: true })
    await removeEmpty(from.stateDir)
  } finally {
    lock.release()
  }
}

// Taps are their pods' own, and may lead to another CNI plugin's link: they stay.
async function removeFromKernel(run: Run): Promise<void> {
  for (const { ifname } of await listOurLinks(run)) await removeLink(run, ifname)
  // Deleting what is not there fails; adding what is there does not.
  const tables = [TABLE, ARRIVALS_TABLE].flatMap((one) => [
    `add table ${one}`,
    `delete table ${one}`,
  ])
  await run(['nft', '-f', '-'], { input: `${tables.join('\n')}\n` })
}

async function removeLink(run: Run, dev: string): Promise<void> {
  try {
    await run(['ip', 'link', 'delete', 'dev', dev])
  } catch (error) {
    // Its pod has just gone, and took it along.
    if (error instanceof CommandError && error.stderr.includes('Cannot find device')) return
    throw error
  }
}

// A pod's DEL runs the plugin, which answers yes without an agent; runtimes remove a sandbox's network
// namespace only after its DEL.
async function waitForPods(
  attachments: string,
  pluginFolder: string,
  say: (text: string) => void,
): Promise<void> {
  let said = ''
  for (;;) {
    const { plugged } = await listPlugged(attachments)
    if (plugged.length === 0) return
    const text =
      `the plugins stay in ${pluginFolder}, so that these can be deleted, ` +
      `and go with the last of them: ${renderNames(plugged)}`
    if (text !== said) say(text)
    said = text
    await sleep(POLL_MS)
  }
}

/** A folder that others use, or that is a mount in this container, stays. */
async function removeEmpty(folder: string): Promise<void> {
  try {
    await rmdir(folder)
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code ?? ''
    if (!['ENOENT', 'ENOTEMPTY', 'EBUSY', 'EROFS', 'EACCES'].includes(code)) throw error
  }
}
