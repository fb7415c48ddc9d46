// Agents of one folder.
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { describeTwoAgents } from './two-agents-suite.ts'

describeTwoAgents('with a folder as their store', async () => {
  const storeFolder = await mkdtemp(join(tmpdir(), 'l2w-store-'))
  return {
    namespace: 'lab',
    options: { nodeName: 'n1', storeFolder },
    readWire: async (name) => readFile(join(storeFolder, `lab.${name}.json`), 'utf8'),
    [Symbol.asyncDispose]: async () => rm(storeFolder, { recursive: true, force: true }),
  }
})
