// Whether the owner of an end has its interface up. Our own host end says so while it is up; once we
// took the carrier away only the pod's own namespace does.
import type { WireAttachment } from '../core/attachment.ts'
import { CommandError } from '../core/errors.ts'
import type { ObservedLinks } from '../core/observed.ts'
import { listPodLinks } from '../kernel/links.ts'
import type { Run } from '../kernel/run.ts'

/** What was read inside pods, by host end, until the kernel tells of a change. */
/** A symbol while somebody reads: gone, or another, when the read ends, it is out of date already. */
export type OwnerStates = Map<string, boolean | symbol>

const TRIES = 3

export async function readOwnerUp(
  run: Run,
  owners: OwnerStates,
  end: WireAttachment,
  observed: ObservedLinks,
): Promise<boolean> {
  const host = observed.get(end.hostDevice)
  const known = owners.get(end.hostDevice)
  if (host?.isUp === true) {
    // Who goes by this must not be taken, later on, for one who went by what was known before.
    if (known === !host.hasCarrier) owners.delete(end.hostDevice)
    return host.hasCarrier
  }
  if (typeof known === 'boolean') return known
  for (let tries = 1; ; tries += 1) {
    const reading = Symbol(end.hostDevice)
    owners.set(end.hostDevice, reading)
    const isUp = await readPodEndUp(run, end)
    const isFresh = owners.get(end.hostDevice) === reading
    if (isFresh) owners.set(end.hostDevice, isUp)
    // Who keeps changing it is looked at again for each change.
    if (isFresh || tries >= TRIES) return isUp
  }
}

async function readPodEndUp(run: Run, { netns, ifname }: WireAttachment): Promise<boolean> {
  try {
    const link = (await listPodLinks(run, netns.path)).find(({ name }) => name === ifname)
    // Renamed by its owner: its own name for it is no reason to unplug it.
    return link?.isUp ?? true
  } catch (error) {
    // A namespace whose path is gone while it lives: up until its host end can say.
    if (error instanceof CommandError) return true
    throw error
  }
}
