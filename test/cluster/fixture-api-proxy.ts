// A TCP proxy before the lab's API server that does what networks do: cuts connections, refuses them, falls
// silent. It counts what it sees.
import { once } from 'node:events'
import { readFile, writeFile } from 'node:fs/promises'
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net'

import type { LabApiServer } from '../../lab/api-server.ts'
import { joinSockets } from '../../lab/join-sockets.ts'

export interface ApiProxy extends AsyncDisposable {
  readonly url: string
  /** The given kubeconfig, with the proxy for a server. */
  readonly toKubeconfig: (kubeconfig: string) => Promise<string>
  /** How often somebody has connected, whether let in or not. */
  readonly countConnections: () => number
  readonly countOpen: () => number
  /** Cuts all connections off. */
  readonly cut: () => void
  /** From now on who connects is cut off at once. */
  readonly refuse: () => void
  readonly accept: () => void
  /** What is open stays open, and nothing passes any more; new connections are let through. */
  readonly silence: () => void
}

export async function newApiProxy(api: LabApiServer): Promise<ApiProxy> {
  const { hostname, port } = new URL(api.url)
  const sockets = new Set<Socket>()
  let connections = 0
  let isRefusing = false
  const server: Server = createServer((inside) => {
    connections += 1
    if (isRefusing) {
      inside.resetAndDestroy()
      return
    }
    const outside = connect(Number(port), hostname)
    // What is measured behind it is not to wait for acknowledgements.
    for (const socket of [inside, outside]) socket.setNoDelay()
    joinSockets(inside, outside, sockets)
  })
  server.listen(0, hostname)
  await once(server, 'listening')
  const url = `https://${hostname}:${(server.address() as AddressInfo).port}`
  const cut = (): void => {
    for (const socket of sockets) socket.destroy()
  }
  return {
    url,
    toKubeconfig: async (kubeconfig) => {
      const text = (await readFile(kubeconfig, 'utf8')).replaceAll(api.url, url)
      const path = `${kubeconfig}.${new URL(url).port}`
      await writeFile(path, text, { mode: 0o600 })
      return path
    },
    countConnections: () => connections,
    countOpen: () => sockets.size / 2,
    cut,
    refuse: () => {
      isRefusing = true
      cut()
    },
    accept: () => {
      isRefusing = false
    },
    silence: () => {
      for (const socket of sockets) socket.unpipe().pause()
    },
    [Symbol.asyncDispose]: async () => {
      const closed = once(server, 'close')
      server.close()
      cut()
      await closed
    },
  }
}
