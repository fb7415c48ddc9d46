// The unix socket the CNI shims talk to. One line in, one line out; the one place where errors
// become CNI errors.
import { mkdir, rm, chmod } from 'node:fs/promises'
import { createServer, type Server, type Socket } from 'node:net'
import { dirname } from 'node:path'

import { toErrorResult } from '../core/cni/result.ts'
import { isCniVersion, NEWEST_CNI_VERSION } from '../core/cni/version.ts'
import { CNI_CODE, CniError, CommandError, DecodeError } from '../core/errors.ts'
import {
  decodeRequest,
  LINE_BYTES_MAX,
  PROTOCOL,
  type CniRequest,
  type CniResponse,
} from '../core/protocol.ts'
import type { Node } from './node.ts'
import { runVerb } from './verbs.ts'

/** Listens. The state lock is held, so a socket file that is there is a dead agent's. */
export async function serve(node: Node, socketPath: string): Promise<Server> {
  await mkdir(dirname(socketPath), { recursive: true })
  await rm(socketPath, { force: true })
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    readLine(socket, (line) => {
      void answer(node, line).then((response) => socket.end(`${JSON.stringify(response)}\n`))
    })
  })
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen(socketPath, resolve)
  })
  // Whoever may write here may plug cables into any pod: root alone.
  await chmod(socketPath, 0o600)
  return server
}

async function answer(node: Node, line: string): Promise<CniResponse> {
  let request: CniRequest
  try {
    request = decodeRequest(line)
  } catch (error) {
    return toFailure(NEWEST_CNI_VERSION, error)
  }
  const { command, containerID, ifname } = request.args
  const started = performance.now()
  const facts = { command, containerID, ifname, network: request.config['name'] }
  try {
    const output = await runVerb(node, request)
    node.log.info({ ...facts, ms: Math.round(performance.now() - started) }, 'done')
    return { protocol: PROTOCOL, isError: false, ...(output === undefined ? {} : { output }) }
  } catch (error) {
    node.log.error({ ...facts, err: error }, 'failed')
    const version = request.config['cniVersion']
    return toFailure(isCniVersion(version) ? version : NEWEST_CNI_VERSION, error)
  }
}

function toFailure(version: string, error: unknown): CniResponse {
  return { protocol: PROTOCOL, isError: true, output: toErrorResult(version, toCniError(error)) }
}

function toCniError(error: unknown): CniError {
  if (error instanceof CniError) return error
  if (error instanceof CommandError)
    return new CniError(CNI_CODE.KERNEL_REFUSED, 'Cannot finish: the kernel refused a step', {
      cause: error,
    })
  if (error instanceof DecodeError)
    return new CniError(CNI_CODE.DECODING_FAILURE, error.message, { cause: error })
  const code = (error as NodeJS.ErrnoException | undefined)?.code
  if (code !== undefined)
    return new CniError(CNI_CODE.IO_FAILURE, `Cannot finish: the system said ${code}`, {
      cause: error,
    })
  return new CniError(CNI_CODE.INTERNAL, 'Cannot go on: this is a bug in l2wire', { cause: error })
}

function readLine(socket: Socket, onLine: (line: string) => void): void {
  const chunks: Buffer[] = []
  let bytes = 0
  // A shim that was killed: what was asked is finished all the same, its DEL will come.
  socket.on('error', () => socket.destroy())
  socket.on('data', (chunk: Buffer) => {
    chunks.push(chunk)
    bytes += chunk.length
    if (bytes > LINE_BYTES_MAX) socket.destroy()
    else if (chunk.includes(0x0a)) {
      socket.removeAllListeners('data')
      onLine(Buffer.concat(chunks).toString('utf8'))
    }
  })
}
