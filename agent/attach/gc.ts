// GC: the runtime says which attachments of a network it still knows; the others of this network and
// type go. CNI SPEC.md 1.1.0, "GC".
import { decodeGcList } from '../../core/cni/gc.ts'
import { mapLimited } from '../../core/limit.ts'
import { toAttachmentKey } from '../../core/wire/wire.ts'
import { isOf, releaseOf } from './detach.ts'
import type { AgentContext } from '../context.ts'

/** Removes all that can be removed; then throws the first of what went wrong. */
export async function collectGarbage(
  node: AgentContext,
  config: Readonly<Record<string, unknown>>,
): Promise<undefined> {
  const { network, type, valid } = decodeGcList(config)
  if (valid === undefined) {
    // Whose list is missing has not said that there are none.
    node.log.warn({ network }, 'a GC without "cni.dev/valid-attachments" collects nothing')
    return
  }
  const attachments = await node.state.list((error) => {
    node.log.error({ err: error }, 'cannot read an attachment, it is left alone')
  })
  const garbage = attachments.filter(
    (one) =>
      isOf(one, { network, type }) && one.phase !== 'adding' && !valid.has(toAttachmentKey(one)),
  )
  const errors: unknown[] = []
  await mapLimited(garbage, async (one) => {
    const { containerID, ifname } = one
    try {
      await node.turns.attachment(one, async () => {
        // An ADD of the same key may have been quicker.
        if ((await node.state.get(one))?.phase === 'adding') return
        node.log.warn({ network, containerID, ifname }, 'the runtime knows it no more: it goes')
        await releaseOf(node, one, { network, type })
      })
    } catch (error) {
      node.log.error({ err: error, containerID, ifname }, 'cannot collect an attachment')
      errors.push(error)
    }
  })
  if (errors.length > 0) throw errors[0]
}
