// The Debian roots that images of the cluster lie on.
import type { DebianRoot } from './debian-root.ts'

export const ROOTS = {
  tools: {
    name: 'tools',
    suite: 'bookworm',
    packages: [
      'busybox-static',
      'ethtool',
      'iproute2',
      'iputils-arping',
      'iputils-ping',
      'isc-dhcp-client',
      'keepalived',
      'frr',
      'lldpd',
      'nftables',
      'openssh-client',
      'procps',
      'qemu-guest-agent',
      'socat',
      'tcpdump',
      'tcpreplay',
      'util-linux',
    ],
  },
  handler: {
    name: 'virt-handler',
    suite: 'bookworm',
    packages: ['iproute2', 'nftables', 'passt', 'procps', 'qemu-utils', 'tar', 'util-linux'],
  },
  // KubeVirt writes domains that need a newer libvirt than bookworm's 9.0.
  launcher: {
    name: 'virt-launcher',
    suite: 'trixie',
    packages: [
      'acl',
      'attr',
      'dmidecode',
      'ethtool',
      'iproute2',
      'libvirt-clients',
      'libvirt-daemon',
      'libvirt-daemon-common',
      'libvirt-daemon-driver-qemu',
      'libvirt-daemon-log',
      'nftables',
      'procps',
      'qemu-system-x86',
      'qemu-utils',
      'tar',
      'util-linux',
      'xorriso',
    ],
  },
} as const satisfies Readonly<Record<string, DebianRoot>>
