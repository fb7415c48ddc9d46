// kubectl-l2wire prober: this node's part in measuring the ways between nodes, told what to do over
// standard input. `doctor` runs one on each node.
import type { Command } from 'commander'

import { decodeProberRequest, type ProberAnswer } from '../core/prober-line.ts'
import { newProber } from '../kernel/prober.ts'
import { run } from '../kernel/run.ts'
import { readUnderlayMtu } from '../kernel/underlay.ts'
import { serveLines } from './line-server.ts'

export function addProberCommand(program: Command): void {
  program
    .command('prober')
    .description('sends and hears the datagrams that measure the ways between nodes')
    .action(runProber)
}

async function runProber(): Promise<void> {
  await using prober = newProber(run)
  await serveLines(async (line): Promise<ProberAnswer> => {
    const request = decodeProberRequest(line)
    switch (request.op) {
      case 'listen':
        await prober.listen(request)
        return { ok: true }
      case 'mtu':
        return { ok: true, mtuBytes: await readUnderlayMtu(run, request.address) }
      case 'send':
        await prober.send(request)
        return { ok: true }
      case 'heard':
        return { ok: true, heard: await prober.heard() }
    }
  })
}
