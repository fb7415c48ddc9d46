// kubectl-l2wire test: sends every frame class through a wire, or through any cable between two namespaces of
// this machine, and prints what arrived.
import { InvalidArgumentError, type Command } from 'commander'

import { isDeviceName } from '../../core/name.ts'
import { FRAME_ROWS } from '../../core/tester/frames.ts'
import { renderVerdicts } from '../../core/tester/table.ts'
import { describeFrame, NOTHING_ELSE } from '../../core/tester/verdict.ts'
import { ENDS_PER_WIRE, describeEnd, toWireKey } from '../../core/wire/wire.ts'
import { appendRows, testCable, testIdle, type Ends } from '../../kernel/tester/cable-test.ts'
import { newNetnsStation, type NetnsNic } from '../../kernel/tester/netns-station.ts'
import { openNetns } from '../../kernel/netns.ts'
import { run } from '../../kernel/run.ts'
import { CliError } from '../cli-error.ts'
import { OptionError } from '../option-error.ts'
import { newOutputOption, printLines, printValue, tell, type OutputFormat } from '../output.ts'
import { getWire, toEndArgs } from '../place/place.ts'
import { addPlaceOptions, newPlace, type PlaceFlags } from '../place/place-options.ts'
import { withProgress } from '../progress.ts'
import { newRemoteStation } from './remote-station.ts'

const EXIT_NOT_TRANSPARENT = 3

interface TestFlags extends PlaceFlags {
  readonly netns: readonly string[]
  readonly idle: number
  readonly noisy?: boolean
  readonly output: OutputFormat | 'table'
}

export function addTestCommand(program: Command): void {
  const command = program
    .command('test')
    .description('send every frame class through a wire, both ways, and say what arrived')
    .argument('[wire]', 'name of the wire')
    .option(
      '--netns <NETNS:IFNAME>',
      'instead of a wire: a NIC at one end of any cable of this machine, given twice; NETNS is a name of `ip netns` or a path',
      (value: string, earlier: readonly string[]) => [...earlier, value],
      [] as readonly string[],
    )
    .option(
      '--idle <seconds>',
      'how long to listen to the idle cable; 0 leaves it out',
      toSeconds,
      5,
    )
    .option('--noisy', 'the ends are in use: do not judge frames that the test did not send')
    .addOption(newOutputOption('table').default('table'))
  addPlaceOptions(command)
    .addHelpText(
      'after',
      `
Whoever listens at the ends hears the test: STP, LACP, VRRP and all. Between a VM and its launcher
pod nothing is tested: the station of a VM's end is the pod's link.

Exit code: 0 all rows delivered that the NICs have room for, 3 some lost, or frames that nobody sent.
Example: kubectl l2wire test r1-r2`,
    )
    .action(runTest)
}

async function runTest(name: string | undefined, flags: TestFlags): Promise<void> {
  await using stations = new AsyncDisposableStack()
  const ends =
    name === undefined ? await openNics(flags.netns) : await openWire(name, flags, stations)
  for (const station of [ends.a, ends.b])
    if (!(await station.readNic()).isUp)
      throw name === undefined
        ? new OptionError('--netns', station.label, 'a NIC that is up')
        : new CliError(`Cannot test with ${station.label}: the interface is down, expected it up`)
  const isNoisy = flags.noisy ?? false
  const idleSeconds = isNoisy ? 0 : flags.idle
  tell(`${FRAME_ROWS.length} frame classes both ways, then ${idleSeconds} s of silence`)
  if (name !== undefined && !isNoisy) await expectSilence(ends)
  const active = await withProgress('sending', async () => testCable(ends, FRAME_ROWS))
  const [idle = []] =
    idleSeconds > 0
      ? await withProgress('listening on the idle wire', async () => testIdle([ends], idleSeconds))
      : []
  const columns = appendRows(active, idle).map(({ title, verdicts }) => ({
    title,
    verdicts: verdicts.filter((verdict) => !isNoisy || verdict.name !== NOTHING_ELSE),
  }))
  if (flags.output === 'table') printLines(renderVerdicts(columns).split('\n'))
  else await printValue(columns, flags.output)
  const isBad = columns.some(({ verdicts }) =>
    verdicts.some(({ outcome }) => outcome === 'lost' || outcome === 'extra'),
  )
  if (isBad) process.exitCode = EXIT_NOT_TRANSPARENT
}

async function openWire(
  name: string,
  flags: TestFlags,
  stations: AsyncDisposableStack,
): Promise<Ends> {
  if (flags.netns.length > 0)
    throw new OptionError('--netns', flags.netns, 'either a wire or two NICs')
  const place = newPlace(flags)
  const wire = await getWire(place, name)
  if (wire.ends.length < ENDS_PER_WIRE)
    throw new CliError(
      `Cannot test wire "${toWireKey(wire)}": only ${wire.ends.map(describeEnd).join()} is plugged in, expected both ends`,
    )
  const more = flags.store === undefined ? [] : ['--state-dir', flags.stateDir]
  const [a, b] = await withProgress('plugging in', async () => {
    const opened = []
    for (const end of wire.ends) {
      const argv = [...(await place.toNodeArgv(end.node)), 'station', ...toEndArgs([end]), ...more]
      opened.push(stations.use(newRemoteStation(describeEnd(end), argv)))
    }
    for (const station of opened) await station.readNic()
    return opened
  })
  if (a === undefined || b === undefined) throw new Error('unreachable: both ends were counted')
  tell(`wire ${toWireKey(wire)}: ${a.label} and ${b.label}`)
  return { a, b }
}

const LISTEN_SECONDS = 2

// The test would count frames of the ends' owners as frames that the wire made up.
async function expectSilence({ a, b }: Ends): Promise<void> {
  const frames = await withProgress('checking whether the wire is in use', async () => {
    await using captures = new AsyncDisposableStack()
    const running = [captures.use(await b.startCapture()), captures.use(await a.startCapture())]
    await new Promise((resolve) => setTimeout(resolve, LISTEN_SECONDS * 1000))
    return (await Promise.all(running.map(async (capture) => capture.stop()))).flat()
  })
  const [first] = frames
  if (first === undefined) return
  throw new CliError(
    `Cannot judge this wire: its ends are in use (${frames.length} frames in ${LISTEN_SECONDS} s, the first ${describeFrame(first)}). Quiet them, or test with --noisy, which does not judge frames that the test did not send`,
  )
}

async function openNics(texts: readonly string[]): Promise<Ends> {
  if (texts.length !== 2)
    throw new OptionError('--netns', texts, 'two of them, one for each end; or the name of a wire')
  const nics = texts.map(decodeNic)
  for (const nic of nics) await openNetns(nic.netns)
  const [a, b] = nics.map((nic) => newNetnsStation(run, nic))
  const twice = nics[0]?.netns === nics[1]?.netns && nics[0]?.ifname === nics[1]?.ifname
  if (twice) throw new OptionError('--netns', texts, 'two ends, not one NIC twice')
  if (a === undefined || b === undefined) throw new Error('unreachable: both ends were counted')
  return { a, b }
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
