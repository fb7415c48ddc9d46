// kubectl-l2wire prober: this node's part in measuring the ways between nodes. `doctor` runs one on each
// node; each line it reads is a list of what to send, each answer what has arrived here up to then.
import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'

import type { Command } from 'commander'

import { encodeProbe, renderRecorder } from '../../core/doctor/path-probe.ts'
import { decodeShots, type ProberReport, type Shot } from '../../core/doctor/prober-line.ts'
import { run } from '../../kernel/run.ts'
import { readUnderlayMtu } from '../../kernel/underlay.ts'
import { serveLines } from '../tester/line-server.ts'

/** A burst must not overrun a queue on the way. */
const PAUSE_MS = 2

export function addProberCommand(program: Command): void {
  program
    .command('prober')
    .description('sends and hears the datagrams that measure the ways between nodes')
    .argument('<port>', "the tunnels' UDP port")
    .argument('<token...>', 'of each way that leads here')
    .action(async (port: string, tokens: readonly string[]) =>
      runProber(Number(port), tokens.map(Number)),
    )
}

async function runProber(port: number, tokens: readonly number[]): Promise<void> {
  // Those of probers that were killed.
  const tables = (await run(['nft', 'list', 'tables'])).matchAll(/ (l2wire_doctor_(\d+))$/gm)
  for (const [, stale = '', pid = ''] of tables)
    if (!existsSync(`/proc/${pid}`)) await remove(stale)
  const table = `l2wire_doctor_${process.pid}`
  await run(['nft', '-f', '-'], { input: renderRecorder(table, port, tokens) })
  try {
    await serveLines(async (line): Promise<ProberReport> => {
      const shots = decodeShots(line)
      const from = shots[0]?.fromAddress ?? ''
      await send(from, port, shots)
      const nft = await run(['nft', '-j', 'list', 'table', 'inet', table])
      return { mtuBytes: await readUnderlayMtu(run, from), nft }
    })
  } finally {
    await remove(table)
  }
}

// In one transaction, which succeeds on what is gone.
async function remove(table: string): Promise<void> {
  await run(['nft', `add table inet ${table}; delete table inet ${table}`])
}

async function send(from: string, port: number, shots: readonly Shot[]): Promise<void> {
  const socket = createSocket(from.includes(':') ? 'udp6' : 'udp4')
  try {
    socket.bind(0, from)
    await once(socket, 'listening')
    for (const { toAddress, vni, token, sizes } of shots)
      // Twice: one datagram may get lost where nothing is wrong.
      for (const bytes of [...sizes, ...sizes]) {
        // What the kernel does not send (no route, a firewall of this node, EMSGSIZE) does not arrive:
        // that is the answer.
        socket.send(encodeProbe(toAddress, bytes, vni, token), port, toAddress, () => undefined)
        await sleep(PAUSE_MS)
      }
  } finally {
    socket.close()
  }
}
