// Addresses that a VMI gives a NIC, in the forms that KubeVirt accepts and the forms that libvirt wants.
import { DecodeError } from '../errors.ts'

/** A MAC address as libvirt writes it, from the three forms that KubeVirt accepts (Go's net.ParseMAC). */
export function decodeMac(value: unknown, path: string): string {
  const expected = 'a unicast MAC address such as "02:00:00:00:00:01"'
  if (typeof value !== 'string') throw new DecodeError(path, value, expected)
  const digits = findMacDigits(value)?.toLowerCase()
  // The lowest bit of the first byte is the group bit. libvirt refuses a domain with it.
  if (digits === undefined || /^.[13579bdf]/.test(digits) || /^0+$/.test(digits)) {
    throw new DecodeError(path, value, expected)
  }
  return digits.match(/../g)?.join(':') ?? ''
}

function findMacDigits(value: string): string | undefined {
  const known =
    /^[\da-f]{2}(?<separator>[:-])[\da-f]{2}(?:\k<separator>[\da-f]{2}){4}$/i.test(value) ||
    /^[\da-f]{4}\.[\da-f]{4}\.[\da-f]{4}$/i.test(value)
  return known ? value.replaceAll(/[:.-]/g, '') : undefined
}

export interface PciAddress {
  readonly domain: string
  readonly bus: string
  readonly slot: string
  readonly function: string
}

/** "0000:81:01.0", each part as libvirt writes it ("0x81"). */
export function decodePciAddress(value: unknown, path: string): PciAddress {
  const match =
    typeof value === 'string'
      ? /^([\da-f]{4}):([\da-f]{2}):([\da-f]{2})\.([0-7])$/i.exec(value)
      : null
  const [, domain, bus, slot, fn] = match ?? []
  if (domain === undefined || bus === undefined || slot === undefined || fn === undefined) {
    throw new DecodeError(path, value, 'a PCI address such as "0000:81:01.0"')
  }
  return { domain: `0x${domain}`, bus: `0x${bus}`, slot: `0x${slot}`, function: `0x${fn}` }
}
