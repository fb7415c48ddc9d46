// A gRPC server on one unix socket: clears the path, listens and answers.
import { logVerbosity, Server, ServerCredentials, setLogVerbosity } from '@grpc/grpc-js'

import { MAX_MESSAGE_BYTES } from '../proto/load.ts'
import { clearSocketPath, delSocket } from './socket.ts'

export interface Listener {
  readonly path: string
  /** Resolves when calls under way are answered and the socket is removed. */
  readonly stop: () => Promise<void>
}

/**
 * Listens at the path with the services that addServices adds. Throws an Error with a sentence if it cannot
 * listen there.
 */
export async function listen(
  path: string,
  addServices: (server: Server) => void,
): Promise<Listener> {
  // Otherwise it writes errors to stderr in its own format, besides returning them.
  setLogVerbosity(logVerbosity.NONE)
  const server = new Server({
    'grpc.max_receive_message_length': toMaxMessageBytes(),
    // A document that came in must get out again, with our NICs in it.
    'grpc.max_send_message_length': -1,
    // Channelz records every connection and call. Nobody can read that here.
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

/**
 * The largest call that is accepted. Between request and answer a document exists seven times (message, text,
 * result, frames), so one sixteenth of the container's memory is safe: 4 MB of 64. A VMI has 1.5 MB at most, a
 * domain with 1,000 disks 0.25 MB. gRPC refuses a larger call before it reads it. 15 MB in a container of 64
 * made the kernel swap code pages without end.
 */
function toMaxMessageBytes(): number {
  const limit = process.constrainedMemory()
  return limit > 0 ? Math.min(MAX_MESSAGE_BYTES, Math.floor(limit / 16)) : MAX_MESSAGE_BYTES
}
