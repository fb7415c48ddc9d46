// What the CNI shims talk to: one line in, one line out. The one place where errors become CNI errors.
import { createServer, type Server, type Socket } from 'node:net'

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

export interface CniServer {
  readonly server: Server
  /** Takes no more requests; resolves when those under way are answered. */
  readonly close: () => Promise<void>
}

/** How long a client may take to ask: a shim writes its line at once. */
const ASK_MS = 10_000

export function newCniServer(node: Node): CniServer {
  const asking = new Set<Socket>()
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    asking.add(socket)
    socket.on('close', () => asking.delete(socket))
    // A shim that was killed: what it asked is finished all the same, its DEL comes after.
    socket.on('error', () => socket.destroy())
    socket.setTimeout(ASK_MS, () => socket.destroy())
    readLine(socket, (line) => {
      asking.delete(socket)
      socket.setTimeout(0)
      answer(node, line).then(
        (text) => socket.end(text),
        () => socket.destroy(),
      )
    })
  })
  const close = async (): Promise<void> =>
    new Promise((resolve) => {
      server.close(() => resolve())
      for (const socket of asking) socket.destroy()
    })
  return { server, close }
}

async function answer(node: Node, line: string): Promise<string> {
  let version: string = NEWEST_CNI_VERSION
  try {
    const request = decodeRequest(line)
    if (isCniVersion(request.config['cniVersion'])) version = request.config['cniVersion']
    const output = await runLogged(node, request)
    return renderResponse({ isError: false, ...(output === undefined ? {} : { output }) })
  } catch (error) {
    return renderResponse({ isError: true, output: toErrorResult(version, toCniError(error)) })
  }
}

async function runLogged(node: Node, request: CniRequest): ReturnType<typeof runVerb> {
  const { command, containerID, ifname } = request.args
  const facts = { command, containerID, ifname, network: request.config['name'] }
  const started = performance.now()
  try {
    const output = await runVerb(node, request)
    const ms = Math.round(performance.now() - started)
    // STATUS is the readiness probe, too: a line every few seconds would bury the rest.
    node.log[command === 'STATUS' ? 'debug' : 'info']({ ...facts, ms }, 'done')
    return output
  } catch (error) {
    // A refusal is an answer; only what nobody expects needs its stack.
    if (error instanceof CniError && error.cause === undefined)
      node.log.warn({ ...facts, code: error.code, msg: error.message }, 'refused')
    else node.log.error({ ...facts, err: error }, 'failed')
    throw error
  }
}

function renderResponse(response: Omit<CniResponse, 'protocol'>): string {
  return `${JSON.stringify({ protocol: PROTOCOL, ...response })}\n`
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
  let isRead = false
  socket.on('data', (chunk: Buffer) => {
    if (isRead) return
    chunks.push(chunk)
    bytes += chunk.length
    if (bytes > LINE_BYTES_MAX) socket.destroy()
    else if (chunk.includes(0x0a)) {
      isRead = true
      onLine(Buffer.concat(chunks).toString('utf8'))
    }
  })
  // Half-open sockets are ours to close: a client that ends without a line asks nothing.
  socket.on('end', () => {
    if (!isRead) socket.destroy()
  })
}
