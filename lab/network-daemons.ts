// The daemons that configure an ordinary node's network, Debian's own, unpacked and not installed. Each runs in
// a container in the node's network namespace, with a configuration that takes every device.
import { chmod, mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'

import { run } from '../kernel/run.ts'
import { newContainer, type ContainerOptions } from './container.ts'
import type { LabNetns } from './netns.ts'

export interface NetworkDaemon extends AsyncDisposable {
  /** Its state of a device, in its own word; undefined if it has not seen the device. */
  readonly readState: (device: string) => Promise<string | undefined>
  readonly readLog: () => string
}

export const NETWORK_DAEMONS = ['dbus', 'network-manager', 'systemd', 'udev']

/** The bus of NetworkManager. Everybody in the container is root. */
const BUS = `<busconfig>
  <type>system</type>
  <listen>unix:path=/run/dbus/system_bus_socket</listen>
  <policy context="default">
    <allow own="*"/>
    <allow send_destination="*"/>
    <allow receive_sender="*"/>
  </policy>
</busconfig>
`

/** An administrator's connection for any Ethernet device. */
const CONNECTION = `[connection]
id=all
uuid=7d3b0a3e-0000-4000-8000-000000000001
type=ethernet
autoconnect=true
multi-connect=3
[ipv4]
method=auto
[ipv6]
method=auto
`

/** An administrator's network for any device. */
const NETWORK = `[Match]
Name=*
[Network]
DHCP=yes
LinkLocalAddressing=yes
Address=198.51.100.1/24
`

/** folder is an empty one of the caller's. conf.d in it is NetworkManager's. */
export async function startNetworkManager(node: LabNetns, folder: string): Promise<NetworkDaemon> {
  await writeFile(join(folder, 'bus.conf'), BUS)
  await mkdir(join(folder, 'conf.d'), { recursive: true })
  await mkdir(join(folder, 'connections'))
  const connection = join(folder, 'connections/all.nmconnection')
  await writeFile(connection, CONNECTION)
  // It reads no file that others may read.
  await chmod(connection, 0o600)
  const script = `
    mkdir -p /run/dbus /var/lib/NetworkManager
    dbus-daemon --config-file=/lab/bus.conf --nopidfile --fork
    exec NetworkManager --no-daemon
  `
  const container = await newContainer({
    ...toOptions(node),
    volumes: { lab: folder, conf: join(folder, 'conf.d'), all: join(folder, 'connections') },
    spec: {
      ...confine(script),
      volumeMounts: [
        { name: 'lab', mountPath: '/lab' },
        { name: 'conf', mountPath: '/etc/NetworkManager/conf.d' },
        { name: 'all', mountPath: '/etc/NetworkManager/system-connections' },
      ],
    },
  })
  const ask = container.toInsideArgv(['nmcli', '-t', '-f', 'DEVICE,STATE', 'device'])
  return {
    readState: async (device) => {
      // Not on the bus yet.
      const text = await run(ask).catch(() => '')
      const line = text.split('\n').find((one) => one.startsWith(`${device}:`))
      return line?.slice(device.length + 1)
    },
    readLog: container.readLog,
    [Symbol.asyncDispose]: async () => container[Symbol.asyncDispose](),
  }
}

/** folder is its configuration. Files in it stay, and the catch-all network comes last. */
export async function startNetworkd(node: LabNetns, folder: string): Promise<NetworkDaemon> {
  await writeFile(join(folder, '99-all.network'), NETWORK)
  const script = `
    grep -q ^systemd-network: /etc/passwd || {
      echo systemd-network:x:998:998::/:/usr/sbin/nologin >>/etc/passwd
      echo systemd-network:x:998: >>/etc/group
    }
    mkdir -p /run/systemd
    exec /lib/systemd/systemd-networkd
  `
  const container = await newContainer({
    ...toOptions(node),
    volumes: { network: folder },
    spec: {
      ...confine(script),
      volumeMounts: [{ name: 'network', mountPath: '/etc/systemd/network' }],
    },
  })
  return {
    readState: async (device) => {
      const index = await node.run(['ip', '-o', 'link', 'show', 'dev', device])
      const file = `/run/systemd/netif/links/${index.slice(0, index.indexOf(':'))}`
      const text = await run(container.toInsideArgv(['cat', file])).catch(() => '')
      return /^ADMIN_STATE=(.*)$/m.exec(text)?.[1]
    },
    readLog: container.readLog,
    [Symbol.asyncDispose]: async () => container[Symbol.asyncDispose](),
  }
}

/** udev, which names devices and gives them MACs. It needs a writable /sys. */
export async function startUdev(node: LabNetns, folder: string): Promise<AsyncDisposable> {
  const script = 'exec /lib/systemd/systemd-udevd'
  return newContainer({
    ...toOptions(node),
    volumes: { network: folder },
    spec: {
      name: 'udev',
      command: ['sh', '-euc', script],
      securityContext: { privileged: true },
      volumeMounts: [{ name: 'network', mountPath: '/etc/systemd/network' }],
    },
  })
}

function toOptions(node: LabNetns): Pick<ContainerOptions, 'hostname' | 'netnsName' | 'packages'> {
  return { hostname: 'node', netnsName: node.name, packages: NETWORK_DAEMONS }
}

// Without a writable /sys they do without udev.
function confine(script: string): ContainerOptions['spec'] {
  return {
    name: 'daemon',
    command: ['sh', '-euc', script],
    securityContext: { capabilities: { add: ['NET_ADMIN', 'NET_BROADCAST', 'SYS_ADMIN'] } },
  }
}
