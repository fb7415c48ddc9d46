// Namespaces of a lab. Their names carry their maker's process ID. They end when disposed, and a later run
// removes those whose maker was killed.
import { readdir } from 'node:fs/promises'

import { run } from '../kernel/run.ts'

export interface LabNetns extends AsyncDisposable {
  readonly name: string
  readonly path: string
  /** Runs argv inside. */
  readonly run: (argv: readonly string[]) => Promise<string>
}

const FOLDER = '/run/netns'
const NAME = /^l2w(\d+)-/

let made = 0

/**
 * A new namespace like a container runtime's. Without IPv6 if only the test should send on its interfaces: a
 * container's own stack belongs to its owner.
 */
export async function newLabNetns(
  label: string,
  options: { readonly ipv6?: boolean } = {},
): Promise<LabNetns> {
  made += 1
  const name = `l2w${process.pid}-${made}-${label}`
  await run(['ip', 'netns', 'add', name])
  const path = `${FOLDER}/${name}`
  const inside = async (argv: readonly string[]): Promise<string> =>
    run(['nsenter', `--net=${path}`, ...argv])
  if (!(options.ipv6 ?? true))
    await inside(['sysctl', '-qw', 'net.ipv6.conf.default.disable_ipv6=1'])
  await inside(['ip', 'link', 'set', 'dev', 'lo', 'up'])
  return {
    name,
    path,
    run: inside,
    [Symbol.asyncDispose]: async () => {
      await run(['ip', 'netns', 'del', name])
    },
  }
}

/** Removes namespaces whose maker is gone. */
export async function sweepNetns(): Promise<void> {
  for (const name of await listNetns()) {
    const pid = NAME.exec(name)?.[1]
    if (pid !== undefined && !isAlive(Number(pid))) await run(['ip', 'netns', 'del', name])
  }
}

async function listNetns(): Promise<readonly string[]> {
  try {
    return await readdir(FOLDER)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return []
    throw error
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch {
    // ESRCH: no such process. As root there is no other error.
    return false
  }
}
