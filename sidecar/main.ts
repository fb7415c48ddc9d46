// l2wire-sidecar: runs beside virt-launcher and plugs the VM's NICs into its domain XML. It changes
// XML and nothing else. Wiring only; the rules are in core/domain.
import { parseArgs } from 'node:util'

import { ServerCredentials } from '@grpc/grpc-js'
import type { Server } from '@grpc/grpc-js'
import { pino } from 'pino'

import { renderCauses } from '../core/errors.ts'
import { readPodLinks } from './facts.ts'
import { toMaxMessageBytes } from './memory.ts'
import { newHookServer } from './server.ts'
import { delSocket, clearSocketPath, toSocketPath } from './socket.ts'

/** Where the folder that only this sidecar and virt-launcher share is mounted. */
const SOCKET_DIR = '/var/run/kubevirt-hooks'
const SYSFS_NET = '/sys/class/net'
/** How long calls under way may take once we were told to stop. */
const DRAIN_MS = 2_000

const log = pino({ base: null }, pino.destination({ dest: 2, sync: true }))

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: { 'socket-dir': { type: 'string', default: SOCKET_DIR } },
  })
  // Empty counts as unset, as it does for KubeVirt.
  const binding = process.env['NETWORK_BINDING_PLUGIN_NAME'] || 'l2wire'
  const path = toSocketPath(values['socket-dir'], process.env['CONTAINER_NAME'] || binding)

  const server = newHookServer({
    binding,
    log,
    maxMessageBytes: toMaxMessageBytes(),
    readPodLinks: (names) => readPodLinks(SYSFS_NET, names),
    onShutdown: () => {
      stop(server, path, 'Shutdown')
    },
  })
  for (const signal of ['SIGTERM', 'SIGINT'] as const) {
    process.once(signal, () => {
      stop(server, path, signal)
    })
  }
  await clearSocketPath(path)
  await new Promise<number>((resolve, reject) => {
    server.bindAsync(`unix:${path}`, ServerCredentials.createInsecure(), (error, port) => {
      if (error === null) resolve(port)
      else reject(error)
    })
  })
  log.info({ binding, socket: path }, 'listening')
}

function stop(server: Server, path: string, reason: string): void {
  log.info({ reason }, 'stopping')
  const exit = () => {
    delSocket(path)
    process.exit(0)
  }
  setTimeout(exit, DRAIN_MS)
  server.tryShutdown(exit)
}

try {
  await main()
} catch (error) {
  log.fatal(renderCauses(error))
  process.exitCode = 1
}
