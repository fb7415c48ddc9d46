// This node's agent, asked over its socket.
import { readlink } from 'node:fs/promises'
import { join } from 'node:path'

import { SOCKET_LINK, type Question } from '../core/cni/protocol.ts'
import { renderCauses } from '../core/errors.ts'
import { askQuestion } from '../kernel/ask-agent.ts'
import { CliError } from './cli-error.ts'

/** A node with hundreds of wires answers within seconds. */
const ANSWER_MS = 15_000

/** Throws CliError, with the agent's own words where it has any. */
export async function askNode(
  stateDir: string,
  question: Question,
): Promise<Readonly<Record<string, unknown>>> {
  const socket = await findSocket(stateDir)
  if (socket === undefined)
    throw new CliError(`No agent has run here with the state directory "${stateDir}"`)
  try {
    return await askQuestion(socket, question, ANSWER_MS)
  } catch (cause) {
    throw new CliError(renderCauses(cause), { cause })
  }
}

/** Where the agent listens; undefined where none has said so. */
export async function findSocket(stateDir: string): Promise<string | undefined> {
  try {
    return await readlink(join(stateDir, SOCKET_LINK))
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw error
  }
}
