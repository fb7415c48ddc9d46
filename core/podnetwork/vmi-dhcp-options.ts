// The DHCP options that a VMI asks for (its interface's dhcpOptions), as KubeVirt's own server sends them:
// pkg/network/dhcp/server, v1.9.0. Values that cannot be expressed are left out. Pure.
import type { Field } from '../domain/field.ts'
import { asArray, asString, at } from '../domain/field.ts'
import { getFamily, normalizeIp } from '../net/ip.ts'
import { list, number, object, optional, text } from '../shape.ts'

/** Texts or addresses, as the VMI has them. */
export interface DhcpOption {
  readonly code: number
  readonly text?: string
  readonly addresses?: readonly string[]
}

/** As documents have it. Throws DecodeError. */
export const decodeDhcpOption = object<DhcpOption>({
  code: number,
  text: optional(text),
  addresses: optional(list(text)),
})

const NTP_SERVERS = 42
const TFTP_SERVER = 66
const BOOT_FILE = 67
/** For private use, as KubeVirt admits them. */
const [PRIVATE_FIRST, PRIVATE_LAST] = [224, 254]

/** RFC 2132: one byte holds an option's length. */
const OPTION_MAX = 255
const ADDRESS_BYTES = 4
/**
 * For a line of dnsmasq's configuration, which may have 1,024 characters. The rest is for the option's name.
 */
export const VALUE_MAX = 960

/** Throws DecodeError, which names the field. */
export function decodeDhcpOptions(nic: Field): readonly DhcpOption[] {
  const asked = at(nic, 'dhcpOptions')
  const addresses = asArray(at(asked, 'ntpServers')).flatMap((server) => asString(server) ?? [])
  const own = asArray(at(asked, 'privateOptions')).flatMap((option) => {
    const code = at(option, 'option').value
    return typeof code === 'number' && code >= PRIVATE_FIRST && code <= PRIVATE_LAST
      ? toText(code, at(option, 'value'))
      : []
  })
  const all = [
    ...toText(TFTP_SERVER, at(asked, 'tftpServerName')),
    ...toText(BOOT_FILE, at(asked, 'bootFileName')),
    ...(addresses.length === 0 ? [] : [{ code: NTP_SERVERS, addresses }]),
    ...own,
  ]
  // Of two with one number the last one counts, as in KubeVirt.
  return [...new Map(all.map((option) => [option.code, option])).values()]
}

function toText(code: number, field: Field): readonly DhcpOption[] {
  const text = asString(field)
  return text === undefined ? [] : [{ code, text }]
}

/** Whether dnsmasq's configuration can express it. */
export function isSayable({ text, addresses }: DhcpOption): boolean {
  if (addresses !== undefined)
    return (
      addresses.length * ADDRESS_BYTES <= OPTION_MAX &&
      addresses.join().length <= VALUE_MAX &&
      addresses.every((address) => normalizeIp(address) !== undefined && getFamily(address) === 4)
    )
  // A control character could end the line, or be one that dnsmasq itself uses in a quoted text.
  return text !== undefined && Buffer.byteLength(text) <= OPTION_MAX && !/\p{Cc}/u.test(text)
}

/** Lines of dnsmasq's configuration. */
export function renderDhcpOptions(options: readonly DhcpOption[]): readonly string[] {
  return options.filter(isSayable).map(({ code, text, addresses = [] }) => {
    // KubeVirt's server sends them to clients that do not ask, too. A boot loader that does not ask for its
    // file gets it in the header, and dnsmasq fills the header only from an option that is not forced.
    const word = code === TFTP_SERVER || code === BOOT_FILE ? 'dhcp-option' : 'dhcp-option-force'
    return `${word}=${code},${text === undefined ? addresses.join(',') : toQuoted(text)}`
  })
}

// Within quotes dnsmasq reads nothing as a number, an address or a list.
function toQuoted(text: string): string {
  return `"${text.replaceAll(/["\\]/g, String.raw`\$&`)}"`
}
