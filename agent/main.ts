// The node agent: every privileged step of every wire on this node. Wiring only.
import { join } from 'node:path'

import type { Logger } from 'pino'

import { DEFAULT_MTU } from '../core/net/address.ts'
import { renderCauses } from '../core/errors.ts'
import { toMacvtapFolder } from '../core/attach/macvtap.ts'
import { toPrintable } from '../core/printable.ts'
import { toReleasedFolder } from '../core/attach/release-note.ts'
import { getOverheadBytes } from '../core/wire/tunnel.ts'
import { onHandlesLost } from '../kernel/child.ts'
import { guardPort } from '../kernel/peers.ts'
import { probeClassifier } from '../kernel/probe.ts'
import { makeRootFolder } from '../kernel/root-path.ts'
import { runMortal } from '../kernel/run.ts'
import { shareTc } from '../kernel/share-tc.ts'
import { isLoopback, readUnderlayMtu } from '../kernel/underlay.ts'
import { sweepTemporaryFiles } from '../store/json-file.ts'
import { newAwaitedGuests } from './wire/awaited.ts'
import { newChecking } from './wire/checking.ts'
import { followFarGuests } from './wire/far-guests.ts'
import { followStore } from './wire/follow.ts'
import { watchKernelEvents } from './events/kernel-events.ts'
import { sweepDevices } from './attach/macvtap.ts'
import { newTurns } from './turns.ts'
import { newLinkCache } from './wire/link-cache.ts'
import { newDhcpServers, sweepDhcpServers, toLeaseFolder } from './podnetwork/servers.ts'
import { listen } from './listen.ts'
import { takeNameLock, takeStateLock } from './lock.ts'
import { newLog } from './log.ts'
import { newReconcileQueue } from './wire/reconcile-queue.ts'
import type { AgentContext } from './context.ts'
import { openStore } from './open-store.ts'
import { decodeOptions, USAGE, type AgentOptions } from './options.ts'
import { recover, resume } from './wire/recover.ts'
import { newCniServer } from './serve.ts'
import { linkSocket } from './socket-link.ts'
import { honourNotes, watchNotes } from './attach/spool.ts'
import { newStart, type Start } from './starting.ts'
import { prepareTap } from './attach/mend-tap.ts'
import { newAttachmentState } from './state.ts'
import { newSweeping } from './wire/sweeping.ts'
import { newTapQueue } from './attach/tap-queue.ts'

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
  // Nobody but root chooses what is read and written there; the socket's folder may have others beside.
  for (const folder of [options.stateDir, toReleasedFolder(options.socketPath)])
    makeRootFolder(folder)
  const log = newLog(options.nodeName)
  const fail = (facts: object, what: string): never => {
    log.fatal(facts, what)
    process.exit(1)
  }
  const { stateDir, storeFolder, nodeName } = options
  const locks = [
    await takeStateLock(stateDir, () =>
      fail({ stateDir }, 'the lock on the state directory is lost'),
    ),
  ]
  onHandlesLost((error) => fail({ err: error }, 'out of file descriptors'))
  const start = newStart(log)
  const { server, close } = newCniServer(start, log)
  const removeSocket = await listen(server, options.socketPath, (error) =>
    fail({ err: error }, 'cannot take connections'),
  )
  await linkSocket(options.stateDir, options.socketPath).catch((error: unknown) => {
    log.error({ err: error }, 'cannot note the socket: the doctor will not find it')
  })
  /** What runs, the last of it first to end. */
  const parts: Disposable[] = []
  const servers: AsyncDisposable[] = []
  // Wires need no agent to carry frames: it just goes, and leaves every device as it is.
  const stop = (signal: string): void => {
    log.info({ signal }, 'stopping')
    const wasReady = start.isReady()
    start.abandon()
    for (const part of parts) part[Symbol.dispose]()
    void close()
      // What is under way may start a server yet.
      .then(async () => Promise.all(servers.map(async (one) => one[Symbol.asyncDispose]())))
      .then(removeSocket)
      .then(() => locks.forEach((lock) => lock.release()))
      .catch((error: unknown) => log.error({ err: error }, 'cannot leave everything in order'))
      .then(() => {
        // A start that waits would go on.
        if (!wasReady) process.exit()
      })
    // A request, or a look, may wait for what gives no answer.
    setTimeout(() => {
      log.warn({ waitedMs: END_MS }, 'what is under way takes too long, the next agent takes it up')
      process.exit()
    }, END_MS).unref()
  }
  for (const signal of SIGNALS) process.off(signal, leave).once(signal, stop)

  const node = await newNode(options, log, start)
  servers.push(node.dhcpServers)
  start.setKnown(node)
  // First what needs no store: however long that is away, tunnels let in nobody else and VMs keep their addresses.
  const usable = Promise.withResolvers<void>()
  const reconcileQueue = newReconcileQueue(node, usable.promise)
  const tapQueue = newTapQueue(node)
  const checking = newChecking(node, reconcileQueue, tapQueue, options.checkSeconds)
  parts.push(reconcileQueue, tapQueue, checking)
  // Before looking at what there is, so that nothing falls between.
  const kernelEvents = await start.doPart('cannot hear the kernel', async () =>
    watchKernelEvents(node, reconcileQueue, tapQueue, checking.soon),
  )
  servers.push(kernelEvents)
  await start.doPart('cannot learn our devices', kernelEvents.learn)
  await start.doPart('cannot take up what needs no store', async () => resume(node))
  await start.doPart('the store is not available', async () => {
    await node.store.probe()
    if (storeFolder === undefined) return
    await sweepTemporaryFiles(storeFolder)
    const onLost = (): void => fail({ storeFolder }, "the lock on the node's name is lost")
    locks.push(await takeNameLock(storeFolder, nodeName, onLost))
  })
  usable.resolve()
  await start.doPart('cannot take up what is plugged in', async () => recover(node, reconcileQueue))
  await honourNotes(node)
  await sweepDevices(node).catch((error: unknown) => {
    log.error({ err: error }, 'cannot look after the devices of macvtaps')
  })
  await sweepDhcpServers(node)
  parts.push(watchNotes(node))
  parts.push(
    await start.doPart('cannot watch the store yet', async () => followStore(node, reconcileQueue)),
  )
  parts.push(followFarGuests(node), newSweeping(node, options.checkSeconds))
  parts.push(await handOut(node, options.devicePlugins))
  start.setReady(node)
  log.info({ socket: options.socketPath, classifier: node.classifier }, 'ready')
  // Not before it serves: it takes a process for each launcher.
  void tapQueue.lookAtAll()
}

/** With its attachments, as far as they can be read: what is known of them can be unplugged from here on. */
async function newNode(options: AgentOptions, log: Logger, start: Start): Promise<AgentContext> {
  const { underlayAddress: address, vxlanPort: port, vniRange } = options
  const attachments = join(options.stateDir, 'attachments')
  const classifier = await start.doPart('cannot ask the kernel for its classifiers', async () =>
    probeClassifier(runMortal),
  )
  const underlay = isLoopback(address) ? undefined : { address, port, vniRange }
  const checksPath =
    underlay === undefined ||
    (await start.doPart("cannot guard the tunnels' port", async () =>
      guardPort(runMortal, classifier, { address, port }),
    ))
  if (!checksPath)
    log.warn('the kernel has no nft_fib: forged senders can reach the port of the tunnels')
  const { store, cluster } = await openStore(options)
  await start.doPart('cannot read the state directory', async () =>
    sweepTemporaryFiles(attachments),
  )
  const node: AgentContext = {
    name: options.nodeName,
    // A frame of this size crosses the underlay whole, wherever the far end is.
    mtuBytes:
      underlay === undefined
        ? DEFAULT_MTU
        : Math.min(
            DEFAULT_MTU,
            (await start.doPart('cannot look at the underlay', async () =>
              readUnderlayMtu(runMortal, address),
            )) - getOverheadBytes(address),
          ),
    underlay,
    checksPath,
    run: shareTc(runMortal),
    netSysctls: options.netSysctls,
    resolvConf: { own: options.resolvConf, node: options.nodeResolvConf },
    classifier,
    store,
    cluster,
    state: newAttachmentState(attachments),
    podEndStates: new Map(),
    lookedAt: new Map(),
    wanted: new Map(),
    linkCache: newLinkCache(),
    unwritten: new Map(),
    arrivals: new Map(),
    awaited: newAwaitedGuests(),
    heard: new Map(),
    known: new Map(),
    tellings: new Map(),
    carrierShown: new Map(),
    releasedFolder: toReleasedFolder(options.socketPath),
    leaving: new Set(),
    macvtaps: {
      folder: toMacvtapFolder(options.socketPath),
      count: options.macvtapDevices,
      podResources: options.devicePlugins === undefined ? undefined : options.podResources,
    },
    dhcpServers: newDhcpServers(
      log,
      toLeaseFolder(options.stateDir),
      async (attachment, isWanted) => prepareTap(node, attachment, isWanted),
    ),
    turns: newTurns(),
    log,
  }
  await start.doPart('cannot list the attachments', async () =>
    node.state.list((error) => {
      log.error({ err: error }, 'cannot read an attachment, it is left alone')
    }),
  )
  return node
}

// gRPC takes memory and time to load: only where a kubelet asks for it.
async function handOut(node: AgentContext, folder: string | undefined): Promise<Disposable> {
  if (folder === undefined) return { [Symbol.dispose]: () => undefined }
  const { startDevicePlugin } = await import('./attach/device-plugin.ts')
  return startDevicePlugin(node, folder)
}

try {
  await main()
} catch (error) {
  process.stderr.write(`l2wire-agent: ${toPrintable(renderCauses(error))}\n`)
  process.exit(1)
}
