// Wires as stores keep them, read back: what somebody else may have written, checked field by field. deploy/base/crds says the same of the objects.
import { decodeMtu } from '../net/address.ts'
import { BOUNDS, newName } from '../bounds.ts'
import { DecodeError } from '../errors.ts'
import { normalizeIp } from '../net/ip.ts'
import type { Record_ } from '../record.ts'
import { flag, is, known, list, oneOf, optional, orElse, text, whole } from '../shape.ts'
import { decodeVni } from './vni.ts'
import {
  ENDS_PER_WIRE,
  type DisplacedClaim,
  type EndClaim,
  type GuestReport,
  type NodeReport,
  type StandbyClaim,
  type Wire,
  type WireId,
} from './wire.ts'

// A link-local one may name its link.
const decodeAddress = is(
  (value): value is string =>
    typeof value === 'string' && normalizeIp(value.replace(/%[\w.:-]+$/, '')) !== undefined,
  'an IP address',
)

const decodeId = known<WireId>({ namespace: newName(BOUNDS.namespace), name: newName(BOUNDS.wire) })

const decodeNode = newName(BOUNDS.node)

const CLAIM = {
  containerID: newName(BOUNDS.containerID),
  ifname: newName(BOUNDS.ifname),
  node: decodeNode,
}

const END = {
  holder: newName(BOUNDS.holder),
  ...CLAIM,
  address: decodeAddress,
  pod: orElse(newName(BOUNDS.pod), undefined),
  isUp: orElse(flag, true),
  mtuBytes: decodeMtu,
}

const decodeEnd = known<EndClaim>(END)

const decodeStandby = known<StandbyClaim>({ ...END, isTarget: orElse(flag, false) })

const decodeGuest = known<GuestReport>({
  end: newName(BOUNDS.attachment),
  reason: text,
  message: orElse(text, undefined),
})

const decodeReport = known<NodeReport>({
  node: decodeNode,
  state: oneOf('joined', 'waiting', 'failed'),
  ends: list(newName(BOUNDS.attachment)),
  message: orElse(text, undefined),
  code: optional(whole(1, Infinity, 'the code of an error')),
  guests: optional(list(decodeGuest)),
})

const decodeFields = known<Omit<Wire, keyof WireId>>({
  vni: orElse(decodeVni, undefined),
  ends: list(decodeEnd),
  isUnplugged: orElse(flag, false),
  standbys: orElse(list(decodeStandby), []),
  displaced: orElse(list(known<DisplacedClaim>(CLAIM)), []),
  tunnelNodes: orElse(list(decodeNode), []),
  reports: orElse(list(decodeReport), []),
})

/** Whose document it says it is. Throws DecodeError. */
export function decodeWireId(fields: Record_, path: string): WireId {
  return decodeId(fields, `${path}: `)
}

/** Throws DecodeError, with the path of the field at fault behind the given one. */
export function decodeWireFields(fields: Record_, path: string): Omit<Wire, keyof WireId> {
  const decoded = decodeFields(fields, `${path}: `)
  if (decoded.ends.length <= ENDS_PER_WIRE) return decoded
  throw new DecodeError(`${path}: ends`, fields['ends'], `${ENDS_PER_WIRE} ends at most`)
}
