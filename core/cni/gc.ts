// What a GC says: CNI SPEC.md 1.1.0, "GC".
import { CNI_CODE, CniError, DecodeError } from '../errors.ts'
import { each, list, object, text } from '../shape.ts'
import { toAttachmentKey, type AttachmentId } from '../wire/wire.ts'

export interface GcList {
  readonly network: string
  readonly type: string
  /** Keys of the attachments the runtime still knows; undefined when it does not say. */
  readonly valid: ReadonlySet<string> | undefined
}

const decodeValid = list(object<AttachmentId>(each(text, 'containerID', 'ifname')))

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
  const network = text(config['name'], 'name')
  const type = text(config['type'], 'type')
  const path = 'cni.dev/valid-attachments'
  // libcni 1.2 writes both names: the first spec of GC had the other one.
  const key = path in config ? path : 'cni.dev/attachments'
  if (!(key in config)) return { network, type, valid: undefined }
  // Go's empty list is null.
  const valid = decodeValid(config[key] ?? [], key)
  return { network, type, valid: new Set(valid.map(toAttachmentKey)) }
}
