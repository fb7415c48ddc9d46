// A virt-launcher for the lab: one VMI as a real libvirt domain in a network namespace from the caller. Its XML
// passes through the hook sidecars of its bindings.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFile } from 'node:fs/promises'

import { toTapName } from '../core/name.ts'
import { run } from '../kernel/run.ts'
import { chooseAccelerator } from './accelerator.ts'
import { listGuestPackages } from './cloud-init.ts'
import {
  countQueues,
  isGenerated,
  toDiskNames,
  toDomainName,
  toDomainXml,
  toGuestSocketPath,
  toPodLink,
  toPrivateDirectory,
  type PodLink,
} from './domain.ts'
import type { Vmi } from './domain-vmi.ts'
import { connectGuest, type Guest } from './guest.ts'
import { ensureGuestImage } from './guest-image.ts'
import { defineDomain } from './launcher-define.ts'
import { newHooks } from './launcher-hooks.ts'
import { newSandbox, type Sandbox } from './launcher-sandbox.ts'
import { newSidecar, type Sidecar } from './launcher-sidecar.ts'

/** A binding's entry in the KubeVirt CR. */
export interface BindingRegistration {
  /** The program in sidecarImage, below the project's folder or absolute; absent: no sidecar. */
  readonly sidecar?: string
  readonly domainAttachmentType?: 'tap' | 'managedTap'
}

export interface EmptyLauncherOptions {
  /** A namespace of "ip netns", with the pod links and taps that the CNI put there. */
  readonly netnsName: string
  readonly vmi: Vmi
  /** Files of the devices that a device plugin handed out. */
  readonly devices?: readonly string[]
}

export interface LauncherOptions extends EmptyLauncherOptions {
  readonly bindings?: Readonly<Record<string, BindingRegistration>>
  /** Stands where a sidecar would, for tests of the lab itself. */
  readonly rewriteDomain?: (domainXml: string) => string
}

/** libvirt beside the taps of a VM that does not run here yet: it is booted, or comes by migration. */
export interface EmptyLauncher extends AsyncDisposable {
  readonly vmi: Vmi
  readonly sandbox: Sandbox
  /** Where the guest's shell is reached, by one at a time. */
  readonly guestSocket: string
  /** The guest's shell; waits for the boot. Each call is a connection, one at a time. */
  connectGuest(): Promise<Guest>
  /** libvirt's shell on the launcher's own daemon; the domain is toDomainName(vmi). */
  virsh(argv: readonly string[]): Promise<string>
  /** The guest's serial console and libvirtd's log so far. */
  readLog(): Promise<string>
}

/** In which the VM runs; its log has the sidecars', too. */
export interface Launcher extends EmptyLauncher {
  /** What virt-launcher generated, and what the sidecars made of it. */
  readonly generatedXml: string
  readonly definedXml: string
}

/** The packages and their libraries are in memory twice while the guest boots. */
const PACKAGES_MEMORY_BYTES = 384 * 2 ** 20

const SIDECAR = 'dist/bin/l2wire-sidecar'
export const DEFAULT_BINDINGS: Readonly<Record<string, BindingRegistration>> = {
  l2wire: { sidecar: SIDECAR },
  'l2wire-macvtap': { sidecar: SIDECAR },
}

/** Resolves when libvirt answers. */
export async function newEmptyLauncher(options: EmptyLauncherOptions): Promise<EmptyLauncher> {
  const { netnsName, vmi, devices = [] } = options
  await using started = new AsyncDisposableStack()
  started.use(await newPodTaps(netnsName, vmi))
  const privateDirectory = toPrivateDirectory(vmi)
  const diskNames = toDiskNames(vmi)
  const flavour = needsWholeKernel(vmi) ? 'whole' : 'small'
  const image = await ensureGuestImage(flavour, listGuestPackages(vmi))
  const sandbox = started.use(
    await newSandbox({ netnsName, image, privateDirectory, diskNames, devices }),
  )
  const guestSocket = sandbox.toOutsidePath(toGuestSocketPath(vmi))
  const resources = started.move()
  return {
    vmi,
    sandbox,
    guestSocket,
    connectGuest: async () => connectGuest(guestSocket),
    virsh: async (argv) => sandbox.virsh(argv),
    readLog: async () => {
      const console = sandbox.toOutsidePath(`${privateDirectory}/virt-serial0-log`)
      // There is none before a VM is here.
      return `${await readFile(console, 'utf8').catch(() => '')}\n${sandbox.readLog()}`
    },
    [Symbol.asyncDispose]: () => resources.disposeAsync(),
  }
}

/** Resolves when the domain is running; its guest has then begun to boot. */
export async function newLauncher(options: LauncherOptions): Promise<Launcher> {
  const { netnsName, vmi } = options
  const bindings = options.bindings ?? DEFAULT_BINDINGS
  await using started = new AsyncDisposableStack()
  const empty = started.use(await newEmptyLauncher(options))
  const { sandbox } = empty
  const sidecars = await startSidecars(sandbox, vmi, bindings, started)
  const hooks = await newHooks(sidecars)
  const generatedXml = toDomainXml(vmi, {
    accelerator: await chooseAccelerator(),
    podLinks: await listPodLinks(netnsName),
    domainAttachments: toAttachments(bindings),
    ...(listGuestPackages(vmi).length === 0 ? {} : { memoryBytes: PACKAGES_MEMORY_BYTES }),
  })
  const definedXml = await defineDomain({ ...options, sandbox, hooks, generatedXml })
  await sandbox.virsh(['start', toDomainName(vmi)])
  await sandbox.saveCapabilities()
  const resources = started.move()
  return {
    ...empty,
    generatedXml,
    definedXml,
    readLog: async () =>
      [await empty.readLog(), ...sidecars.map((sidecar) => sidecar.readLog())].join('\n'),
    [Symbol.asyncDispose]: () => resources.disposeAsync(),
  }
}

function needsWholeKernel(vmi: Vmi): boolean {
  const models = vmi.spec.domain.devices.interfaces?.map((nic) => nic.model ?? 'virtio') ?? []
  return models.some((model) => model !== 'virtio')
}

/** One sidecar per distinct binding that has one, whatever the number of NICs (KubeVirt's netbinding.go). */
async function startSidecars(
  sandbox: Sandbox,
  vmi: Vmi,
  bindings: Readonly<Record<string, BindingRegistration>>,
  started: AsyncDisposableStack,
): Promise<readonly Sidecar[]> {
  const interfaces = vmi.spec.domain.devices.interfaces ?? []
  const names = new Set(interfaces.flatMap((nic) => nic.binding?.name ?? []))
  const wanted = [...names].flatMap((bindingName) => {
    const binding = bindings[bindingName]
    if (binding === undefined) {
      throw new Error(`Cannot start VMI "${vmi.metadata.name}": no binding "${bindingName}"`)
    }
    return binding.sidecar === undefined ? [] : [{ bindingName, executable: binding.sidecar }]
  })
  return Promise.all(
    wanted.map(async (sidecar, index) =>
      started.use(await newSidecar({ sandbox, index, ...sidecar })),
    ),
  )
}

function toAttachments(
  bindings: Readonly<Record<string, BindingRegistration>>,
): Readonly<Record<string, 'tap' | 'managedTap'>> {
  const attachments = Object.entries(bindings).map(
    ([name, binding]) => [name, binding.domainAttachmentType] as const,
  )
  return Object.fromEntries(
    attachments.filter((entry): entry is [string, 'tap' | 'managedTap'] => entry[1] !== undefined),
  )
}

async function listPodLinks(netnsName: string): Promise<ReadonlyMap<string, PodLink>> {
  const listed = await run(['ip', '-n', netnsName, '-j', 'link', 'show'])
  const links = JSON.parse(listed) as readonly { ifname: string; address: string; mtu: number }[]
  return new Map(links.map(({ ifname, address, mtu }) => [ifname, { mac: address, mtu }]))
}

/**
 * The taps that virt-handler makes for KubeVirt's own bindings (masquerade, bridge). A separate process removes
 * them, so that they disappear even if our process is killed.
 */
async function newPodTaps(netnsName: string, vmi: Vmi): Promise<AsyncDisposable> {
  const present = await listPodLinks(netnsName)
  const interfaces = vmi.spec.domain.devices.interfaces ?? []
  const taps = interfaces
    .filter((nic) => nic.binding === undefined && isGenerated(nic, {}))
    .map((nic) => toTapName(toPodLink(vmi, nic.name)))
    .filter((tap) => !present.has(tap))
  const isMultiQueue = (countQueues(vmi) ?? 1) > 1
  const script = 'read -r _; netns=$1; shift; for tap; do ip -n "$netns" link del dev "$tap"; done'
  const guard = spawn('sh', ['-c', script, 'sh', netnsName, ...taps], {
    stdio: ['pipe', 'ignore', 'ignore'],
    detached: true,
  })
  const ended = once(guard, 'close')
  const dispose = async (): Promise<void> => {
    guard.stdin.end()
    await ended
  }
  try {
    for (const tap of taps) {
      const kind = `mode tap ${isMultiQueue ? 'multi_queue ' : ''}user 107 group 107`.split(' ')
      await run(['ip', '-n', netnsName, 'tuntap', 'add', 'dev', tap, ...kind])
      await run(['ip', '-n', netnsName, 'link', 'set', 'dev', tap, 'addrgenmode', 'none'])
      await run(['ip', '-n', netnsName, 'link', 'set', 'dev', tap, 'up'])
    }
  } catch (error) {
    await dispose()
    throw error
  }
  return { [Symbol.asyncDispose]: dispose }
}
