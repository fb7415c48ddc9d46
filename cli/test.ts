// kubectl-l2wire test: sends every frame class through a cable between two namespaces of this machine
// and says what arrived.
import { InvalidArgumentError, type Command } from 'commander'

import { OptionError } from './option-error.ts'
import { isDeviceName } from '../core/name.ts'
import { FRAME_ROWS } from '../core/tester/frames.ts'
import { renderVerdicts } from '../core/tester/table.ts'
import { appendRows, testCable, testIdle } from '../kernel/cable-test.ts'
import { newNetnsStation, type NetnsNic } from '../kernel/netns-station.ts'
import { openNetns } from '../kernel/netns.ts'
import { run } from '../kernel/run.ts'

const EXIT_NOT_TRANSPARENT = 3

interface TestFlags {
  readonly netns: readonly string[]
  readonly idle: number
  readonly output: 'table' | 'json'
}

export function addTestCommand(program: Command): void {
  program
    .command('test')
    .description('send every frame class through a cable, both ways, and say what arrived')
    .requiredOption(
      '--netns <NETNS:IFNAME>',
      'a NIC at one end, given twice; NETNS is a name of `ip netns` or a path',
      (value: string, earlier: readonly string[]) => [...earlier, value],
      [] as readonly string[],
    )
    .option(
      '--idle <seconds>',
      'how long to listen to the idle cable; 0 leaves it out',
      toSeconds,
      5,
    )
    .option('-o, --output <format>', 'table or json', toFormat, 'table')
    .addHelpText(
      'after',
      '\nExit code: 0 all rows delivered that the NICs have room for, 3 some lost, or frames that nobody sent.\nExample: kubectl-l2wire test --netns A:eth1 --netns B:eth1',
    )
    .action(runTest)
}

async function runTest(flags: TestFlags): Promise<void> {
  if (flags.netns.length !== 2)
    throw new OptionError('--netns', flags.netns, 'two of them, one for each end')
  const nics = flags.netns.map(decodeNic)
  for (const nic of nics) await openNetns(nic.netns)
  const [a, b] = nics.map((nic) => newNetnsStation(run, nic))
  if (a === undefined || b === undefined) return
  const twice = nics[0]?.netns === nics[1]?.netns && nics[0]?.ifname === nics[1]?.ifname
  if (twice) throw new OptionError('--netns', flags.netns, 'two ends, not one NIC twice')
  for (const station of [a, b])
    if (!(await station.readNic()).isUp)
      throw new OptionError('--netns', station.label, 'a NIC that is up')
  process.stderr.write(
    `${FRAME_ROWS.length} frame classes both ways, then ${flags.idle} s of silence\n`,
  )
  const active = await testCable({ a, b }, FRAME_ROWS)
  const [idle = []] = flags.idle > 0 ? await testIdle([{ a, b }], flags.idle) : []
  const columns = appendRows(active, idle)
  const text =
    flags.output === 'json' ? JSON.stringify(columns, undefined, 2) : renderVerdicts(columns)
  process.stdout.write(`${text}\n`)
  const isBad = columns.some(({ verdicts }) =>
    verdicts.some(({ outcome }) => outcome === 'lost' || outcome === 'extra'),
  )
  if (isBad) process.exitCode = EXIT_NOT_TRANSPARENT
}

/** "A:eth1" or "/proc/4711/ns/net:eth1". Throws DecodeError. */
function decodeNic(text: string): NetnsNic {
  const at = text.lastIndexOf(':')
  const netns = text.slice(0, at)
  const ifname = text.slice(at + 1)
  if (at < 1 || !isDeviceName(ifname))
    throw new OptionError('--netns', text, 'a namespace and an interface, like "A:eth1"')
  return { label: text, netns: netns.startsWith('/') ? netns : `/run/netns/${netns}`, ifname }
}

function toSeconds(text: string): number {
  const seconds = Number(text)
  if (Number.isFinite(seconds) && seconds >= 0) return seconds
  throw new InvalidArgumentError('expected seconds, 0 or more')
}

function toFormat(text: string): string {
  if (text === 'table' || text === 'json') return text
  throw new InvalidArgumentError('expected table or json')
}
