// A hook sidecar as KubeVirt runs it beside virt-launcher: in the pod's network namespace, as user 107 without
// capabilities, with only its own folder as /var/run/kubevirt-hooks.
import { spawn } from 'node:child_process'
import { readdir } from 'node:fs/promises'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'

import { connect, type HookClient } from '../proto/hook-client.ts'
import type { Sandbox } from './launcher-sandbox.ts'

const PROJECT_DIRECTORY = fileURLToPath(new URL('..', import.meta.url))
const START_MS = 60_000

export interface SidecarOptions {
  readonly sandbox: Sandbox
  /** N of the container's name "hook-sidecar-N". */
  readonly index: number
  readonly bindingName: string
  readonly executable: string
}

export interface Sidecar extends Disposable {
  readonly containerName: string
  /** virt-launcher's end of the socket that the sidecar offers. */
  readonly client: HookClient
  readLog(): string
}

const ENTER = `
  set -eu
  folder=/run/kubevirt-hooks/$1 project=$2; shift 2
  mkdir -p "$folder" /run/l2wire/project
  chown 107:107 "$folder"
  mount --bind "$folder" /run/kubevirt-hooks
  mount --bind "$project" /run/l2wire/project
  exec setpriv --reuid=107 --regid=107 --clear-groups --inh-caps=-all --bounding-set=-all \\
    --no-new-privs env -i "$@"
`

/** Resolves once the sidecar's socket exists. The process ends with its sandbox. */
export async function newSidecar(options: SidecarOptions): Promise<Sidecar> {
  const { sandbox } = options
  const containerName = `hook-sidecar-${options.index}`
  const command = [
    ...'unshare --mount sh -c'.split(' '),
    ENTER,
    'sh',
    containerName,
    PROJECT_DIRECTORY,
    'HOME=/',
    'PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
    `CONTAINER_NAME=${containerName}`,
    `NETWORK_BINDING_PLUGIN_NAME=${options.bindingName}`,
    toInsidePath(options.executable),
  ]
  const [file = '', ...args] = sandbox.toInsideArgv(command)
  const child = spawn(file, args, { stdio: ['ignore', 'pipe', 'pipe'] })
  let log = ''
  const keep = (chunk: Buffer): void => {
    log = (log + chunk.toString('utf8')).slice(-65_536)
  }
  child.stdout.on('data', keep)
  child.stderr.on('data', keep)
  try {
    const folder = sandbox.toOutsidePath(`/run/kubevirt-hooks/${containerName}`)
    const socket = await findSocket(folder, () => child.exitCode !== null)
    const client = connect(socket)
    return {
      containerName,
      client,
      readLog: () => log,
      [Symbol.dispose]: () => {
        client.close()
      },
    }
  } catch (error) {
    throw new Error(`Cannot start sidecar "${options.executable}": ${log.trim()}`, { cause: error })
  }
}

/** The project is bound to a path that user 107 can reach, wherever the checkout is. */
function toInsidePath(executable: string): string {
  const relative = path.relative(PROJECT_DIRECTORY, path.resolve(PROJECT_DIRECTORY, executable))
  return relative.startsWith('..') ? executable : `/run/l2wire/project/${relative}`
}

/** virt-launcher takes every file in the folder for a socket. */
async function findSocket(folder: string, hasEnded: () => boolean): Promise<string> {
  const deadline = Date.now() + START_MS
  while (!hasEnded() && Date.now() < deadline) {
    const [name] = await readdir(folder).catch(() => [])
    if (name !== undefined) return path.join(folder, name)
    await sleep(20)
  }
  throw new Error(`Cannot find a socket in "${folder}"`)
}
