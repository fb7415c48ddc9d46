// Turns: what is about one thing is done one after the other; different things do not wait for each other.
import type { AttachmentId, WireId } from '../core/wire/wire.ts'
import { toAttachmentKey, toWireKey } from '../core/wire/wire.ts'

/**
 * Who has a turn may take another one further down this list, and never one further up:
 *
 *   attachment of an end > wire > attachment of a VM's tap > sandbox > macvtaps > device
 *
 * A report and a guest's turn are taken by nobody who has another, and who has one takes none.
 */
export interface Turns {
  /** What is done to one interface of one sandbox: verbs, notes, mending. */
  readonly attachment: Turn<AttachmentId>
  readonly wire: Turn<WireId>
  /** What makes taps in one sandbox: it goes by the list of links there. */
  readonly sandbox: Turn<string>
  /** What chooses among macvtaps' devices. */
  readonly macvtaps: <T>(action: () => Promise<T>) => Promise<T>
  /** What changes the file of a macvtap's device, by its path. */
  readonly device: Turn<string>
  /** What is told to the guest of an end. */
  readonly guest: Turn<AttachmentId>
  /** What the store is told of a wire. */
  readonly report: Turn<WireId>
}

type Turn<Key> = <T>(key: Key, action: () => Promise<T>) => Promise<T>

export function newTurns(): Turns {
  const take = newQueue()
  return {
    attachment: async (id, action) => take(`attachment ${toAttachmentKey(id)}`, action),
    wire: async (id, action) => take(`wire ${toWireKey(id)}`, action),
    sandbox: async (containerID, action) => take(`sandbox ${containerID}`, action),
    macvtaps: async (action) => take('macvtaps', action),
    device: async (path, action) => take(`device ${path}`, action),
    guest: async (id, action) => take(`guest ${toAttachmentKey(id)}`, action),
    report: async (id, action) => take(`report ${toWireKey(id)}`, action),
  }
}

function newQueue(): Turn<string> {
  const tails = new Map<string, Promise<unknown>>()
  return async (key, action) => {
    const before = tails.get(key) ?? Promise.resolve()
    // An earlier failure was its own caller's; the next in line starts all the same.
    const mine = before.then(action, action)
    const tail = mine.catch(() => undefined)
    tails.set(key, tail)
    try {
      return await mine
    } finally {
      if (tails.get(key) === tail) tails.delete(key)
    }
  }
}
