// What a GC says: CNI SPEC.md 1.1.0, "GC".
import { CNI_CODE, CniError, DecodeError } from '../errors.ts'
import { toAttachmentKey } from '../wire.ts'
import { isRecord } from '../record.ts'

export interface GcList {
  readonly network: string
  readonly type: string
  /** Keys of the attachments the runtime still knows; undefined when it does not say. */
  readonly valid: ReadonlySet<string> | undefined
}

/** Throws CniError 7: a list that is misread would unplug what is alive. */
export function decodeGcList(config: Readonly<Record<string, unknown>>): GcList {
  try {
    return decode(config)
  } catch (cause) {
    if (!(cause instanceof DecodeError)) throw cause
    throw new CniError(CNI_CODE.INVALID_CONFIG, cause.message, { cause })
  }
}

function decode(config: Readonly<Record<string, unknown>>): GcList {
  const { name: network, type } = config
  if (typeof network !== 'string') throw new DecodeError('name', network, 'a string')
  if (typeof type !== 'string') throw new DecodeError('type', type, 'a string')
  const path = 'cni.dev/valid-attachments'
  // libcni 1.2 writes both names: the first spec of GC had the other one.
  const key = path in config ? path : 'cni.dev/attachments'
  if (!(key in config)) return { network, type, valid: undefined }
  // Go's empty list is null.
  const list = config[key] ?? []
  if (!Array.isArray(list)) throw new DecodeError(key, list, 'a list of attachments')
  const keys = list.map((one: unknown, at) => {
    const { containerID, ifname } = isRecord(one) ? one : {}
    if (typeof containerID !== 'string' || typeof ifname !== 'string')
      throw new DecodeError(`${key}[${at}]`, one, 'a "containerID" and an "ifname"')
    return toAttachmentKey({ containerID, ifname })
  })
  return { network, type, valid: new Set(keys) }
}
