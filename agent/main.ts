// The node agent: every privileged step of every wire on this node. Wiring only.
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'

import { pino } from 'pino'

import { DEFAULT_MTU } from '../core/address.ts'
import { CniError, renderCauses } from '../core/errors.ts'
import { toMacvtapFolder } from '../core/macvtap.ts'
import { toReleasedFolder } from '../core/release-note.ts'
import { getOverheadBytes } from '../core/tunnel.ts'
import { applySteps } from '../kernel/apply.ts'
import { probeClassifier } from '../kernel/probe.ts'
import { runMortal } from '../kernel/run.ts'
import { shareTc } from '../kernel/share-tc.ts'
import { isLoopback, readUnderlayMtu } from '../kernel/underlay.ts'
import { sweepTemporaryFiles } from '../store/json-file.ts'
import { newChecking } from './checking.ts'
import { followStore } from './follow.ts'
import { heedKernel } from './heed.ts'
import { sweepDevices } from './macvtap.ts'
import { newKeyQueue } from './key-queue.ts'
import { readIdentity } from './identity.ts'
import { newLeads } from './leads.ts'
import { newLeaseServers, sweepLeases, toLeaseFolder } from './lease-servers.ts'
import { listen } from './listen.ts'
import { newLooks } from './looks.ts'
import type { Node } from './node.ts'
import { openStore } from './open-store.ts'
import { decodeOptions, USAGE } from './options.ts'
import { recover } from './recover.ts'
import { newCniServer } from './serve.ts'
import { honourNotes, watchNotes } from './spool.ts'
import { newStanding } from './stand-down.ts'
import { takeStateLock } from './state-lock.ts'
import { prepareTap } from './mend-tap.ts'
import { newAttachmentState } from './state.ts'
import { newSweeping } from './sweeping.ts'

/** Less than the kubelet's patience (deploy/base). What is left the next agent takes up, as after a crash. */
const END_MS = 20_000
const SIGNALS = ['SIGTERM', 'SIGINT'] as const

// The first process of a container hears no signal but those that it handles.
const leave = (): void => process.exit()

async function main(): Promise<void> {
  const options = decodeOptions(process.argv.slice(2))
  if (options === 'help') {
    process.stdout.write(USAGE)
    return
  }
  // Before it serves there is nothing to finish.
  for (const signal of SIGNALS) process.once(signal, leave)
  const destination = pino.destination({ fd: 2, sync: true })
  // A full disk behind stderr must not take the node's wires' agent down.
  destination.on('error', () => undefined)
  const log = pino({ base: { node: options.nodeName } }, destination)
  const lock = await takeStateLock(options.stateDir, () => {
    log.fatal({ stateDir: options.stateDir }, 'the lock on the state directory is lost')
    process.exit(1)
  })
  const attachments = join(options.stateDir, 'attachments')
  for (const folder of [options.storeFolder, attachments])
    if (folder !== undefined) await sweepTemporaryFiles(folder)
  const { underlayAddress: address, vxlanPort: port, vniRange } = options
  const classifier = await probeClassifier(runMortal)
  const underlay = isLoopback(address) ? undefined : { address, port, vniRange }
  if (underlay !== undefined)
    await applySteps(runMortal, classifier, [{ op: 'guard-port', netns: undefined, port }])
  const { store, cluster } = await openStore(options)
  const identity = await readIdentity(options.stateDir)
  const standing = newStanding(store, options.nodeName, identity, log)
  const node: Node = {
    name: options.nodeName,
    // A frame of this size crosses the underlay whole, wherever the far end is.
    mtuBytes:
      underlay === undefined
        ? DEFAULT_MTU
        : Math.min(
            DEFAULT_MTU,
            (await readUnderlayMtu(runMortal, address)) - getOverheadBytes(address),
          ),
    underlay,
    run: shareTc(runMortal),
    netSysctls: options.netSysctls,
    resolvConf: { own: options.resolvConf, node: options.nodeResolvConf },
    classifier,
    store: standing.store,
    standing,
    cluster,
    state: newAttachmentState(attachments),
    owners: new Map(),
    lookedAt: new Map(),
    wantedUp: new Map(),
    leads: newLeads(),
    releasedFolder: toReleasedFolder(options.socketPath),
    leaving: new Set(),
    macvtaps: {
      folder: toMacvtapFolder(options.socketPath),
      count: options.macvtapDevices,
      podResources: options.devicePlugins === undefined ? undefined : options.podResources,
    },
    leaseServers: newLeaseServers(
      log,
      toLeaseFolder(options.stateDir),
      async (attachment, isWanted) => prepareTap(node, attachment, isWanted),
    ),
    queue: newKeyQueue(),
    log,
  }
  await waitForStore(node)
  await standing.takeName()
  const looks = newLooks(node)
  const checking = newChecking(node, looks, options.checkSeconds)
  // Before looking at what there is, so that nothing falls between.
  const heeding = await heedKernel(node, looks, checking.soon)
  await recover(node, looks, heeding.learn)
  await honourNotes(node)
  await sweepDevices(node).catch((error: unknown) => {
    log.error({ err: error }, 'cannot look after the devices of macvtaps')
  })
  await sweepLeases(node)
  const noting = await watchNotes(node)
  const following = await followStore(node, looks)
  const sweeping = newSweeping(node, options.checkSeconds)
  const { server, close } = newCniServer(node)
  const removeSocket = await listen(server, options.socketPath)
  const handing = await handOut(node, options.devicePlugins)
  log.info({ socket: options.socketPath, classifier: node.classifier }, 'ready')
  // Wires need no agent to carry frames: it just goes, and leaves every device as it is.
  const stop = (signal: string): void => {
    log.info({ signal }, 'stopping')
    for (const part of [following, noting, checking, sweeping, looks, standing, handing])
      part[Symbol.dispose]()
    void Promise.all([close(), heeding[Symbol.asyncDispose]()])
      // What is under way may start a server yet.
      .then(async () => node.leaseServers[Symbol.asyncDispose]())
      .then(removeSocket)
      .then(lock.release)
      .catch((error: unknown) => log.error({ err: error }, 'cannot leave everything in order'))
    // A request, or a look, may wait for what gives no answer.
    setTimeout(() => {
      log.warn({ waitedMs: END_MS }, 'what is under way takes too long, the next agent takes it up')
      process.exit()
    }, END_MS).unref()
  }
  for (const signal of SIGNALS) process.off(signal, leave).once(signal, stop)
}

// gRPC takes memory and time to load: only where a kubelet asks for it.
async function handOut(node: Node, folder: string | undefined): Promise<Disposable> {
  if (folder === undefined) return { [Symbol.dispose]: () => undefined }
  const { startDevicePlugin } = await import('./device-plugin.ts')
  return startDevicePlugin(node, folder)
}

// Frames need no agent, and its plugins answer "try again later" meanwhile: it waits rather than fail.
async function waitForStore(node: Node): Promise<void> {
  for (let waitMs = 500; ; waitMs = Math.min(waitMs * 2, 15_000))
    try {
      await node.store.probe()
      return
    } catch (error) {
      // A permission that is missing may be on its way, too: what is wrong is said either way.
      if (!(error instanceof CniError)) throw error
      node.log.error({ err: error, waitMs }, 'the store is not available')
      await sleep(waitMs)
    }
}

try {
  await main()
} catch (error) {
  process.stderr.write(`l2wire-agent: ${renderCauses(error)}\n`)
  process.exit(1)
}
