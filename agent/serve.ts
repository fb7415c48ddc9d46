// What the CNI shims talk to: a line in, a line out. The one place where errors become CNI errors.
import { createServer, type Server } from 'node:net'

import type { Logger } from 'pino'

import { toErrorResult } from '../core/cni/result.ts'
import { isCniVersion, NEWEST_CNI_VERSION, type CniCommand } from '../core/cni/version.ts'
import { cutValue } from '../core/cut.ts'
import { CNI_CODE, CniError, CommandError, DecodeError } from '../core/errors.ts'
import { newLimit } from '../core/limit.ts'
import {
  decodeIpamAnswer,
  decodeRequest,
  expectShortConfig,
  IPAM_MS,
  IPAM_QUESTION,
  PROTOCOL,
  readQuestion,
  type CniResponse,
} from '../core/cni/protocol.ts'
import { HungUpError, newConversation, type Conversation } from './conversation.ts'
import type { AgentContext } from './context.ts'
import { newAnswer, type Answer } from './doctor/questions.ts'
import type { Starting } from './starting.ts'
import { newPlaces, runVerb, type Call, type Places } from './verbs.ts'

export interface CniServer {
  readonly server: Server
  /** Takes no more requests; resolves when those under way are answered. */
  readonly close: () => Promise<void>
}

/** How long a client may take to ask: a shim writes its line at once. */
const ASK_MS = 10_000
/** How long a request waits for an agent that starts, which takes a second as a rule. */
const START_MS = 10_000
/** The same for whoever waits some seconds for an answer: a probe, and a DEL, which has its note. */
const SHORT_START_MS = 2_000

/** How often a line says that connections are cut off: there may be thousands. */
const TOLD_MS = 10_000

interface Serving {
  readonly starting: Starting
  readonly places: Places
  readonly answerQuestion: Answer
  readonly log: Logger
}

export function newCniServer(starting: Starting, log: Logger): CniServer {
  const conversations = new Map<Conversation, Promise<void>>()
  const serving: Serving = {
    starting,
    places: newPlaces(),
    answerQuestion: newAnswer(starting),
    log,
  }
  const longLines = newLimit(1)
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    const conversation = newConversation(socket, longLines)
    const answered = answer(serving, conversation).finally(() => conversations.delete(conversation))
    conversations.set(conversation, answered)
  })
  let toldAt = -Infinity
  server.on('drop', () => {
    if (performance.now() - toldAt < TOLD_MS) return
    toldAt = performance.now()
    log.warn({ most: server.maxConnections }, 'more connections than are taken: some are cut off')
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
async function answer(serving: Serving, conversation: Conversation): Promise<void> {
  let version: string = NEWEST_CNI_VERSION
  const setVersion = (given: unknown): void => {
    if (isCniVersion(given)) version = given
  }
  try {
    const line = await conversation.listen(ASK_MS)
    const question = readQuestion(line)
    const output =
      question === undefined
        ? await runLogged(serving, readCall(line, conversation, setVersion))
        : await serving.answerQuestion(question)
    sayLast(conversation, { isError: false, ...(output === undefined ? {} : { output }) })
  } catch (error) {
    if (error instanceof HungUpError) conversation.hangUp()
    else sayLast(conversation, { isError: true, output: toErrorResult(version, toCniError(error)) })
  }
}

function readCall(
  line: string,
  conversation: Conversation,
  setVersion: (given: unknown) => void,
): Call {
  expectShortConfig(line)
  const { args, config } = decodeRequest(line)
  setVersion(config['cniVersion'])
  return {
    args,
    network: cutValue(config['name']),
    // Decoded again when its turn comes: what waits takes as much memory as its line, and no more.
    readConfig: () => decodeRequest(line).config,
    askIpam: async () => askIpam(conversation),
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
  { starting, places, log }: Serving,
  call: Call,
): ReturnType<typeof runVerb> {
  const { command, containerID, ifname } = call.args
  const facts = { command, containerID, ifname, network: call.network }
  const started = performance.now()
  try {
    const output = await runVerb(await findNode(starting, command), call, places)
    const ms = Math.round(performance.now() - started)
    // STATUS is the readiness probe, too: a line every few seconds would bury the rest.
    log[command === 'STATUS' ? 'debug' : 'info']({ ...facts, ms }, 'done')
    return output
  } catch (error) {
    // A refusal is an answer; only what nobody expects needs its stack.
    if (error instanceof HungUpError) log.warn({ ...facts, reason: error.message }, 'not answered')
    else if (error instanceof CniError && error.cause === undefined)
      log.warn({ ...facts, code: error.code, msg: error.message }, 'refused')
    else log.error({ ...facts, err: error }, 'failed')
    throw error
  }
}

/** An agent that starts unplugs as soon as it knows what is plugged in, whether its store is there or not. */
async function findNode(starting: Starting, command: CniCommand): Promise<AgentContext> {
  const isDel = command === 'DEL'
  const timeoutMs = isDel || command === 'STATUS' ? SHORT_START_MS : START_MS
  const node = await (isDel
    ? starting.waitUntilKnown(timeoutMs)
    : starting.waitUntilReady(timeoutMs))
  if (node !== undefined) return node
  // Whom nobody answers leaves a release note.
  if (isDel) throw new HungUpError('Cannot run DEL yet: the agent is starting')
  throw new CniError(
    command === 'STATUS' ? CNI_CODE.NOT_AVAILABLE : CNI_CODE.TRY_AGAIN_LATER,
    `Cannot run ${command} yet: the agent is starting: ${starting.readReason()}`,
  )
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
