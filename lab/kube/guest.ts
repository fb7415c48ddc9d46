// The cluster's guest: the lab's kernel and user space with the guest agent that KubeVirt asks, with lldpd, and with
// the DHCP clients of both families.
import { fileURLToPath } from 'node:url'

import { ensureGuestOfKind, type GuestImage, type GuestKind } from '../guest-image.ts'
import { getGuestPackage } from '../guest-packages.ts'

const UNPACKED = [
  'ethtool',
  'iproute2',
  'iputils-arping',
  'iputils-ping',
  'isc-dhcp-client',
  'lldpd',
  'perl-base',
  'qemu-guest-agent',
]
const PROGRAMS = [
  '/usr/bin/arping',
  '/usr/bin/ping',
  '/usr/sbin/bridge',
  '/usr/sbin/ethtool',
  '/usr/sbin/ip',
  '/usr/sbin/qemu-ga',
  '/usr/sbin/tc',
]

const toPath = (name: string): string => fileURLToPath(new URL(name, import.meta.url))

const KIND: GuestKind = {
  packages: [
    { programs: PROGRAMS, unpackedWith: UNPACKED },
    { ...getGuestPackage('isc-dhcp-client'), unpackedWith: UNPACKED },
    { ...getGuestPackage('lldpd'), unpackedWith: UNPACKED },
    // What a numbered stream is written in.
    { ...getGuestPackage('perl-base'), unpackedWith: UNPACKED },
  ],
  files: new Map([['/etc/udhcpc/default.script', toPath('guest-udhcpc.sh')]]),
  init: toPath('guest-init.sh'),
}

export async function ensureClusterGuest(): Promise<GuestImage> {
  return ensureGuestOfKind('small', KIND)
}
