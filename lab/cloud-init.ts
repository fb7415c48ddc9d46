// Plays cloud-init in a guest that has none: the part of it that the examples' VirtualMachines use.
import { parse } from 'yaml'

import { isRecord } from '../core/record.ts'
import { DecodeError } from '../core/errors.ts'
import type { Vmi } from './domain-vmi.ts'
import type { Guest } from './guest.ts'
import { switchOnIpv6 } from './guest-network.ts'
import { getGuestPackage, GUEST_PRELUDE } from './guest-packages.ts'

interface UserData {
  readonly packages?: readonly string[]
  readonly write_files?: readonly { readonly path: string; readonly content: string }[]
  readonly runcmd?: readonly (string | readonly string[])[]
}

/** Network configuration, version 2. */
interface NetworkData {
  readonly ethernets?: Readonly<Record<string, Ethernet>>
}

interface Ethernet {
  readonly match: { readonly macaddress: string }
  readonly 'set-name'?: string
  readonly addresses?: readonly string[]
}

export interface CloudInit {
  readonly user: UserData
  /** Undefined: cloud-init's own choice, DHCP on the first NIC. */
  readonly network: NetworkData | undefined
}

const USER_KEYS = ['packages', 'write_files', 'runcmd', 'ssh_pwauth', 'chpasswd', 'password']
const COMMANDS_MS = 120_000

/** What the VMI's NoCloud volume says; undefined without one. Throws DecodeError on what is not played. */
export function readCloudInit(vmi: Vmi): CloudInit | undefined {
  const source = vmi.spec.volumes?.find((volume) => volume.cloudInitNoCloud !== undefined)
  const data = source?.cloudInitNoCloud
  if (data === undefined) return undefined
  const user = decode('userData', data.userData)
  for (const key of Object.keys(user))
    if (!USER_KEYS.includes(key)) throw new DecodeError(`userData.${key}`, user[key], 'no such key')
  const { networkData } = data
  return {
    user,
    network: networkData === undefined ? undefined : decode('networkData', networkData),
  }
}

function decode(name: string, text: string | undefined): Record<string, unknown> {
  const value: unknown = text === undefined ? {} : parse(text)
  if (isRecord(value)) return value
  throw new DecodeError(name, text, 'a YAML mapping')
}

/** The Debian packages that the guest needs; none where nothing is asked of it. */
export function listGuestPackages(vmi: Vmi): readonly string[] {
  const cloudInit = readCloudInit(vmi)
  if (cloudInit === undefined) return []
  // What Debian's cloud image has.
  const own = ['iproute2', ...(cloudInit.network === undefined ? ['isc-dhcp-client'] : [])]
  return [...own, ...(cloudInit.user.packages ?? [])]
}

/** In cloud-init's order: names, network, files, packages (and their daemons), commands. */
export async function playCloudInit(guest: Guest, vmi: Vmi): Promise<void> {
  const cloudInit = readCloudInit(vmi)
  if (cloudInit === undefined) return
  const { user, network } = cloudInit
  const { name: host } = vmi.metadata
  await guest.run(`hostname ${host}; echo 127.0.1.1 ${host} >/etc/hosts`)
  if (network === undefined) await askForAddress(guest)
  for (const ethernet of Object.values(network?.ethernets ?? {})) {
    const nic = await guest.nicByMac(ethernet.match.macaddress)
    const name = ethernet['set-name'] ?? nic.name
    await guest.run(`
      ip link set dev ${nic.name} down
      ip link set dev ${nic.name} name ${name}
      ip link set dev ${name} up
    `)
    for (const address of ethernet.addresses ?? [])
      await guest.run(`ip address add ${address} dev ${name}`)
  }
  for (const { path, content } of user.write_files ?? []) {
    await guest.run(`mkdir -p "$(dirname ${path})"`)
    await guest.put(path, Buffer.from(content))
  }
  for (const { daemon } of (user.packages ?? []).map(getGuestPackage)) {
    // It stays when the shell that started it is done.
    if (daemon !== undefined) await guest.run(`${daemon} >/dev/null 2>&1`)
  }
  for (const command of user.runcmd ?? [])
    await guest.run(GUEST_PRELUDE + toShell(command), { timeoutMs: COMMANDS_MS })
}

async function askForAddress(guest: Guest): Promise<void> {
  const [first] = await guest.nics()
  if (first === undefined) return
  await switchOnIpv6(guest, first.name)
  // It stays, to renew, when it has an address.
  await guest.run(`dhclient ${first.name} >/dev/null 2>&1`, { timeoutMs: COMMANDS_MS })
}

/** A list is an argv, a text is a shell's. */
export function toShell(command: string | readonly string[]): string {
  if (typeof command === 'string') return command
  return command.map((word) => `'${word.replaceAll("'", `'\\''`)}'`).join(' ')
}
