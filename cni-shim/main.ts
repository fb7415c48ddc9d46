// The container runtime executes this as "l2wire" and "l2wire-bind", once per verb. It checks the environment
// and the JSON, answers VERSION, runs the IPAM plugin, and leaves the rest to the node agent. stdout holds the
// CNI result and nothing else.
import { writeSync } from 'node:fs'

import { decodeCniVersion, decodeIpam, parseConfig } from '../core/cni/config.ts'
import { toDelConfig } from '../core/cni/del.ts'
import { decodeEnv, type CniArgs } from '../core/cni/env.ts'
import { toErrorResult } from '../core/cni/result.ts'
import { refuseSocket } from '../core/cni/socket.ts'
import {
  allowsCommand,
  CNI_VERSIONS,
  getCommandVersion,
  isCniVersion,
  NEWEST_CNI_VERSION,
} from '../core/cni/version.ts'
import { CNI_CODE, CniError } from '../core/errors.ts'
import {
  CONFIG_BYTES_MAX,
  GC_BYTES_MAX,
  type CniRequest,
  type CniResponse,
} from '../core/cni/protocol.ts'
import { renderAbout } from './about.ts'
import { callAgent, type AnswerIpam } from './client.ts'
import { findSocket } from './find-socket.ts'
import { askOrNote } from './release.ts'
import { warn } from './warn.ts'

/** The version of error results: the configuration's, once it is known. */
let cniVersion: string = NEWEST_CNI_VERSION

async function runVerb(args: CniArgs): Promise<CniResponse> {
  if (args.command === 'VERSION') {
    const output = { cniVersion: NEWEST_CNI_VERSION, supportedVersions: CNI_VERSIONS }
    return { protocol: 1, output, isError: false }
  }
  const socket = findSocket(process.env, process.execPath)
  if (args.command === 'DEL') return runDel(args, socket)
  const input = await readInput(args.command === 'GC' ? GC_BYTES_MAX : CONFIG_BYTES_MAX)
  const config = parseConfig(input)
  if (isCniVersion(config['cniVersion'])) cniVersion = config['cniVersion']
  const version = decodeCniVersion(config, CNI_VERSIONS)
  if (!allowsCommand(version, args.command)) {
    throw new CniError(
      CNI_CODE.INCOMPATIBLE_VERSION,
      `Cannot run ${args.command}: "cniVersion" is "${version}", expected ${getCommandVersion(args.command)} or newer`,
    )
  }
  refuseSocket(config)
  const request: CniRequest = { protocol: 1, args, config }
  return delegate(args, config, input, async (answerIpam) =>
    callAgent(socket, request, answerIpam === undefined ? {} : { answerIpam }),
  )
}

// A DEL needs only the environment and the name of the executable. A pod must not stay because its
// configuration is lost, truncated, too long, or no longer valid for an ADD.
async function runDel(args: CniArgs, socket: string): Promise<CniResponse> {
  let input = ''
  let config: Readonly<Record<string, unknown>> = {}
  try {
    input = await readInput(CONFIG_BYTES_MAX)
    config = parseConfig(input)
  } catch (error) {
    if (!(error instanceof CniError)) throw error
    warn(error)
  }
  const request: CniRequest = { protocol: 1, args, config: toDelConfig(config, process.argv0) }
  const ask = async (): Promise<CniResponse> => askOrNote(socket, request)
  // No ADD accepts this version, so no IPAM plugin ran.
  if (!isCniVersion(config['cniVersion'])) return ask()
  cniVersion = config['cniVersion']
  return delegate(args, config, input, ask)
}

async function delegate(
  args: CniArgs,
  config: Readonly<Record<string, unknown>>,
  input: string,
  ask: (answerIpam?: AnswerIpam) => Promise<CniResponse>,
): Promise<CniResponse> {
  const ipam = findIpam(args, config)
  if (ipam === undefined) return ask()
  // Loaded on demand, because most ends have no IPAM plugin.
  const { runDelegated } = await import('./delegate.ts')
  return runDelegated({ ipam, args, input, ask })
}

function findIpam(args: CniArgs, config: Readonly<Record<string, unknown>>): string | undefined {
  // The binding assigns no addresses.
  if (config['type'] !== 'l2wire') return undefined
  try {
    return decodeIpam(config)
  } catch (error) {
    // A DEL needs no valid configuration, and no plugin ran for an invalid one.
    if (args.command === 'DEL') return undefined
    throw error
  }
}

async function readInput(bytesMax: number): Promise<string> {
  const chunks: Buffer[] = []
  let bytes = 0
  try {
    // Read to the end: a runtime that is still writing must not get EPIPE instead of our answer.
    for await (const chunk of process.stdin as AsyncIterable<Buffer>) {
      bytes += chunk.length
      if (bytes <= bytesMax) chunks.push(chunk)
    }
  } catch (cause) {
    throw new CniError(CNI_CODE.IO_FAILURE, 'Cannot read standard input', { cause })
  }
  if (bytes > bytesMax)
    throw new CniError(
      CNI_CODE.DECODING_FAILURE,
      `Cannot decode the network configuration: it has ${bytes} bytes, expected at most ${bytesMax}`,
    )
  return Buffer.concat(chunks).toString('utf8')
}

function toResponse(error: unknown): CniResponse {
  const known =
    error instanceof CniError
      ? error
      : new CniError(CNI_CODE.INTERNAL, 'Cannot go on: this is a bug in l2wire', { cause: error })
  return { protocol: 1, output: toErrorResult(cniVersion, known), isError: true }
}

async function main(): Promise<number> {
  if ((process.env['CNI_COMMAND'] ?? '') === '') {
    process.stderr.write(renderAbout(process.execPath))
    return 0
  }
  let response: CniResponse
  try {
    response = await runVerb(decodeEnv(process.env))
  } catch (error) {
    response = toResponse(error)
  }
  // Synchronous, because process.exit would drop what the pipe has not taken yet.
  if (response.output !== undefined) writeAll(`${JSON.stringify(response.output, undefined, 2)}\n`)
  return response.isError ? 1 : 0
}

function writeAll(text: string): void {
  let rest: Uint8Array = Buffer.from(text, 'utf8')
  while (rest.length > 0) {
    try {
      rest = rest.subarray(writeSync(1, rest))
    } catch (error) {
      // The runtime made the pipe non-blocking and reads slowly.
      if ((error as NodeJS.ErrnoException).code !== 'EAGAIN') throw error
    }
  }
}

process.exit(await main())
