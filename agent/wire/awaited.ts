// By wire: the guest that another node's tunnel may bring here.
import { toWireKey, type WireId } from '../../core/wire/wire.ts'
import type { FarGuest } from '../../core/wire/suppose.ts'

export interface AwaitedGuest extends FarGuest {
  readonly wire: WireId
}

export interface AwaitedGuests {
  /** Undefined: none is waited for at this wire. */
  readonly set: (wire: WireId, guest: FarGuest | undefined) => void
  readonly list: () => readonly AwaitedGuest[]
  /** Resolves as soon as there is any. */
  readonly untilAny: () => Promise<void>
}

export function newAwaitedGuests(): AwaitedGuests {
  const guests = new Map<string, AwaitedGuest>()
  let any = Promise.withResolvers<void>()
  return {
    set: (wire, guest) => {
      const hadAny = guests.size > 0
      if (guest === undefined) guests.delete(toWireKey(wire))
      else guests.set(toWireKey(wire), { ...guest, wire })
      if (guests.size > 0) any.resolve()
      else if (hadAny) any = Promise.withResolvers()
    },
    list: () => [...guests.values()],
    untilAny: async () => any.promise,
  }
}
