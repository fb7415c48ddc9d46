// Makes the lab's API server reachable from inside a namespace under the same address, so that a kubeconfig
// works there, too. Disposing of it cuts that node off from the API, established connections included.
import { spawn } from 'node:child_process'
import { connect, type Server, type Socket } from 'node:net'
import { once } from 'node:events'

import type { LabApiServer } from './api-server.ts'
import { joinSockets } from './join-sockets.ts'
import type { LabNetns } from './netns.ts'

// A socket belongs to the namespace in which it was made, whoever holds it. So a child listens inside and
// passes the listening socket to us.
const LISTEN = `
const [, port, host] = process.argv
const server = require('node:net').createServer()
server.listen(Number(port), host, () => process.send('listening', server, () => process.exit()))
`

export async function reachApi(api: LabApiServer, netns: LabNetns): Promise<AsyncDisposable> {
  const { hostname, port } = new URL(api.url)
  const server = await listenInside(netns, Number(port), hostname)
  const sockets = new Set<Socket>()
  server.on('connection', (inside: Socket) => {
    joinSockets(inside, connect(Number(port), hostname), sockets)
  })
  return {
    [Symbol.asyncDispose]: async () => {
      const closed = once(server, 'close')
      server.close()
      for (const socket of sockets) socket.destroy()
      await closed
    },
  }
}

async function listenInside(netns: LabNetns, port: number, host: string): Promise<Server> {
  const child = spawn(
    'nsenter',
    [`--net=${netns.path}`, process.execPath, '-e', LISTEN, String(port), host],
    { stdio: ['ignore', 'ignore', 'pipe', 'ipc'] },
  )
  let said = ''
  child.stderr?.setEncoding('utf8').on('data', (text: string) => (said += text))
  return new Promise((resolve, reject) => {
    child.on('message', (_, server) => resolve(server as Server))
    child.on('error', reject)
    child.on('exit', (code) => {
      if (code !== 0) reject(new Error(`Cannot listen in ${netns.name}: ${said}`))
    })
  })
}
