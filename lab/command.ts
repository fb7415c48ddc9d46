// Runs one of our executables as a user does, and keeps all of its output.
import { spawn, type ChildProcess } from 'node:child_process'
import { join } from 'node:path'

import { ROOT } from './manifests.ts'
import type { LabNetns } from './netns.ts'

export interface Ended {
  readonly exitCode: number | null
  readonly stdout: string
  readonly stderr: string
}

export interface CommandOptions {
  /** The node that it runs on; default: this machine. */
  readonly netns?: LabNetns | undefined
  /** On top of our own environment. */
  readonly env?: Readonly<Record<string, string>>
}

export interface RunningCommand {
  readonly child: ChildProcess
  readonly ended: Promise<Ended>
  readonly readStdout: () => Buffer
  readonly readStderr: () => string
}

/** Starts a command of dist/bin, which ends with this process. */
export function startCommand(
  name: string,
  argv: readonly string[],
  { netns, env = {} }: CommandOptions = {},
): RunningCommand {
  const enter = netns === undefined ? [] : ['ip', 'netns', 'exec', netns.name]
  const mortal = ['--pdeathsig', 'KILL', ...enter, join(ROOT, 'dist/bin', name), ...argv]
  const child = spawn('setpriv', mortal, {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, ...env },
  })
  const out: Buffer[] = []
  let stderr = ''
  child.stdout.on('data', (chunk: Buffer) => out.push(chunk))
  child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text))
  const readStdout = (): Buffer => Buffer.concat(out)
  const ended = new Promise<Ended>((resolve) =>
    child.on('close', (exitCode) =>
      resolve({ exitCode, stdout: readStdout().toString('utf8'), stderr }),
    ),
  )
  return { child, ended, readStdout, readStderr: () => stderr }
}

/** Runs a command of dist/bin to its end, with any exit code. */
export async function runCommand(
  name: string,
  argv: readonly string[],
  options?: CommandOptions,
): Promise<Ended> {
  return startCommand(name, argv, options).ended
}
