// What the launcher of an ADD wants of the NIC that is to be attached.
import type { BindConfig } from '../core/cni/bind-config.ts'
import { decodePodRef, type CniArgs } from '../core/cni/env.ts'
import { toNicWish, type NicWish } from '../core/launcher.ts'

/** Throws CniError 4. */
export function readNicWish(args: CniArgs, config: BindConfig): NicWish {
  return toNicWish(decodePodRef(args.args), config)
}
