// What of a node is plugged in, without an agent to ask: by the documents it left, and by the kernel.
import type { Attachment } from '../../core/attach/attachment.ts'
import { parseToolList } from '../../core/observe/tool-json.ts'
import { toWireKey } from '../../core/wire/wire.ts'
import type { Run } from '../../kernel/run.ts'
import { isGone } from '../liveness.ts'
import { newAttachmentState } from '../state.ts'

/** Who is named before the rest is counted. */
const NAMED_MAX = 10

export interface Plugged {
  /** Sandboxes that live and whose DEL is yet to come, in words. */
  readonly plugged: readonly string[]
  /** Documents that say nothing any more, in words. */
  readonly unreadable: readonly string[]
}

export async function listPlugged(folder: string): Promise<Plugged> {
  const unreadable: string[] = []
  const attachments = await newAttachmentState(folder).list((error) => {
    unreadable.push(`an attachment that cannot be read: ${String(error)}`)
  })
  const plugged: string[] = []
  for (const attachment of attachments)
    if (!(await isGone(attachment))) plugged.push(renderUser(attachment))
  return { plugged, unreadable }
}

function renderUser(attachment: Attachment): string {
  const where = `"${attachment.ifname}" in ${attachment.netns.path}`
  if (attachment.kind === 'tap') return `${where}, tap "${attachment.tap}"`
  return `${where}, ${attachment.holder} on wire "${toWireKey(attachment.wire)}"`
}

/** Host ends, in words: one whose document is lost is a cable all the same. */
export async function listHostEnds(run: Run): Promise<readonly string[]> {
  const links = await listOurLinks(run)
  return links
    .filter(({ ifname }) => ifname.startsWith('lw'))
    .map(({ ifname, ifalias }) => `host end "${ifname}", ${ifalias}`)
}

interface OurLink {
  readonly ifname: string
  readonly ifalias: string
}

/** Host ends and tunnels. A foreign device may have such a name, and has not our alias. */
export async function listOurLinks(run: Run): Promise<readonly OurLink[]> {
  const said = await run(['ip', '-j', 'link', 'show'])
  const links = parseToolList(said, 'ip -j link') as readonly Partial<OurLink>[]
  return links.flatMap(({ ifname = '', ifalias = '' }) =>
    /^l[wx]/.test(ifname) && ifalias.startsWith('l2wire ') ? [{ ifname, ifalias }] : [],
  )
}

/** Each once, sorted, the first few by name. */
export function renderNames(users: readonly string[]): string {
  const all = [...new Set(users)].sort()
  const rest = all.length - NAMED_MAX
  return `${all.slice(0, NAMED_MAX).join('; ')}${rest > 0 ? `; and ${rest} more` : ''}`
}
