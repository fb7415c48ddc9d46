// Runs another CNI plugin as CNI SPEC.md, "Section 4: Plugin Delegation", requires: found in CNI_PATH, with our
// environment and our input. Its standard error is passed on.
import { spawn } from 'node:child_process'
import { access, constants, stat } from 'node:fs/promises'
import type { Readable } from 'node:stream'

import { toPrintable } from '../core/printable.ts'
import { toPathBelow } from '../core/path-below.ts'
import { isRecord } from '../core/record.ts'
import { CNI_CODE, CniError, renderCauses, renderValue } from '../core/errors.ts'

type Json = Readonly<Record<string, unknown>>

export interface Plugin {
  readonly name: string
  readonly executable: string
}

/** Longer output is no CNI result. */
const OUTPUT_BYTES_MAX = 1024 * 1024
/** More standard error than this helps nobody. */
const STDERR_BYTES_MAX = 64 * 1024

/** The first executable of this name in CNI_PATH. Throws CniError 110. */
export async function findPlugin(name: string, path: string): Promise<Plugin> {
  for (const folder of path.split(':').filter(Boolean)) {
    const executable = toPathBelow(folder, name)
    if (await isExecutable(executable)) return { name, executable }
  }
  throw new CniError(
    CNI_CODE.IPAM_FAILED,
    `Cannot find the IPAM plugin "${name}" (ipam.type): expected an executable in CNI_PATH, which is ${renderValue(path)}`,
  )
}

/**
 * Runs the plugin to its end, or kills it after timeoutMs. Returns its output, undefined if it printed nothing.
 * Throws CniError: with the plugin's own code and message if it has some, else 110.
 */
export async function runPlugin(
  { name, executable }: Plugin,
  command: string,
  input: string,
  timeoutMs: number,
): Promise<Json | undefined> {
  const { exitCode, signal, stdout, isLate } = await execPlugin(
    executable,
    command,
    input,
    timeoutMs,
  )
  const fail = (what: string): CniError =>
    new CniError(
      CNI_CODE.IPAM_FAILED,
      `Cannot run ${command} of the IPAM plugin "${name}": ${what}`,
    )
  if (isLate) throw fail(`it did not end within ${timeoutMs / 1000} s and was killed`)
  const output = parseOutput(stdout)
  if (exitCode === 0) {
    if (output !== undefined || stdout.trim() === '') return output
    throw fail(`it printed ${renderValue(stdout)}, expected a JSON object`)
  }
  const { code, msg, details } = output ?? {}
  if (typeof code !== 'number')
    throw fail(
      `it ended with ${signal ?? `exit code ${exitCode}`} and printed ${renderValue(stdout)}`,
    )
  // The spec's codes mean the same from any plugin: 11 asks the runtime to try again.
  const words = `The IPAM plugin "${name}" failed: ${String(msg)}`
  throw new CniError(code, words, typeof details === 'string' && details !== '' ? { details } : {})
}

interface Ended {
  readonly exitCode: number | null
  readonly signal: string | null
  readonly stdout: string
  readonly isLate: boolean
}

async function execPlugin(
  executable: string,
  command: string,
  input: string,
  timeoutMs: number,
): Promise<Ended> {
  return new Promise((resolve, reject) => {
    const child = spawn(executable, [], {
      env: { ...process.env, CNI_COMMAND: command },
      stdio: ['pipe', 'pipe', 'pipe'],
      // A group of its own, so that a script is killed together with its children.
      detached: true,
    })
    const chunks: Buffer[] = []
    let bytes = 0
    passOn(child.stderr)
    const end = (exitCode: number | null, signal: string | null, isLate: boolean): void => {
      clearTimeout(timer)
      resolve({ exitCode, signal, stdout: Buffer.concat(chunks).toString('utf8'), isLate })
    }
    const kill = (): void => {
      if (child.pid === undefined) return
      try {
        process.kill(-child.pid, 'SIGKILL')
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error
      }
    }
    const timer = setTimeout(() => {
      kill()
      end(null, 'SIGKILL', true)
    }, timeoutMs)
    child.stdout.on('data', (chunk: Buffer) => {
      bytes += chunk.length
      if (bytes > OUTPUT_BYTES_MAX) kill()
      else chunks.push(chunk)
    })
    // It may end without reading its input. Its exit code is more useful than our EPIPE.
    child.stdin.on('error', () => undefined)
    child.on('error', (cause) => {
      clearTimeout(timer)
      reject(
        new CniError(
          CNI_CODE.IPAM_FAILED,
          `Cannot start the IPAM plugin "${executable}": ${renderCauses(cause)}`,
        ),
      )
    })
    child.on('close', (exitCode, signal) => end(exitCode, signal, false))
    child.stdin.end(input)
  })
}

// It may quote what a tenant wrote.
function passOn(said: Readable): void {
  let left = STDERR_BYTES_MAX
  said.setEncoding('utf8').on('data', (text: string) => {
    const lines = text.slice(0, left).split('\n').map(toPrintable)
    left -= Math.min(left, text.length)
    process.stderr.write(lines.join('\n'))
  })
}

function parseOutput(stdout: string): Json | undefined {
  try {
    const value: unknown = JSON.parse(stdout)
    return isRecord(value) ? value : undefined
  } catch {
    // The caller shows the text itself.
    return undefined
  }
}

async function isExecutable(path: string): Promise<boolean> {
  try {
    await access(path, constants.X_OK)
    return (await stat(path)).isFile()
  } catch {
    // Missing, not permitted, or no folder: try the next one.
    return false
  }
}
