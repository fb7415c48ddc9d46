// An example of examples/ without a cluster: its own YAML, plugged by the real plugins into the cables
// of a real agent; its pods as containers, its VMs as guests; and its own check.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { parseAllDocuments } from 'yaml'

import { isRecord } from '../core/record.ts'
import { DecodeError } from '../core/errors.ts'
import { playCloudInit, toShell } from './cloud-init.ts'
import { toVmi } from './domain-vmi.ts'
import { getMapping, getNadConfig, ROOT, type Manifest } from './manifests.ts'
import { newLabNode, type LabNode } from './node.ts'
import { newBridgeNetwork } from './pod-network-shapes.ts'
import { newPod, type Pod } from './pod.ts'
import { newVmPod, type VmPod } from './vm-pod.ts'

export const EXAMPLES = 'examples'
const CHECK_MS = 300_000
const PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'

/** Every object in the YAML files of an example, in the order in which kubectl applies them. */
export async function readExample(name: string): Promise<readonly Manifest[]> {
  const folder = join(ROOT, EXAMPLES, name)
  const files = (await readdir(folder)).filter((file) => file.endsWith('.yaml')).sort()
  const objects: Manifest[] = []
  for (const file of files)
    for (const document of parseAllDocuments(await readFile(join(folder, file), 'utf8'))) {
      const value: unknown = document.toJS()
      if (!isRecord(value)) throw new DecodeError(file, value, 'YAML mappings')
      objects.push(value)
    }
  return objects
}

export const getName = (object: Manifest): string => String(getMapping(object, 'metadata')['name'])

/** The objects of a kind by their names. */
export function byName(
  objects: readonly Manifest[],
  kind: string,
): Readonly<Record<string, Manifest>> {
  const found = objects.filter((object) => object['kind'] === kind)
  return Object.fromEntries(found.map((object) => [getName(object), object]))
}

export interface CheckResult {
  readonly exitCode: number | null
  /** What check.sh wrote, and what it wrote as errors. */
  readonly output: string
}

export interface Example extends AsyncDisposable {
  readonly node: LabNode
  readonly pods: Readonly<Record<string, Pod>>
  readonly vms: Readonly<Record<string, VmPod>>
  /** Runs the example's check.sh; "patience" is how many seconds it waits for what is to come. */
  readonly check: (patience: number) => Promise<CheckResult>
  readonly readLogs: () => Promise<string>
}

export interface ExampleOptions {
  /** Default: a node of its own. */
  readonly node?: LabNode
  /** Default: "default". */
  readonly namespace?: string
}

/** Plugs the example in and starts all of it; resolves when its guests have booted. */
export async function newExample(name: string, options: ExampleOptions = {}): Promise<Example> {
  await using started = new AsyncDisposableStack()
  const objects = await readExample(name)
  const networks = Object.fromEntries(
    Object.entries(byName(objects, 'NetworkAttachmentDefinition')).map(([nad, object]) => [
      nad,
      getNadConfig(object),
    ]),
  )
  const configMaps = byName(objects, 'ConfigMap')
  const machines = byName(objects, 'VirtualMachine')
  // Most examples leave the pod network out: what they show is on their cables.
  const podNetwork = Object.values(machines).some(isOnPodNetwork)
    ? started.use(await newBridgeNetwork())
    : undefined
  const node =
    options.node ?? started.use(await newLabNode({ ...(podNetwork && { netns: podNetwork.node }) }))
  const common = { node, networks, ...(podNetwork && { podNetwork }) }
  const inNamespace = (object: Manifest): Manifest => {
    const metadata = getMapping(object, 'metadata')
    const { namespace = metadata['namespace'] } = options
    return {
      ...object,
      metadata: { ...metadata, ...(namespace === undefined ? {} : { namespace }) },
    }
  }
  const pods: Record<string, Pod> = {}
  for (const [pod, object] of Object.entries(byName(objects, 'Pod')))
    pods[pod] = started.use(await newPod({ ...common, pod: inNamespace(object), configMaps }))
  const vms: Record<string, VmPod> = {}
  const guests: Promise<void>[] = []
  for (const [vm, object] of Object.entries(machines)) {
    const launched = started.use(await newVmPod({ ...common, vm: inNamespace(object) }))
    vms[vm] = launched
    guests.push(prepareGuest(launched))
  }
  await Promise.all(guests)
  const ending = new AbortController()
  started.defer(() => {
    ending.abort()
  })
  const on = await writeOn(Object.values(pods), Object.values(vms), started)
  const resources = started.move()
  return {
    node,
    pods,
    vms,
    check: async (patience) => runCheck(name, on, patience, ending.signal),
    readLogs: async () => {
      const containers = Object.values(pods).flatMap((pod) =>
        pod.containers.map((container) => `== ${pod.name}\n${container.readLog()}`),
      )
      const launchers = Object.values(vms).map(
        async (vm) => `== ${vm.name}\n${await vm.launcher.readLog()}`,
      )
      return [...containers, ...(await Promise.all(launchers))].join('\n')
    },
    [Symbol.asyncDispose]: async () => resources.disposeAsync(),
  }
}

/** Whether a binding of ours attaches it to its pod's own eth0. */
function isOnPodNetwork(vm: Manifest): boolean {
  const { networks = [], domain } = toVmi(vm).spec
  const pod = networks.find(({ multus }) => multus === undefined)
  const nic = domain.devices.interfaces?.find(({ name }) => name === pod?.name)
  return nic?.binding !== undefined
}

async function prepareGuest(vm: VmPod): Promise<void> {
  try {
    await using guest = await vm.launcher.connectGuest()
    await playCloudInit(guest, vm.launcher.vmi)
  } catch (cause) {
    throw new Error(`Cannot prepare VM "${vm.name}": ${await vm.launcher.readLog()}`, { cause })
  }
}

/** The program that check.sh runs commands in pods and VMs with, where there is no kubectl. */
async function writeOn(
  pods: readonly Pod[],
  vms: readonly VmPod[],
  started: AsyncDisposableStack,
): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'l2w-example-'))
  started.defer(async () => rm(folder, { recursive: true, force: true }))
  const inPods = pods.flatMap(({ name, containers: [first] }) =>
    first === undefined ? [] : [`${name}) exec ${toShell(first.toInsideArgv([]))} "$@" ;;`],
  )
  const guestRun = [process.execPath, join(ROOT, 'lab/guest-run.ts')]
  const inVms = vms.map(
    ({ name, launcher }) => `${name}) exec ${toShell([...guestRun, launcher.guestSocket])} "$@" ;;`,
  )
  const script = [
    '#!/bin/sh',
    `PATH=${PATH}`,
    'name=$1',
    'shift',
    'case $name in',
    ...inPods,
    ...inVms,
    '*) echo "No pod or VM \\"$name\\" here" >&2; exit 1 ;;',
    'esac',
  ].join('\n')
  const file = join(folder, 'on')
  await writeFile(file, `${script}\n`, { mode: 0o755 })
  return file
}

async function runCheck(
  name: string,
  on: string,
  patience: number,
  signal: AbortSignal,
): Promise<CheckResult> {
  const child = spawn('sh', [join(ROOT, EXAMPLES, name, 'check.sh')], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { PATH, L2WIRE_ON: on, L2WIRE_PATIENCE: String(patience) },
    timeout: CHECK_MS,
    killSignal: 'SIGKILL',
    signal,
  })
  let output = ''
  const keep = (chunk: Buffer): void => {
    output += chunk.toString('utf8')
  }
  child.stdout.on('data', keep)
  child.stderr.on('data', keep)
  await once(child, 'close')
  return { exitCode: child.exitCode, output }
}
