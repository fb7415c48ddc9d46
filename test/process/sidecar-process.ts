// The real sidecar as a child process, in a folder of its own. Everything goes when the owner does.
import { spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { chmodSync, mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'

import { connect } from '../../proto/hook-client.ts'
import type { HookClient } from '../../proto/hook-client.ts'

const MAIN = fileURLToPath(new URL('../../sidecar/main.ts', import.meta.url))
const READY_MS = 60_000
/** In the folder, beside the hook sidecar's. */
export const PLUGIN_SOCKET = 'plugin.sock'

// L2WIRE_SIDECAR: the same tests on a built executable.
const SHIPPED = process.env['L2WIRE_SIDECAR']

export interface SidecarOptions {
  readonly env?: Readonly<Record<string, string>>
  readonly args?: readonly string[]
  /** A command that runs the rest of its argv, such as "ip netns exec NAME". */
  readonly prefix?: readonly string[]
  /** A hook sidecar, or the domain hook of a Plugin, which has no folder of hook sockets. */
  readonly serves?: 'hooks' | 'plugin' | 'both'
  /** The folder of an earlier sidecar; default a new one. */
  readonly dir?: string
}

export interface Exit {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
}

export interface Sidecar extends AsyncDisposable {
  readonly child: ChildProcess
  readonly dir: string
  readonly exited: Promise<Exit>
  /** Everything logged so far. */
  log(): string
  /** The files in the folder, once there is one. Throws when the sidecar ends instead. */
  files(): Promise<string[]>
  /** To the only socket in the folder, or the first, or the one of this name. */
  connect(name?: string): Promise<HookClient>
}

export function newSocketDir(): string {
  const dir = mkdtempSync(join(tmpdir(), 'l2w-sidecar-'))
  // Sidecars under test run as other users, too.
  chmodSync(dir, 0o777)
  return dir
}

/** Starts a sidecar as KubeVirt does: no arguments but the sockets, no environment but what is given. */
export function newSidecar(options: SidecarOptions = {}): Sidecar {
  const dir = options.dir ?? newSocketDir()
  const command = SHIPPED === undefined ? [process.execPath, MAIN] : [SHIPPED]
  const sockets = {
    hooks: ['--socket-dir', dir],
    plugin: ['--plugin-socket', join(dir, PLUGIN_SOCKET)],
    both: ['--socket-dir', dir, '--plugin-socket', join(dir, PLUGIN_SOCKET)],
  }[options.serves ?? 'hooks']
  const argv = [...(options.prefix ?? []), ...command, ...sockets, ...(options.args ?? [])]
  const child = spawn(argv[0] ?? '', argv.slice(1), {
    env: { PATH: process.env['PATH'], HOME: '/', ...options.env },
    stdio: ['ignore', 'inherit', 'pipe'],
  })
  let logged = ''
  child.stderr.on('data', (chunk: Buffer) => (logged += chunk.toString()))
  let ended: Exit | undefined
  const exited = new Promise<Exit>((resolve, reject) => {
    child.once('error', reject)
    child.once('close', (code, signal) => {
      ended = { code, signal }
      resolve(ended)
    })
  })
  const files = async () => {
    for (const deadline = Date.now() + READY_MS; Date.now() < deadline; await sleep(20)) {
      if (ended !== undefined) throw new Error(`The sidecar has ended: ${logged}`)
      const found = readdirSync(dir)
      if (found.length > 0 && count(logged, '"listening"') === sockets.length / 2) return found
    }
    throw new Error(`The sidecar did not listen within ${READY_MS} ms: ${logged}`)
  }
  const clients: HookClient[] = []
  return {
    child,
    dir,
    exited,
    log: () => logged,
    files,
    connect: async (name) => {
      const [socket = ''] = await files()
      const client = connect(join(dir, name ?? socket))
      clients.push(client)
      return client
    },
    [Symbol.asyncDispose]: async () => {
      for (const client of clients) client.close()
      if (ended === undefined) child.kill('SIGKILL')
      await exited.catch(() => undefined)
      if (options.dir === undefined) rmSync(dir, { recursive: true, force: true })
    },
  }
}

function count(text: string, part: string): number {
  return text.split(part).length - 1
}

/** The gRPC error a call is refused with; throws when it is answered. */
export async function findRefusal(
  call: Promise<unknown>,
): Promise<{ code: number; details: string }> {
  try {
    await call
  } catch (error) {
    if (error instanceof Error && 'code' in error && 'details' in error) {
      return { code: Number(error.code), details: String(error.details) }
    }
    throw error
  }
  throw new Error('The call was answered, expected it to be refused')
}
