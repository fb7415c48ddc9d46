// Whether a sandbox is still there. A veth dies with its namespace, while a path may vanish, or lead
// to another namespace, with the sandbox living on.
import type { Attachment } from '../core/attach/attachment.ts'
import { observeLinks } from '../kernel/observe/links.ts'
import { isSameNetns } from '../kernel/netns.ts'

export async function isGone(attachment: Attachment): Promise<boolean> {
  // A DEL is the last word about a sandbox, whatever there still is of it.
  if (attachment.phase === 'leaving') return true
  if (attachment.kind === 'wire' && (await observeLinks([attachment.hostDevice])).size > 0)
    return false
  return !(await isSameNetns(attachment.netns))
}
