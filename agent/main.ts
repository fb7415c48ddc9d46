// The node agent: every privileged step of every wire on this node. Wiring only.
import { rm } from 'node:fs/promises'

import { pino } from 'pino'

import { renderCauses } from '../core/errors.ts'
import { probeClassifier } from '../kernel/probe.ts'
import { run } from '../kernel/run.ts'
import { newFileStore } from '../store/file-store.ts'
import { newKeyQueue } from './key-queue.ts'
import type { Node } from './node.ts'
import { decodeOptions, USAGE } from './options.ts'
import { recover } from './recover.ts'
import { serve } from './serve.ts'
import { takeStateLock } from './state-lock.ts'
import { newAttachmentState } from './state.ts'

async function main(): Promise<void> {
  const options = decodeOptions(process.argv.slice(2))
  if (options === 'help') {
    process.stdout.write(USAGE)
    return
  }
  const log = pino({ base: { node: options.nodeName } }, pino.destination({ fd: 2, sync: true }))
  const releaseLock = await takeStateLock(options.stateDir)
  const node: Node = {
    name: options.nodeName,
    run,
    classifier: await probeClassifier(run),
    store: newFileStore(options.storeFolder),
    state: newAttachmentState(options.stateDir),
    queue: newKeyQueue(),
    log,
  }
  await recover(node)
  const server = await serve(node, options.socketPath)
  log.info({ socket: options.socketPath, classifier: node.classifier }, 'ready')
  // Wires need no agent to carry frames: it just goes, and leaves every device as it is.
  const stop = (signal: string): void => {
    log.info({ signal }, 'stopping')
    server.close(() => {
      void rm(options.socketPath, { force: true }).then(releaseLock)
    })
  }
  process.once('SIGTERM', stop)
  process.once('SIGINT', stop)
}

try {
  await main()
} catch (error) {
  process.stderr.write(`l2wire-agent: ${renderCauses(error)}\n`)
  process.exit(1)
}
