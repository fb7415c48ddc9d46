// This node's part in measuring the ways between nodes: sends datagrams that no tunnel takes, and notes
// those that arrive, in a table of nftables that goes when the measuring is over.
import { createSocket, type Socket } from 'node:dgram'
import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'

import { CommandError } from '../core/errors.ts'
import {
  encodeProbe,
  listStaleEars,
  parseEars,
  renderEars,
  toEarsTable,
  type Heard,
  type ProbeMark,
} from '../core/path-probe.ts'
import type { ProberRequest } from '../core/prober-line.ts'
import type { Run } from './run.ts'

export interface Prober extends AsyncDisposable {
  readonly listen: (mark: ProbeMark) => Promise<void>
  readonly send: (request: Extract<ProberRequest, { op: 'send' }>) => Promise<void>
  readonly heard: () => Promise<Heard>
}

/** Each size so many times: one datagram may get lost where nothing is wrong. */
const TIMES = 2
/** A burst must not overrun a queue on the way. */
const PAUSE_MS = 2

export function newProber(run: Run): Prober {
  let table: string | undefined
  const remove = async (name: string): Promise<void> => {
    try {
      await run(['nft', 'delete', 'table', 'inet', name])
    } catch (error) {
      // Another doctor swept it.
      if (!(error instanceof CommandError) || !error.stderr.includes('No such file')) throw error
    }
  }
  return {
    listen: async (mark) => {
      for (const stale of listStaleEars(await run(['nft', '-j', 'list', 'tables']), Date.now()))
        await remove(stale)
      table = toEarsTable(mark.token, Date.now())
      await run(['nft', '-f', '-'], { input: `${renderEars(table, mark).join('\n')}\n` })
    },
    send: async ({ from, to, port, token, vni, sizes }) => {
      const socket = createSocket(to.includes(':') ? 'udp6' : 'udp4')
      try {
        socket.bind(0, from)
        await once(socket, 'listening')
        for (let time = 0; time < TIMES; time += 1)
          for (const bytes of sizes) {
            await sendOne(socket, encodeProbe(to, bytes, token, vni), port, to)
            await sleep(PAUSE_MS)
          }
      } finally {
        socket.close()
      }
    },
    heard: async () =>
      table === undefined
        ? { whole: [], delivered: [] }
        : parseEars(await run(['nft', '-j', 'list', 'table', 'inet', table])),
    [Symbol.asyncDispose]: async () => {
      if (table !== undefined) await remove(table)
      table = undefined
    },
  }
}

// What the kernel does not send (no route, a firewall of this node, EMSGSIZE) does not arrive: that is
// the answer.
async function sendOne(
  socket: Socket,
  payload: Uint8Array,
  port: number,
  to: string,
): Promise<void> {
  await new Promise<void>((resolve) => {
    socket.send(payload, port, to, () => resolve())
  })
}
