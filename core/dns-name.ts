// What a DNS name is. Names with underscores are among those that resolvers are told of.
const NAME = /^[\w-]{1,63}(\.[\w-]{1,63})*$/
/** RFC 1035, in text. */
const CHARS_MAX = 253

/** Whether a text is a domain's name, without a dot behind it. */
export function isDnsName(text: string): boolean {
  return text.length <= CHARS_MAX && NAME.test(text)
}
