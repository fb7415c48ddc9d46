// kubectl-l2wire station: one end of a wire on this node as a station of the cable tester, controlled over
// standard input. `test` runs one on each end's node. When the input ends, so does its capture.
import type { Command } from 'commander'

import {
  decodeRequest,
  type StationAnswer,
  type StationRequest,
} from '../../core/tester/station-line.ts'
import { decodePcap, encodePcap } from '../../core/tester/pcap.ts'
import { renderCauses } from '../../core/errors.ts'
import { toHostEndName } from '../../core/name.ts'
import { toAttachmentKey, type AttachmentId } from '../../core/wire/wire.ts'
import { newNetnsStation } from '../../kernel/tester/netns-station.ts'
import { openNetns } from '../../kernel/netns.ts'
import { run } from '../../kernel/run.ts'
import type { Capture, Station } from '../../kernel/tester/station.ts'
import { CliError } from '../cli-error.ts'
import { DEFAULT_STATE_DIR, listAttachments } from '../documents.ts'
import { addEndOption } from './end-option.ts'
import { serveLines } from './line-server.ts'
import { OptionError } from '../option-error.ts'
import { complain } from '../output.ts'

interface StationFlags {
  readonly end: readonly AttachmentId[]
  readonly stateDir: string
}

export function addStationCommand(program: Command): void {
  addEndOption(
    program.command('station').description('an end of this node as a station of the cable tester'),
  )
    .option('--state-dir <dir>', 'what the agent remembers', DEFAULT_STATE_DIR)
    .action(runStation)
}

async function runStation(flags: StationFlags): Promise<void> {
  const [end, ...more] = flags.end
  if (end === undefined || more.length > 0) throw new OptionError('--end', flags.end, 'one end')
  const attachments = (
    await listAttachments(flags.stateDir, (error) => complain(renderCauses(error)))
  ).filter(({ containerID }) => containerID === end.containerID)
  const netns = attachments.find(({ kind, ifname }) => kind === 'wire' && ifname === end.ifname)
    ?.netns.path
  const isOfVm = attachments.some((one) => one.kind === 'tap' && one.podLink === end.ifname)
  if (netns === undefined)
    throw new CliError(
      `Cannot find the network namespace of "${toAttachmentKey(end)}": the agent's state directory "${flags.stateDir}" does not know that end; --state-dir names another one`,
    )
  await openNetns(netns)
  const mutedHostEnd = isOfVm ? toHostEndName(end.containerID, end.ifname) : undefined
  const nic = { label: end.ifname, netns, ifname: end.ifname, mutedHostEnd }
  const station = newNetnsStation(run, nic)
  await serve(station)
}

async function serve(station: Station): Promise<void> {
  let capture: Capture | undefined
  const answer = async (request: StationRequest): Promise<StationAnswer> => {
    switch (request.op) {
      case 'nic':
        return { ok: true, nic: await station.readNic() }
      case 'capture':
        capture = await station.startCapture()
        return { ok: true }
      case 'frames': {
        const frames = (await capture?.stop()) ?? []
        return { ok: true, pcap: Buffer.from(encodePcap(frames)).toString('base64') }
      }
      case 'send':
        await station.send(decodePcap(Buffer.from(request.pcap, 'base64')))
        return { ok: true }
    }
  }
  try {
    await serveLines(async (line) => answer(decodeRequest(line)))
  } finally {
    await capture?.[Symbol.asyncDispose]()
  }
}
