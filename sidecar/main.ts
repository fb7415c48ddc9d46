// l2wire-sidecar: runs beside virt-launcher and writes what the VM has to be told of its NICs: the domain XML,
// and network data for cloud-init. It changes no device. Wiring only; the rules are in core/domain.
import { parseArgs } from 'node:util'

import { pino } from 'pino'

import { OUR_BINDINGS } from '../core/domain/bindings.ts'
import { renderCauses } from '../core/errors.ts'
import { addDomainHook } from './domain-hook.ts'
import { hasNetworkDataMark, readPodLinks } from './facts.ts'
import { addHooks } from './hooks.ts'
import { readPodNetwork } from './pod-network.ts'
import { listen } from './server.ts'
import type { Listener } from './server.ts'
import { delSocket, toSocketPath } from './socket.ts'
import { warmUpSoon } from './warm-up.ts'

/** Where the folder that only this sidecar and virt-launcher share is mounted. */
const SOCKET_DIR = '/var/run/kubevirt-hooks'
const SYSFS_NET = '/sys/class/net'
/** How long calls under way may take once we were told to stop. */
const DRAIN_MS = 2_000

const log = pino({ base: null }, pino.destination({ dest: 2, sync: true }))
const listeners: Listener[] = []

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      'socket-dir': { type: 'string' },
      'plugin-socket': { type: 'string' },
      binding: { type: 'string', multiple: true },
    },
  })
  // First of all: PID 1 of a container does not end by a signal that it has no handler for.
  for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, () => stop(signal))
  const pod = { log, readPodLinks: (names: Iterable<string>) => readPodLinks(SYSFS_NET, names) }

  const pluginSocket = values['plugin-socket']
  if (pluginSocket !== undefined) {
    const bindings = values.binding ?? OUR_BINDINGS
    listeners.push(
      await listen(pluginSocket, (server) => addDomainHook(server, { ...pod, bindings })),
    )
    log.info({ bindings, socket: pluginSocket }, 'listening')
    // A container that serves a Plugin has no folder of a hook sidecar, unless it is told of one.
    if (values['socket-dir'] === undefined) {
      warmUpSoon()
      return
    }
  }
  // Empty counts as unset, as it does for KubeVirt.
  const binding = process.env['NETWORK_BINDING_PLUGIN_NAME'] || 'l2wire'
  const dir = values['socket-dir'] ?? SOCKET_DIR
  const path = toSocketPath(dir, process.env['CONTAINER_NAME'] || binding)
  const hooks = {
    ...pod,
    binding,
    readPodNetwork,
    isNetworkDataWanted: () => hasNetworkDataMark(SYSFS_NET),
    onInfo: warmUpSoon,
    onShutdown,
  }
  listeners.push(await listen(path, (server) => addHooks(server, hooks)))
  log.info({ binding, socket: path }, 'listening')
}

function onShutdown(): void {
  stop('Shutdown')
}

function stop(reason: string): void {
  log.info({ reason }, 'stopping')
  setTimeout(() => {
    for (const { path } of listeners) delSocket(path)
    process.exit(0)
  }, DRAIN_MS)
  void Promise.all(listeners.map(async (listener) => listener.stop())).then(() => process.exit(0))
}

try {
  await main()
} catch (error) {
  log.fatal(renderCauses(error))
  for (const { path } of listeners) delSocket(path)
  process.exit(1)
}
