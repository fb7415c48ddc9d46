// l2wire-sidecar runs beside virt-launcher and writes what the VM needs to know of its NICs into the domain
// XML. It changes no device. This file is wiring only; the rules are in core/domain.
import { parseArgs } from 'node:util'

import { pino } from 'pino'

import { OUR_BINDINGS } from '../core/domain/bindings.ts'
import { renderCauses } from '../core/errors.ts'
import { toPrintableJson } from '../core/printable.ts'
import { addDomainHook } from './domain-hook.ts'
import { readPodLinks } from './facts.ts'
import { addHooks } from './hooks.ts'
import { listen } from './server.ts'
import type { Listener } from './server.ts'
import { delSocket, toSocketPath } from './socket.ts'

/** The mount point of the folder that only this sidecar and virt-launcher share. */
const SOCKET_DIR = '/var/run/kubevirt-hooks'
const SYSFS_NET = '/sys/class/net'
/** How long calls under way may take after a request to stop. */
const DRAIN_MS = 2_000

const log = pino(
  { base: null, hooks: { streamWrite: toPrintableJson } },
  pino.destination({ dest: 2, sync: true }),
)
const listeners: Listener[] = []

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      'socket-dir': { type: 'string' },
      'plugin-socket': { type: 'string' },
      binding: { type: 'string', multiple: true },
    },
  })
  // This comes first: PID 1 of a container ignores a signal for which it has no handler.
  for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, () => stop(signal))
  const pod = { log, readPodLinks: (names: Iterable<string>) => readPodLinks(SYSFS_NET, names) }

  const pluginSocket = values['plugin-socket']
  if (pluginSocket !== undefined) {
    const bindings = values.binding ?? OUR_BINDINGS
    listeners.push(
      await listen(pluginSocket, (server) => addDomainHook(server, { ...pod, bindings })),
    )
    log.info({ bindings, socket: pluginSocket }, 'listening')
    // A container that serves a Plugin has no folder of a hook sidecar, unless an option names one.
    if (values['socket-dir'] === undefined) return
  }
  // Empty counts as unset, as in KubeVirt.
  const binding = process.env['NETWORK_BINDING_PLUGIN_NAME'] || 'l2wire'
  const dir = values['socket-dir'] ?? SOCKET_DIR
  const path = toSocketPath(dir, process.env['CONTAINER_NAME'] || binding)
  listeners.push(await listen(path, (server) => addHooks(server, { ...pod, binding, onShutdown })))
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
