// Takes l2wire off a node: plugins, what the agent remembers, the nftables table. Not while anything is
// plugged in: a pod whose plugin is gone can never be unplugged, and stays in Terminating.
import { rm } from 'node:fs/promises'
import { join } from 'node:path'

import { TABLE } from '../core/argv.ts'
import type { Attachment } from '../core/attachment.ts'
import { toWireKey } from '../core/wire.ts'
import type { Run } from '../kernel/run.ts'
import { removePlugins } from './install.ts'
import { isGone } from './liveness.ts'
import { takeStateLock } from './state-lock.ts'
import { newAttachmentState } from './state.ts'

export interface Installation {
  readonly pluginFolder: string
  readonly stateDir: string
  readonly socketPath: string
}

/** Who is named before the rest is counted. */
const NAMED_MAX = 10

/** Throws, and has changed nothing, while an agent runs on the node or a pod has an end plugged in. */
export async function uninstall(run: Run, from: Installation): Promise<void> {
  // No agent, so no ADD can slip in between looking and removing.
  const lock = await takeStateLock(from.stateDir, () => undefined)
  try {
    const attachments = join(from.stateDir, 'attachments')
    const users = [...(await listUsers(attachments)), ...(await listHostEnds(run))]
    if (users.length > 0) throw new Error(renderRefusal([...new Set(users)].sort()))
    await removePlugins(from.pluginFolder)
    for (const { ifname } of await listOurLinks(run, 'lx'))
      await run(['ip', 'link', 'delete', 'dev', ifname])
    // Deleting what is not there fails; adding what is there does not.
    await run(['nft', '-f', '-'], { input: `add table ${TABLE}\ndelete table ${TABLE}\n` })
    await rm(from.socketPath, { force: true })
    await rm(attachments, { recursive: true, force: true })
    await rm(join(from.stateDir, 'lock'), { force: true })
  } finally {
    lock.release()
  }
}

async function listUsers(folder: string): Promise<readonly string[]> {
  const unreadable: string[] = []
  const attachments = await newAttachmentState(folder).list((error) => {
    unreadable.push(`an attachment that cannot be read: ${String(error)}`)
  })
  const users: string[] = []
  for (const attachment of attachments)
    if (!(await isGone(attachment))) users.push(renderUser(attachment))
  return [...users, ...unreadable]
}

function renderUser(attachment: Attachment): string {
  const where = `"${attachment.ifname}" in ${attachment.netns.path}`
  if (attachment.kind === 'tap') return `${where}, tap "${attachment.tap}"`
  return `${where}, ${attachment.holder} on wire "${toWireKey(attachment.wire)}"`
}

// A host end whose document is lost is a cable all the same.
async function listHostEnds(run: Run): Promise<readonly string[]> {
  const links = await listOurLinks(run, 'lw')
  return links.map(({ ifname, ifalias }) => `host end "${ifname}", ${ifalias}`)
}

interface OurLink {
  readonly ifname: string
  readonly ifalias: string
}

async function listOurLinks(run: Run, prefix: 'lw' | 'lx'): Promise<readonly OurLink[]> {
  const links = JSON.parse(await run(['ip', '-j', 'link', 'show'])) as readonly Partial<OurLink>[]
  return links.flatMap(({ ifname = '', ifalias = '' }) =>
    ifname.startsWith(prefix) && ifalias.startsWith('l2wire ') ? [{ ifname, ifalias }] : [],
  )
}

function renderRefusal(users: readonly string[]): string {
  const named = users.slice(0, NAMED_MAX)
  const rest = users.length - named.length
  return (
    `Cannot uninstall: still plugged in on this node: ${named.join('; ')}` +
    `${rest > 0 ? `; and ${rest} more` : ''}. ` +
    `Bring the agent back, delete the pods and VMs that hold them, then uninstall again`
  )
}
