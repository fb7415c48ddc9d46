// One attachment's way in: intent on disk, the devices, done on disk. What fails is taken back, and
// an agent that is killed in between finds the intent at its next start.
import type { Attachment } from '../../core/attach/attachment.ts'
import { CNI_CODE, CniError } from '../../core/errors.ts'
import { explainAddFailure } from './explain.ts'
import { toRefusal, type Notice } from '../../core/wire/notice.ts'
import type { AgentContext } from '../context.ts'

export interface Attaching<T extends Attachment> {
  readonly attachment: T
  /** The device whose name the request is about, for the words of an error. */
  readonly device: string
  /** Takes the turn again that the caller has, for a later try. None where takeBack sees to it. */
  readonly inTurn?: (action: () => Promise<void>) => Promise<void>
  /** Returns the attachment as it is then to be remembered. */
  readonly make: () => Promise<T>
  /** Idempotent; takes whatever of it there is. */
  readonly takeBack: () => Promise<void>
  /** Tells a refusal that users can mend. */
  readonly refused?: (notice: Notice) => Promise<void>
}

/** How soon what could not be taken back is tried again. */
const AGAIN_MS = 10_000

/** Runs under the attachment's own queue. Throws CniError, with nothing half-made left behind. */
export async function attach<T extends Attachment>(
  node: AgentContext,
  { attachment, device, inTurn, make, takeBack, refused }: Attaching<T>,
): Promise<void> {
  await refuseSecond(node, attachment)
  await node.state.put(attachment)
  try {
    await node.state.put({ ...(await make()), phase: 'ready' })
  } catch (error) {
    const finish = async (): Promise<void> => {
      await takeBack()
      await node.state.del(attachment)
    }
    try {
      await finish()
    } catch (failure) {
      const retry = async (): Promise<void> => (inTurn === undefined ? finish() : inTurn(finish))
      retryLater(node, attachment, failure, retry)
    }
    const notice = error instanceof CniError ? toRefusal(error) : undefined
    // Not waited for: the runtime wants its answer.
    if (notice !== undefined) void refused?.(notice)
    throw await explainAddFailure(node, attachment.netns.path, device, error)
  }
}

// The intent stays on disk in phase "adding": a DEL, the next ADD or the next start takes it back,
// and else we do, as soon as the store lets us.
function retryLater(
  node: AgentContext,
  attachment: Attachment,
  failure: unknown,
  finish: () => Promise<void>,
): void {
  const { containerID, ifname } = attachment
  node.log.error({ err: failure, containerID, ifname }, 'cannot take a failed ADD back yet')
  const again = async (): Promise<void> =>
    node.turns.attachment(attachment, async () => {
      if ((await node.state.get(attachment))?.phase !== 'adding') return
      await finish()
      node.log.info({ containerID, ifname }, 'a failed ADD is taken back')
    })
  setTimeout(() => {
    again().catch((error: unknown) => retryLater(node, attachment, error, finish))
  }, AGAIN_MS).unref()
}

async function refuseSecond(
  node: AgentContext,
  { containerID, ifname }: Attachment,
): Promise<void> {
  if ((await node.state.get({ containerID, ifname })) === undefined) return
  throw new CniError(
    CNI_CODE.IFNAME_TAKEN,
    `Cannot add "${ifname}": container "${containerID}" has this interface already, expected a new name or a DEL first`,
  )
}
