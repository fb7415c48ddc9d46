// The agent's log: JSON lines on standard error. Whatever others wrote is cut here, in the one place that
// every field comes by.
import { pino, type Logger } from 'pino'

import { cutValue } from '../core/cut.ts'
import { toPrintableJson } from '../core/printable.ts'

/** Errors name a command and all that it said. */
const ERROR_TEXT_MAX = 4_000

export function newLog(nodeName: string): Logger {
  const destination = pino.destination({ fd: 2, sync: true })
  // A full disk behind stderr must not take the node's wires' agent down.
  destination.on('error', () => undefined)
  return pino(
    {
      base: { node: nodeName },
      hooks: { streamWrite: toPrintableJson },
      formatters: { log: (fields) => cutValue(fields) as Record<string, unknown> },
      serializers: {
        err: (error: unknown) =>
          cutValue(error instanceof Error ? pino.stdSerializers.err(error) : error, ERROR_TEXT_MAX),
      },
    },
    destination,
  )
}
