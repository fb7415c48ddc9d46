// What iproute2 and nft print as JSON. Aliases and names of devices are whatever their owner wrote, and iproute2 (6.1) prints control characters as
// they are; of some kinds of device it prints words between the JSON. Neither may hide the devices beside it.
import { CommandError, DecodeError } from '../errors.ts'
import { isRecord, type Record_ } from '../record.ts'

/** Is told of each part of an answer that cannot be read. */
export type Skip = (error: DecodeError) => void

/** Whether a look came to nothing: a tool refused, or what it said cannot be read. Whoever looks into a pod reckons with both: all of it is its owner's. */
export function isUnseen(error: unknown): error is CommandError | DecodeError {
  return error instanceof CommandError || error instanceof DecodeError
}

/** A list, or nothing at all where there is nothing; empty objects, left where a filter hid something, are left out. Throws DecodeError. */
export function parseToolList(text: string, tool: string, skip?: Skip): readonly Record_[] {
  if (text.trim() === '') return []
  const value = parse(text)
  const list = value === undefined ? salvageDevices(text, tool, skip) : value.json
  if (!Array.isArray(list)) throw new DecodeError(tool, text, 'a list')
  return list.filter((one) => isRecord(one) && Object.keys(one).length > 0) as Record_[]
}

/** The objects of nft's answer. Throws DecodeError. */
export function parseNftObjects(text: string, tool: string): readonly Record_[] {
  const value = parse(text)?.json
  const objects = isRecord(value) ? value['nftables'] : undefined
  if (!Array.isArray(objects)) throw new DecodeError(tool, text, 'a list, nftables')
  return objects.filter(isRecord)
}

// Between two devices of an answer, and nowhere else: quotes in a string have a backslash before them, and no name has a ":".
const DEVICE_START = /(?:^\s*\[|,)(?=\{"ifindex":)/

/** The devices of an answer that can be read by themselves. */
function salvageDevices(text: string, tool: string, skip?: Skip): readonly unknown[] {
  const parts = text.split(DEVICE_START).slice(1)
  const last = parts.length - 1
  const devices = parts.flatMap((part, at) => {
    const value = parse(`[${at === last ? part.trimEnd().replace(/\]$/, '') : part}]`)
    if (value !== undefined) return value.json
    skip?.(new DecodeError(tool, part, 'JSON of a device'))
    return []
  })
  if (devices.length === 0) throw new DecodeError(tool, text, 'JSON')
  return devices
}

function parse(text: string): { readonly json: unknown } | undefined {
  for (const json of [text, mendStrings(text)])
    try {
      return { json: JSON.parse(json) as unknown }
    } catch {
      // What is wrong with it the caller says, of the part that it is about.
    }
  return undefined
}

/** With what JSON does not allow in a string escaped. */
function mendStrings(text: string): string {
  return text.replace(/"(?:[^"\\]|\\[^])*"/g, (string) =>
    string.replace(/\\(u[\da-fA-F]{4}|[^])|\p{Cc}/gu, (char, escaped: string | undefined) => {
      if (escaped === undefined) return `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`
      return /^(?:u.+|["\\/bfnrt])$/.test(escaped) ? char : JSON.stringify(escaped).slice(1, -1)
    }),
  )
}
