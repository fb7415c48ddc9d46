// What the CNI shims talk to: a line in, a line out. The one place where errors become CNI errors.
import { createServer, type Server } from 'node:net'

import { toErrorResult } from '../core/cni/result.ts'
import { isCniVersion, NEWEST_CNI_VERSION } from '../core/cni/version.ts'
import { CNI_CODE, CniError, CommandError, DecodeError } from '../core/errors.ts'
import {
  decodeIpamAnswer,
  decodeRequest,
  IPAM_MS,
  IPAM_QUESTION,
  PROTOCOL,
  type CniRequest,
  type CniResponse,
} from '../core/protocol.ts'
import type { AskIpam } from './addresses.ts'
import { HungUpError, newConversation, type Conversation } from './conversation.ts'
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
  const conversations = new Map<Conversation, Promise<void>>()
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    const conversation = newConversation(socket)
    const answered = answer(node, conversation).finally(() => conversations.delete(conversation))
    conversations.set(conversation, answered)
  })
  const close = async (): Promise<void> => {
    const closed = new Promise<void>((resolve) => server.close(() => resolve()))
    for (const conversation of conversations.keys())
      if (conversation.isListening()) conversation.hangUp()
    await Promise.all([closed, ...conversations.values()])
  }
  return { server, close }
}

/** Never throws. What a client that hangs up has asked for is finished, or taken back, all the same. */
async function answer(node: Node, conversation: Conversation): Promise<void> {
  let version: string = NEWEST_CNI_VERSION
  try {
    const request = decodeRequest(await conversation.listen(ASK_MS))
    if (isCniVersion(request.config['cniVersion'])) version = request.config['cniVersion']
    const output = await runLogged(node, request, async () => askIpam(conversation))
    sayLast(conversation, { isError: false, ...(output === undefined ? {} : { output }) })
  } catch (error) {
    if (error instanceof HungUpError) conversation.hangUp()
    else sayLast(conversation, { isError: true, output: toErrorResult(version, toCniError(error)) })
  }
}

function sayLast(conversation: Conversation, response: Omit<CniResponse, 'protocol'>): void {
  conversation.end({ protocol: PROTOCOL, ...response })
}

async function askIpam(conversation: Conversation): Promise<Readonly<Record<string, unknown>>> {
  conversation.say(IPAM_QUESTION)
  const reply = decodeIpamAnswer(await conversation.listen(IPAM_MS + ASK_MS))
  if ('result' in reply) return reply.result
  const { code, message, details } = reply.error
  throw new CniError(code, message, details === undefined ? {} : { details })
}

async function runLogged(
  node: Node,
  request: CniRequest,
  askIpam: AskIpam,
): ReturnType<typeof runVerb> {
  const { command, containerID, ifname } = request.args
  const facts = { command, containerID, ifname, network: request.config['name'] }
  const started = performance.now()
  try {
    const output = await runVerb(node, request, askIpam)
    const ms = Math.round(performance.now() - started)
    // STATUS is the readiness probe, too: a line every few seconds would bury the rest.
    node.log[command === 'STATUS' ? 'debug' : 'info']({ ...facts, ms }, 'done')
    return output
  } catch (error) {
    // A refusal is an answer; only what nobody expects needs its stack.
    if (error instanceof HungUpError)
      node.log.warn(facts, 'the client hung up in the middle, what was done is taken back')
    else if (error instanceof CniError && error.cause === undefined)
      node.log.warn({ ...facts, code: error.code, msg: error.message }, 'refused')
    else node.log.error({ ...facts, err: error }, 'failed')
    throw error
  }
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
