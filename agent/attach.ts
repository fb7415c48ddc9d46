// One attachment's way in: intent on disk, the devices, done on disk. What fails is taken back, and
// an agent that is killed in between finds the intent at its next start.
import type { Attachment } from '../core/attachment.ts'
import { CNI_CODE, CniError } from '../core/errors.ts'
import { explainAddFailure } from './explain.ts'
import type { Node } from './node.ts'

export interface Attaching<T extends Attachment> {
  readonly attachment: T
  /** The device whose name the request is about, for the words of an error. */
  readonly device: string
  readonly make: () => Promise<void>
  /** Idempotent; takes whatever of it there is. */
  readonly takeBack: () => Promise<void>
}

/** Runs under the attachment's own queue. Throws CniError, with nothing half-made left behind. */
export async function attach<T extends Attachment>(
  node: Node,
  { attachment, device, make, takeBack }: Attaching<T>,
): Promise<void> {
  await refuseSecond(node, attachment)
  await node.state.put(attachment)
  try {
    await make()
    await node.state.put({ ...attachment, phase: 'ready' })
  } catch (error) {
    try {
      await takeBack()
      await node.state.del(attachment)
    } catch (failure) {
      // The intent stays on disk in phase "adding": a DEL or the next start takes it back.
      const { containerID, ifname } = attachment
      node.log.error({ err: failure, containerID, ifname }, 'cannot take a failed ADD back yet')
    }
    throw await explainAddFailure(node, attachment.netns.path, device, error)
  }
}

async function refuseSecond(node: Node, { containerID, ifname }: Attachment): Promise<void> {
  if ((await node.state.get({ containerID, ifname })) === undefined) return
  throw new CniError(
    CNI_CODE.IFNAME_TAKEN,
    `Cannot add "${ifname}": container "${containerID}" has this interface already, expected a new name or a DEL first`,
  )
}
