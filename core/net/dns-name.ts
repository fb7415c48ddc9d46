// What a DNS name is. Names with underscores count, because resolvers get such names.
const NAME = /^[\w-]{1,63}(\.[\w-]{1,63})*$/
/** RFC 1035, as text. */
const CHARS_MAX = 253

/** Whether a text is a domain name without a trailing dot. */
export function isDnsName(text: string): boolean {
  return text.length <= CHARS_MAX && NAME.test(text)
}
