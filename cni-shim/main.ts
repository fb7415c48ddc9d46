// What the container runtime executes as "l2wire" and "l2wire-bind", once per verb. It checks the
// environment and the JSON, answers VERSION, runs the IPAM plugin, and leaves the rest to the node agent.
// stdout is the CNI result and nothing else.
import { writeSync } from 'node:fs'
import { buffer } from 'node:stream/consumers'

import { decodeCniVersion, decodeIpam, decodeSocket, parseConfig } from '../core/cni/config.ts'
import { decodeEnv, type CniArgs } from '../core/cni/env.ts'
import { toErrorResult } from '../core/cni/result.ts'
import {
  allowsCommand,
  CNI_VERSIONS,
  getCommandVersion,
  isCniVersion,
  NEWEST_CNI_VERSION,
} from '../core/cni/version.ts'
import { CNI_CODE, CniError } from '../core/errors.ts'
import { LINE_BYTES_MAX, type CniRequest, type CniResponse } from '../core/protocol.ts'
import { renderAbout } from './about.ts'
import { callAgent, type AnswerIpam } from './client.ts'
import { askOrNote } from './release.ts'

/** The version errors are told in: the configuration's as soon as it is known. */
let cniVersion: string = NEWEST_CNI_VERSION

async function runVerb(args: CniArgs): Promise<CniResponse> {
  if (args.command === 'VERSION') {
    const output = { cniVersion: NEWEST_CNI_VERSION, supportedVersions: CNI_VERSIONS }
    return { protocol: 1, output, isError: false }
  }
  const input = await readInput()
  const config = parseConfig(input)
  if (isCniVersion(config['cniVersion'])) cniVersion = config['cniVersion']
  const version = decodeCniVersion(config, CNI_VERSIONS)
  if (!allowsCommand(version, args.command)) {
    throw new CniError(
      CNI_CODE.INCOMPATIBLE_VERSION,
      `Cannot run ${args.command}: "cniVersion" is "${version}", expected ${getCommandVersion(args.command)} or newer`,
    )
  }
  const socket = decodeSocket(config)
  const request: CniRequest = { protocol: 1, args, config }
  const ask = async (answerIpam?: AnswerIpam): Promise<CniResponse> => {
    if (args.command === 'DEL') return askOrNote(socket, request)
    return callAgent(socket, request, answerIpam === undefined ? {} : { answerIpam })
  }
  const ipam = findIpam(args, config)
  if (ipam === undefined) return ask()
  // What most ends do without is not loaded for them.
  const { runDelegated } = await import('./delegate.ts')
  return runDelegated({ ipam, args, input, ask })
}

function findIpam(args: CniArgs, config: Readonly<Record<string, unknown>>): string | undefined {
  // The binding gives nobody an address.
  if (config['type'] !== 'l2wire') return undefined
  try {
    return decodeIpam(config)
  } catch (error) {
    // A DEL needs no valid configuration, and what is not valid was never run.
    if (args.command === 'DEL') return undefined
    throw error
  }
}

async function readInput(): Promise<string> {
  let bytes: Buffer
  try {
    bytes = await buffer(process.stdin)
  } catch (cause) {
    throw new CniError(CNI_CODE.IO_FAILURE, 'Cannot read standard input', { cause })
  }
  if (bytes.length > LINE_BYTES_MAX / 2)
    throw new CniError(
      CNI_CODE.DECODING_FAILURE,
      `Cannot decode the network configuration: it has ${bytes.length} bytes, expected at most ${LINE_BYTES_MAX / 2}`,
    )
  return bytes.toString('utf8')
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
  // Synchronous: process.exit would cut off what a pipe has not taken yet.
  if (response.output !== undefined) writeAll(`${JSON.stringify(response.output, undefined, 2)}\n`)
  return response.isError ? 1 : 0
}

function writeAll(text: string): void {
  let rest: Uint8Array = Buffer.from(text, 'utf8')
  while (rest.length > 0) {
    try {
      rest = rest.subarray(writeSync(1, rest))
    } catch (error) {
      // A runtime that made the pipe non-blocking and reads slowly.
      if ((error as NodeJS.ErrnoException).code !== 'EAGAIN') throw error
    }
  }
}

process.exit(await main())
