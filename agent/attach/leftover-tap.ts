// A tap that an agent made for a sandbox and has forgotten: its state directory was lost, say, while the
// sandbox lived on. It is in the way of the next ADD, and nobody else's.
import type { TapAttachment } from '../../core/attach/attachment.ts'
import { toServerNames } from '../../core/name.ts'
import { planUnserve } from '../../core/podnetwork/plan.ts'
import { isOurTap, planUntap } from '../../core/attach/tap.ts'
import type { ObservedLink } from '../../core/observe/links.ts'
import { applyRemoval } from '../../kernel/apply.ts'
import type { AgentContext } from '../context.ts'

/** Takes it away, and returns the links that are left. Runs in the sandbox's turn. Throws CommandError. */
export async function removeLeftovers(
  node: AgentContext,
  attachment: TapAttachment,
  links: readonly ObservedLink[],
): Promise<readonly ObservedLink[]> {
  const { tap, netns, podLink } = attachment
  const isTheir = node.state
    .listAll()
    .some((one) => one.kind === 'tap' && one.tap === tap && one.netns.inode === netns.inode)
  if (isTheir || !links.some((link) => link.name === tap && isOurTap(link))) return links
  node.log.warn({ tap, podLink, netns: netns.path }, 'a tap that nobody remembers is taken away')
  const steps = [...planUntap(attachment), ...planUnserve(attachment)]
  await applyRemoval(node.run, node.classifier, steps)
  const { server, peer } = toServerNames(tap)
  return links.filter(({ name }) => ![tap, server, peer].includes(name))
}
