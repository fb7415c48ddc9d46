// Claims a VNI in any store. Making the object of that name is the atomic step. An existing claim for the same
// wire, left from an earlier life, counts as success.
import { randomInt } from 'node:crypto'

import { CNI_CODE, CniError } from '../core/errors.ts'
import { listFreeVnis, type VniRange } from '../core/wire/vni.ts'
import type { VniClaim } from '../core/wire/vni.ts'
import { toWireKey, type WireId } from '../core/wire/wire.ts'

export interface VniKeeper {
  /** False if one exists. */
  make(vni: number, id: WireId): Promise<boolean>
  /** The wire that holds it; undefined if there is none. */
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
  // Nobody who knows the wire's name should know its VNI, because the VNI is half of what lets a datagram in. A
  // random VNI is usually free, however many claims there are. Only after several taken draws do we list all
  // claims.
  const draw = (): number => randomInt(range.first, range.last + 1)
  for (let tries = 0; tries < DRAWS; tries += 1) {
    const vni = draw()
    if (isSameWire(await takeVni(keeper, vni, id), id)) return vni
  }
  const claims = await keeper.list()
  for (const vni of listFreeVnis(range, new Set(claims.map((claim) => claim.vni)), draw()))
    if (isSameWire(await takeVni(keeper, vni, id), id)) return vni
  throw new Error('unreachable: listFreeVnis throws when it has no more')
}

const DRAWS = 3

// The wire that holds it in the end. It may be released between a failed make and the read.
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
