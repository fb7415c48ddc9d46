// Documents that somebody removed under a running agent: it knows what they said, and writes them again,
// for CHECK, GC and the next agent.
import type { Attachment } from '../../core/attach/attachment.ts'
import type { AgentContext } from '../context.ts'

/** One document's trouble is logged and keeps no other waiting. */
export async function restoreMissing(node: AgentContext): Promise<void> {
  for (const attachment of await node.state.listMissing())
    try {
      await inItsTurn(node, attachment, async () => {
        // What its verb has done meanwhile counts.
        if (node.state.find(attachment) === attachment) await node.state.put(attachment)
      })
      const { containerID, ifname } = attachment
      node.log.warn({ containerID, ifname }, 'a document is gone, it is written again')
    } catch (error) {
      node.log.error({ err: error, attachment }, 'cannot write a document again')
    }
}

async function inItsTurn(
  node: AgentContext,
  attachment: Attachment,
  action: () => Promise<void>,
): Promise<void> {
  await node.turns.attachment(attachment, async () =>
    attachment.kind === 'wire' ? node.turns.wire(attachment.wire, action) : action(),
  )
}
