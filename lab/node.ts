// A node without a cluster: a real agent with its own state, store and socket in a temporary folder, and the
// runtime's side of the CNI calls.
import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'

import { listFolder } from '../store/json-file.ts'
import { callPlugin, type CniAnswer, type CniCall } from './cni.ts'
import { ROOT, type Manifest } from './manifests.ts'
import type { LabNetns } from './netns.ts'

export interface LabNode extends AsyncDisposable {
  readonly folder: string
  /** The node's own namespace; undefined: this machine's. */
  readonly netns: LabNetns | undefined
  readonly socket: string
  readonly storeUrl: string
  readonly stateDir: string
  /** Runs the plugin of the configuration's type, with this agent's socket in its environment. */
  readonly call: (config: Manifest, call: CniCall) => Promise<CniAnswer>
  /** As call, and throws unless the plugin succeeds. */
  readonly mustCall: (config: Manifest, call: CniCall) => Promise<Manifest>
  /** Ends the agent by this signal, and starts it again. */
  readonly stopAgent: (signal: NodeJS.Signals) => Promise<void>
  /** With these additional options, this time only. */
  readonly startAgent: (more?: readonly string[]) => Promise<void>
  readonly isRunning: () => boolean
  /** The agent's process. Throws if none runs. */
  readonly readPid: () => number
  readonly readLog: () => string
  /** The file names in store and state directory. */
  readonly listDocuments: () => Promise<readonly string[]>
}

export interface LabNodeOptions {
  readonly nodeName?: string
  /** A folder ahead of the agent's PATH, to inject failures: commands that are slow, or fail. */
  readonly pathFirst?: string
  /** The node's own namespace and its address on the underlay; default: this machine's, a single node. */
  readonly netns?: LabNetns
  readonly address?: string
  /** A store that several nodes share; default: one of its own. */
  readonly storeFolder?: string
  /** Wires in the cluster of this kubeconfig instead of a folder. */
  readonly kubeconfig?: string
  /** argv before the agent's, which takes rights away from it. */
  readonly confine?: readonly string[]
  /** Further options of the agent. */
  readonly more?: readonly string[]
}

const READY_MS = 60_000

export async function newLabNode(options: LabNodeOptions = {}): Promise<LabNode> {
  const folder = await mkdtemp(join(tmpdir(), 'l2w-node-'))
  const socket = join(folder, 'agent.sock')
  const storeFolder = options.storeFolder ?? join(folder, 'store')
  const storeUrl = options.kubeconfig === undefined ? `file://${storeFolder}` : 'kubernetes'
  const stateDir = join(folder, 'state')
  const argv = [
    // The agent must not outlive a killed test.
    'setpriv',
    '--pdeathsig',
    'KILL',
    // This also gives the agent the namespace's own /sys.
    ...(options.netns === undefined ? [] : ['ip', 'netns', 'exec', options.netns.name]),
    ...(options.confine ?? []),
    join(ROOT, 'dist/bin/l2wire-agent'),
    '--store',
    storeUrl,
    '--node-name',
    options.nodeName ?? 'n1',
    ...(options.address === undefined ? [] : ['--underlay-address', options.address]),
    '--socket',
    socket,
    '--state-dir',
    stateDir,
    ...(options.more ?? []),
  ]
  let agent: ChildProcess | undefined
  let log = ''

  const startAgent: LabNode['startAgent'] = async (more = []) => {
    const child = spawn(argv[0] ?? '', [...argv.slice(1), ...more], {
      stdio: ['ignore', 'ignore', 'pipe'],
      // Ctrl-C ends only us: we still need the agent to unplug everything.
      detached: true,
      env: {
        ...process.env,
        PATH: [options.pathFirst, process.env['PATH']].filter(Boolean).join(':'),
        ...(options.kubeconfig === undefined ? {} : { KUBECONFIG: options.kubeconfig }),
      },
    })
    agent = child
    const from = log.length
    child.stderr.setEncoding('utf8').on('data', (text: string) => (log += text))
    const deadline = Date.now() + READY_MS
    while (!log.slice(from).includes('"msg":"ready"')) {
      if (child.exitCode !== null || Date.now() > deadline)
        throw new Error(`The agent did not get ready: ${log.slice(from)}`)
      await sleep(10)
    }
  }
  const isRunning = (): boolean =>
    agent?.pid !== undefined && agent.exitCode === null && agent.signalCode === null
  const stopAgent = async (signal: NodeJS.Signals): Promise<void> => {
    if (agent === undefined || !isRunning()) return
    const ended = once(agent, 'exit')
    agent.kill(signal)
    await ended
  }
  const readPid = (): number => {
    // One process all along, because each command before the agent becomes the next.
    if (agent?.pid === undefined || !isRunning()) throw new Error('The agent does not run')
    return agent.pid
  }
  const call = async (config: Manifest, cniCall: CniCall): Promise<CniAnswer> => {
    const executable = join(ROOT, 'dist/bin', String(config['type']))
    return callPlugin(executable, { ...cniCall, socket }, JSON.stringify(config))
  }
  const mustCall = async (config: Manifest, cniCall: CniCall): Promise<Manifest> => {
    const answer = await call(config, cniCall)
    if (answer.exitCode === 0) return answer.output ?? {}
    throw new Error(`${cniCall.command} failed: ${answer.stdout}${answer.stderr}`)
  }
  await startAgent()
  return {
    folder,
    netns: options.netns,
    socket,
    storeUrl,
    stateDir,
    call,
    mustCall,
    stopAgent,
    startAgent,
    isRunning,
    readPid,
    readLog: () => log,
    listDocuments: async () => [
      ...(await listDocuments(storeFolder)),
      ...(await listFolder(join(stateDir, 'attachments'))),
    ],
    [Symbol.asyncDispose]: async () => {
      await stopAgent('SIGTERM')
      await rm(folder, { recursive: true, force: true })
    },
  }
}

/** A store's files, without node locks and temporary files. */
export async function listDocuments(storeFolder: string): Promise<readonly string[]> {
  const files = await listFolder(storeFolder)
  return files.filter((file) => file !== 'nodes' && !/\.(lock|tmp)$/.test(file))
}
