// make example-NAME: an example of examples/ on this machine, without a cluster: plugged in, checked by
// its own check.sh, and taken down.
import { renderCauses } from '../core/errors.ts'
import { newExample } from './example.ts'
import { sweepNetns } from './netns.ts'
import { say, waitForInterrupt } from './terminal.ts'

const PATIENCE_SECONDS = 60

const [, , name = ''] = process.argv
const interrupted = waitForInterrupt()
interrupted.catch(() => undefined)

try {
  await sweepNetns()
  await using example = await newExample(name)
  const running = [...Object.keys(example.pods), ...Object.keys(example.vms)].join(', ')
  say(`Plugged in and running: ${running}.`)
  const check = example.check(PATIENCE_SECONDS)
  const { exitCode, output } = await Promise.race([check, interrupted])
  console.log(output.trimEnd())
  if (exitCode !== 0 || process.env['LOGS'] !== undefined) console.log(await example.readLogs())
  say(exitCode === 0 ? 'The check passed.' : `The check failed: exit code ${exitCode}.`)
  process.exitCode = exitCode === 0 ? 0 : 1
} catch (error) {
  say(`Stopped: ${renderCauses(error)}`)
  process.exitCode = 1
}
// What an interrupted check was still waiting for must not keep us.
process.exit()
