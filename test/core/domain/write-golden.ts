// Writes what the sidecars make of every document of test/fixtures/domain, for a person to read the difference:
// npm run golden && git diff test/fixtures. No test does this.
import { writeFileSync } from 'node:fs'

import { listSamples, readSample, rewriteInTurn, toGoldenPath } from './corpus.ts'

for (const name of listSamples()) writeFileSync(toGoldenPath(name), rewriteInTurn(readSample(name)))
