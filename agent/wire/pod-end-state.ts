// Whether a pod end is up: what its owner wants. Our own host end says so while it is up; once we
// took the carrier away only the pod's own namespace does.
import type { WireAttachment } from '../../core/attach/attachment.ts'
import { DecodeError } from '../../core/errors.ts'
import type { ObservedLinks } from '../../core/observe/links.ts'
import { isUnseen } from '../../core/observe/tool-json.ts'
import { toAttachmentKey, toWireKey } from '../../core/wire/wire.ts'
import { listPodLinks } from '../../kernel/observe/links.ts'
import type { Run } from '../../kernel/run.ts'
import type { AgentContext } from '../context.ts'

const TRIES = 3

export type PodEndStates = ReadonlyMap<WireAttachment, boolean>

/** Of each of these ends. */
export async function readPodEndStates(
  context: Pick<AgentContext, 'run' | 'podEndStates' | 'log'>,
  ends: readonly WireAttachment[],
  observed: ObservedLinks,
): Promise<PodEndStates> {
  const podEndStates = new Map<WireAttachment, boolean>()
  for (const end of ends) podEndStates.set(end, await readPodEndState(context, end, observed))
  return podEndStates
}

/** What cannot be seen is told. */
async function readPodEndState(
  { run, podEndStates, log }: Pick<AgentContext, 'run' | 'podEndStates' | 'log'>,
  end: WireAttachment,
  observed: ObservedLinks,
): Promise<boolean> {
  const tell = (err: Error): void => {
    const facts = { err, end: toAttachmentKey(end), wire: toWireKey(end.wire) }
    log.warn(
      facts,
      'cannot read a device in a pod, or all of them: an end that is not seen counts as up',
    )
  }
  const host = observed.get(end.hostDevice)
  const known = podEndStates.get(end.hostDevice)
  if (host?.isUp === true) {
    // Who goes by this must not be taken, later on, for one who went by what was known before.
    if (known === !host.hasCarrier) podEndStates.delete(end.hostDevice)
    return host.hasCarrier
  }
  if (typeof known === 'boolean') return known
  for (let tries = 1; ; tries += 1) {
    const reading = Symbol(end.hostDevice)
    podEndStates.set(end.hostDevice, reading)
    const isUp = await readPodEndUp(run, end, tell)
    const isFresh = podEndStates.get(end.hostDevice) === reading
    if (isFresh) podEndStates.set(end.hostDevice, isUp)
    // Who keeps changing it is looked at again for each change.
    if (isFresh || tries >= TRIES) return isUp
  }
}

async function readPodEndUp(
  run: Run,
  { netns, ifname }: WireAttachment,
  tell: (error: Error) => void,
): Promise<boolean> {
  try {
    const links = await listPodLinks(run, netns.path, tell)
    const link = links.find(({ name }) => name === ifname)
    // Renamed by its owner: its own name for it is no reason to unplug it.
    return link?.isUp ?? true
  } catch (error) {
    // A namespace whose path is gone while it lives, or in which somebody made what no tool can tell: up until
    // its host end can say.
    if (!isUnseen(error)) throw error
    if (error instanceof DecodeError) tell(error)
    return true
  }
}
