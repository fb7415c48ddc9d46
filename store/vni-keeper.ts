// How a VNI is taken, whatever keeps the claims: making the one of that name is the atom, and one that is
// there for the same wire, left over from an earlier life, is as good as made.
import { CNI_CODE, CniError } from '../core/errors.ts'
import { guessVni, listFreeVnis, type VniRange } from '../core/vni.ts'
import type { VniClaim } from '../core/vni-claim.ts'
import { toWireKey, type WireId } from '../core/wire.ts'

export interface VniKeeper {
  /** False when there is one. */
  make(vni: number, id: WireId): Promise<boolean>
  /** Whom it is for; undefined when there is none. */
  readOwner(vni: number): Promise<WireId | undefined>
  list(): Promise<readonly VniClaim[]>
}

/** The VNI asked for, else any of the range. Throws CniError 107 or 108. */
export async function claimVni(
  keeper: VniKeeper,
  id: WireId,
  range: VniRange,
  asked: number | undefined,
): Promise<number> {
  if (asked !== undefined) {
    const owner = await takeVni(keeper, asked, id)
    if (isSameWire(owner, id)) return asked
    throw new CniError(
      CNI_CODE.VNI_TAKEN,
      `Cannot use VNI ${asked} for wire "${toWireKey(id)}": wire "${toWireKey(owner)}" has it, expected a free one`,
    )
  }
  // A guess is one look however many claims there are; only where it is taken are they listed.
  const guess = guessVni(range, toWireKey(id))
  if (isSameWire(await takeVni(keeper, guess, id), id)) return guess
  const claims = await keeper.list()
  const ours = claims.find(
    ({ vni, wire }) => isSameWire(wire, id) && vni >= range.first && vni <= range.last,
  )
  if (ours !== undefined) return ours.vni
  for (const vni of listFreeVnis(range, new Set(claims.map((claim) => claim.vni))))
    if (isSameWire(await takeVni(keeper, vni, id), id)) return vni
  throw new Error('unreachable: listFreeVnis throws when it has no more')
}

// Whom it is for in the end. Between being found taken and being read it may be given back.
async function takeVni(keeper: VniKeeper, vni: number, id: WireId): Promise<WireId> {
  for (;;) {
    if (await keeper.make(vni, id)) return id
    const owner = await keeper.readOwner(vni)
    if (owner !== undefined) return owner
  }
}

export function isSameWire(a: WireId, b: WireId): boolean {
  return toWireKey(a) === toWireKey(b)
}
