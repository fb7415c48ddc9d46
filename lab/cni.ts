// Plays the container runtime: runs a plugin's executable as the CNI spec requires. Its environment holds the
// spec's variables, the agent's socket if it is not the default, and nothing else.
import { spawn } from 'node:child_process'
import { join } from 'node:path'

import { SOCKET_VARIABLE } from '../core/cni/socket.ts'
import { isRecord } from '../core/record.ts'
import { ROOT, type Manifest } from './manifests.ts'
import type { LabNetns } from './netns.ts'

export interface CniCall {
  readonly command: string
  readonly containerID?: string
  readonly netns?: string
  readonly ifname?: string
  readonly args?: string
  /** CNI_PATH; default: PLUGIN_FOLDERS. */
  readonly path?: string
  /** Of the agent, for our own plugins. */
  readonly socket?: string
}

export interface CniAnswer {
  readonly exitCode: number | null
  /** Standard output, decoded; undefined when it is no JSON object. */
  readonly output: Manifest | undefined
  readonly stdout: string
  readonly stderr: string
}

/** The folders in which plugins are searched: ours first, then Debian's. */
export const PLUGIN_FOLDERS = [join(ROOT, 'dist/bin'), '/usr/lib/cni']

/** Runs a plugin to its end, whatever it answers; default: on this machine. */
export async function callPlugin(
  executable: string,
  call: CniCall,
  stdin: string | Uint8Array,
  node?: LabNetns,
): Promise<CniAnswer> {
  const env = {
    CNI_COMMAND: call.command,
    CNI_PATH: call.path ?? PLUGIN_FOLDERS.join(':'),
    ...(call.containerID === undefined ? {} : { CNI_CONTAINERID: call.containerID }),
    ...(call.netns === undefined ? {} : { CNI_NETNS: call.netns }),
    ...(call.ifname === undefined ? {} : { CNI_IFNAME: call.ifname }),
    ...(call.args === undefined ? {} : { CNI_ARGS: call.args }),
    ...(call.socket === undefined ? {} : { [SOCKET_VARIABLE]: call.socket }),
  }
  const inside = node === undefined ? [] : ['/usr/bin/nsenter', `--net=${node.path}`]
  return execPlugin([...inside, executable], env, stdin)
}

/** As callPlugin, with the environment just as given. */
export async function execPlugin(
  argv: readonly string[],
  env: Readonly<Record<string, string>>,
  stdin: string | Uint8Array,
): Promise<CniAnswer> {
  return new Promise((resolve, reject) => {
    const [file = '', ...args] = argv
    const child = spawn(file, args, { env: { ...env }, stdio: ['pipe', 'pipe', 'pipe'] })
    let stdout = ''
    let stderr = ''
    child.stdout.setEncoding('utf8').on('data', (text: string) => (stdout += text))
    child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text))
    // VERSION does not read its input.
    child.stdin.on('error', () => undefined)
    child.on('error', reject)
    child.on('close', (exitCode) => {
      resolve({ exitCode, output: decodeOutput(stdout), stdout, stderr })
    })
    child.stdin.end(stdin)
  })
}

function decodeOutput(stdout: string): Manifest | undefined {
  try {
    const value: unknown = JSON.parse(stdout)
    return isRecord(value) ? value : undefined
  } catch {
    // No output, or no JSON: the caller shows the text itself.
    return undefined
  }
}
