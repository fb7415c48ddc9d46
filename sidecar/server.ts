// A gRPC server on one unix socket, from an empty file system to one that answers.
import { logVerbosity, Server, ServerCredentials, setLogVerbosity } from '@grpc/grpc-js'

import { toMaxMessageBytes } from './memory.ts'
import { clearSocketPath, delSocket } from './socket.ts'

export interface Listener {
  readonly path: string
  /** Resolves when calls under way are answered and the socket is gone. */
  readonly stop: () => Promise<void>
}

/** Listens at the path with what addServices adds. Throws a sentence when the path cannot be had. */
export async function listen(
  path: string,
  addServices: (server: Server) => void,
): Promise<Listener> {
  // It would write to stderr in its own format what it also returns as an error.
  setLogVerbosity(logVerbosity.NONE)
  const server = new Server({
    'grpc.max_receive_message_length': toMaxMessageBytes(),
    // What has been taken in gets out again, with our NICs in it.
    'grpc.max_send_message_length': -1,
    // Channelz keeps a record of every connection and call; nobody can ask for it here.
    'grpc.enable_channelz': 0,
  })
  addServices(server)
  await clearSocketPath(path)
  await new Promise<number>((resolve, reject) => {
    server.bindAsync(`unix:${path}`, ServerCredentials.createInsecure(), (error, port) => {
      if (error === null) resolve(port)
      else reject(error)
    })
  })
  return {
    path,
    stop: async () => {
      await new Promise<void>((resolve) => {
        server.tryShutdown(() => resolve())
      })
      delSocket(path)
    },
  }
}
