// Wires as stores keep them, read back: what somebody else may have written, checked field by field.
import { isRecord } from './record.ts'
import { DecodeError } from './errors.ts'
import { VNI_MAX } from './vni.ts'
import {
  ENDS_PER_WIRE,
  type DisplacedClaim,
  type EndClaim,
  type GuestReport,
  type NodeReport,
  type Wire,
} from './wire.ts'

type Fields = Readonly<Record<string, unknown>>

const REPORT_STATES: readonly NodeReport['state'][] = ['joined', 'waiting', 'failed']

/** Throws DecodeError, with the path of the field at fault behind the given one. */
export function decodeWireFields(fields: Fields, path: string): Omit<Wire, 'namespace' | 'name'> {
  const { vni, ends, tunnelNodes = [], reports = [], isUnplugged = false, displaced = [] } = fields
  if (vni !== undefined && !(Number.isInteger(vni) && Number(vni) >= 1 && Number(vni) <= VNI_MAX))
    throw new DecodeError(`${path}: vni`, vni, `a whole number from 1 to ${VNI_MAX}`)
  const decodedEnds = decodeList(ends, `${path}: ends`, decodeEnd)
  if (decodedEnds.length > ENDS_PER_WIRE)
    throw new DecodeError(`${path}: ends`, ends, `${ENDS_PER_WIRE} ends at most`)
  return {
    vni: vni as number | undefined,
    ends: decodedEnds,
    isUnplugged: decodeFlag(isUnplugged, `${path}: isUnplugged`),
    displaced: decodeList(displaced, `${path}: displaced`, decodeDisplaced),
    tunnelNodes: decodeTexts(tunnelNodes, `${path}: tunnelNodes`),
    reports: decodeList(reports, `${path}: reports`, decodeReport),
  }
}

function decodeEnd(value: unknown, path: string): EndClaim {
  const fields = decodeRecord(value, path)
  const text = (key: string): string => decodeText(fields[key], `${path}.${key}`)
  const { mtuBytes, pod, isUp = true } = fields
  const end = {
    holder: text('holder'),
    containerID: text('containerID'),
    ifname: text('ifname'),
    node: text('node'),
    address: text('address'),
    pod: pod === undefined ? undefined : text('pod'),
    isUp: decodeFlag(isUp, `${path}.isUp`),
  }
  if (Number.isInteger(mtuBytes)) return { ...end, mtuBytes: mtuBytes as number }
  throw new DecodeError(`${path}.mtuBytes`, mtuBytes, 'a whole number')
}

function decodeDisplaced(value: unknown, path: string): DisplacedClaim {
  const fields = decodeRecord(value, path)
  const text = (key: string): string => decodeText(fields[key], `${path}.${key}`)
  return { containerID: text('containerID'), ifname: text('ifname'), node: text('node') }
}

function decodeReport(value: unknown, path: string): NodeReport {
  const fields = decodeRecord(value, path)
  const state = REPORT_STATES.find((known) => known === fields['state'])
  if (state === undefined)
    throw new DecodeError(`${path}.state`, fields['state'], `one of ${REPORT_STATES.join(', ')}`)
  const { message, guests } = fields
  return {
    node: decodeText(fields['node'], `${path}.node`),
    state,
    ends: decodeTexts(fields['ends'], `${path}.ends`),
    message: message === undefined ? undefined : decodeText(message, `${path}.message`),
    ...(guests === undefined ? {} : { guests: decodeList(guests, `${path}.guests`, decodeGuest) }),
  }
}

function decodeGuest(value: unknown, path: string): GuestReport {
  const fields = decodeRecord(value, path)
  const { message } = fields
  return {
    end: decodeText(fields['end'], `${path}.end`),
    reason: decodeText(fields['reason'], `${path}.reason`),
    message: message === undefined ? undefined : decodeText(message, `${path}.message`),
  }
}

function decodeList<T>(
  value: unknown,
  path: string,
  decode: (element: unknown, path: string) => T,
): readonly T[] {
  if (!Array.isArray(value)) throw new DecodeError(path, value, 'a list')
  return value.map((element, at) => decode(element, `${path}[${at}]`))
}

function decodeTexts(value: unknown, path: string): readonly string[] {
  return decodeList(value, path, decodeText)
}

function decodeText(value: unknown, path: string): string {
  if (typeof value === 'string') return value
  throw new DecodeError(path, value, 'text')
}

function decodeFlag(value: unknown, path: string): boolean {
  if (typeof value === 'boolean') return value
  throw new DecodeError(path, value, 'true or false')
}

function decodeRecord(value: unknown, path: string): Fields {
  if (isRecord(value)) return value
  throw new DecodeError(path, value, 'an object')
}
