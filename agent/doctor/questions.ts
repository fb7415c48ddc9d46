// The questions that the agent answers besides CNI's verbs. Answering changes nothing.
import type { NodeDiff } from '../../core/doctor/facts.ts'
import { CNI_CODE, CniError, DecodeError } from '../../core/errors.ts'
import { newLimit } from '../../core/limit.ts'
import type { WireInspection } from '../../core/observe/inspection.ts'
import { record } from '../../core/shape.ts'
import { decodeWireId } from '../../core/wire/document.ts'
import { expectAble } from '../able.ts'
import type { AgentContext } from '../context.ts'
import type { Starting } from '../starting.ts'
import { compareNode } from './compare.ts'
import { inspectWire } from './inspect.ts'

type Json = Readonly<Record<string, unknown>>

/** How many answers are prepared at once. Each is as much work as the five-minute check. */
const AT_ONCE = 2
/** How long a question waits for an agent that is starting. */
const START_MS = 2_000

/** Throws whatever the answer fails with, and DecodeError for an unknown question. */
export type Answer = (question: Json) => Promise<Json | undefined>

export function newAnswer(starting: Starting): Answer {
  const limit = newLimit(AT_ONCE)
  const look = async (
    read: (node: AgentContext) => Promise<NodeDiff | WireInspection>,
  ): Promise<Json> => {
    const node = await starting.waitUntilReady(START_MS)
    if (node === undefined)
      throw new CniError(
        CNI_CODE.NOT_AVAILABLE,
        `Cannot look yet: the agent is starting: ${starting.readReason()}`,
      )
    return { ...(await limit.inside(async () => read(node))) }
  }
  return async (question) => {
    switch (question['question']) {
      // Also while it starts and waits for its store.
      case 'alive':
        return expectAble()
      case 'node':
        return look(compareNode)
      case 'wire': {
        const id = decodeWireId(record(question['wire'], 'wire'), 'wire')
        return look(async (node) => inspectWire(node, id))
      }
      default:
        throw new DecodeError('question', question['question'], 'one of alive, node, wire')
    }
  }
}
