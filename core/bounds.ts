// How long names are, and of which characters: those that others give, in a network, in CNI's environment and in
// documents. deploy/base/crds says the same of the API's objects.
import { is, type Decode } from './shape.ts'

export interface Bound {
  readonly maxLength: number
  readonly pattern: RegExp
  /** For people. */
  readonly expected: string
}

const WORD = '[A-Za-z0-9][A-Za-z0-9_.-]*'
// What is printable, and neither Linux (dev_valid_name) nor a tool's line takes for something else: / : % " ' \ #
const IFNAME_CHAR = '[!$&()*+,.0-9;<=>?@A-Z\\[\\]^_`a-z{|}~-]'
// "." and ".." are folders.
const IFNAME = `(${IFNAME_CHAR}*${IFNAME_CHAR.replace(',.', ',')}${IFNAME_CHAR}*|[.]{3,})`
/** Linux IFNAMSIZ less the closing NUL (linux/if.h). */
const IFNAME_MAX = 15
const CONTAINER_ID_MAX = 200

function newBound(maxLength: number, pattern: string, expected: string): Bound {
  return { maxLength, pattern: new RegExp(`^${pattern}$`), expected }
}

function newWord(maxLength: number): Bound {
  const expected = `a letter or digit, then letters, digits, "_", "." or "-", ${maxLength} at most`
  return newBound(maxLength, WORD, expected)
}

export const BOUNDS = {
  /** RFC 1123. */
  namespace: newBound(63, '[a-z0-9]([-a-z0-9]*[a-z0-9])?', 'a DNS label'),
  /** A network's, too. */
  wire: newWord(128),
  /** Part of a file's name. */
  containerID: newWord(CONTAINER_ID_MAX),
  /** A kind may stand before a name; Kubernetes has none that are longer than 253. */
  holder: newBound(280, `([a-z]+/)?${WORD}`, 'a name like "vm/r1" or "h1", 280 at most'),
  ifname: newBound(
    IFNAME_MAX,
    IFNAME,
    'an interface name of 1 to 15 bytes without "/", ":", "%", quotes or white space',
  ),
  /** As documents have them. */
  node: newWord(253),
  pod: newWord(253),
  attachment: newBound(
    CONTAINER_ID_MAX + IFNAME_MAX + '@'.length,
    `${WORD}@${IFNAME}`,
    'an attachment, containerID@interface',
  ),
  /** As Kubernetes names nodes and pods: RFC 1123. */
  subdomain: newBound(253, '[a-z0-9]([-.a-z0-9]*[a-z0-9])?', 'a DNS subdomain'),
} as const

export function isWithin({ maxLength, pattern }: Bound, text: string): boolean {
  return text.length <= maxLength && pattern.test(text)
}

/** A name within the bound. */
export function newName(bound: Bound): Decode<string> {
  return is(
    (value): value is string => typeof value === 'string' && isWithin(bound, value),
    bound.expected,
  )
}
