// One VM's DHCP server: started, started again whenever it ends, and ended for good.
import { rm } from 'node:fs/promises'

import type { Logger } from 'pino'

import type { TapAttachment } from '../../core/attach/attachment.ts'
import { newBackoff } from '../../core/backoff.ts'
import type { Limit } from '../../core/limit.ts'
import { toServerNames } from '../../core/name.ts'
import { needsMemory, renderDnsmasq } from '../../core/podnetwork/dnsmasq.ts'
import {
  NEW_LIFE,
  setEnded,
  setEndingForClient,
  setForgotten,
  setSandboxAway,
  setStuck,
  type Ended,
  type Stuck,
} from '../../core/podnetwork/server-life.ts'
import type { VmNetwork } from '../../core/podnetwork/vm-network.ts'
import { isSameNetns } from '../../kernel/netns.ts'
import { startDnsmasq, type Dnsmasq } from '../../kernel/podnetwork/dnsmasq.ts'
import { openLeaseFile, type LeaseFile } from '../../kernel/podnetwork/lease-file.ts'

const AGAIN_FIRST_MS = 500
const AGAIN_MOST_MS = 30_000

/**
 * Brings the devices and addresses of a server to where they should be, in the attachment's turn, unless the server is
 * no longer wanted by then. Returns false if the sandbox does not exist.
 */
export type Prepare = (attachment: TapAttachment, isWanted: () => boolean) => Promise<boolean>

export interface DhcpServer {
  readonly attachment: TapAttachment
  /** Throws CommandError when it does not start. */
  readonly start: () => Promise<void>
  /** Prepares the server and starts it if its VM has a network. Tries again until that works. */
  readonly keep: () => void
  /** Resolves when the server has ended. Waits for no turn. Idempotent. */
  readonly halt: () => Promise<void>
  readonly isRunning: () => boolean
  /** Ends the server while its sandbox's path leads elsewhere. */
  readonly lookAtSandbox: () => Promise<void>
}

export interface ServerRim {
  readonly log: Logger
  /** The file of its leases. */
  readonly leasePath: string
  readonly prepare: Prepare
  /** Limits how many servers are prepared at once. */
  readonly limit: Limit
  /** Called with each try. A try may still run when the server has been halted. */
  readonly onTry: (trying: Promise<void>) => void
  /** Called if the VM has no network, so that there is nothing to serve. */
  readonly onIdle: () => void
}

export function newDhcpServer(attachment: TapAttachment, rim: ServerRim): DhcpServer {
  const { tap, lease: vmNetwork, netns } = attachment
  const { log, leasePath } = rim
  const facts = toFacts(attachment)
  const backoff = newBackoff(AGAIN_FIRST_MS, AGAIN_MOST_MS)
  const halted = new AbortController()
  let life = NEW_LIFE
  let starting: Promise<Dnsmasq> | undefined
  let isRunning = false
  let tryTimer: NodeJS.Timeout | undefined
  let endTimer: NodeJS.Timeout | undefined

  const isWanted = (): boolean => !halted.signal.aborted
  const begin = async (wanted: VmNetwork): Promise<void> => {
    if (life.isToForget) await rm(leasePath, { force: true })
    life = setForgotten(life)
    await using leases = needsMemory(wanted) ? await remember() : undefined
    const lines = renderDnsmasq(toServerNames(tap).server, wanted, leases !== undefined)
    starting = startDnsmasq(netns.path, { lines, leases, signal: halted.signal, onStuck })
    const running = await starting
    // Somebody halted it while it started.
    if (!isWanted()) return running.stop()
    isRunning = true
    const sinceMs = performance.now()
    void running.ended.then((reason) => {
      isRunning = false
      if (isWanted()) onEnded(reason, performance.now() - sinceMs)
    })
  }
  // A server without a lease file still serves until the agent ends.
  const remember = async (): Promise<LeaseFile | undefined> => {
    try {
      return await openLeaseFile(leasePath)
    } catch (error) {
      log.warn({ err: error, ...facts }, "a VM's DHCP server cannot keep its leases on disk")
      return undefined
    }
  }
  // dnsmasq withholds an address for ten minutes after a client declined it, and it has no other to offer.
  const onStuck = (why: Stuck): void => {
    const [stuck, inMs] = setStuck(life, why, performance.now())
    life = stuck
    endTimer ??= setTimeout(() => {
      life = setEndingForClient(life, performance.now())
      void stop()
    }, inMs).unref()
  }
  const onEnded = (reason: Error, ranMs: number): void => {
    clearTimeout(endTimer)
    endTimer = undefined
    const [next, ended] = setEnded(life, ranMs)
    life = next
    logEnd(log, facts, ended, reason)
    if (ended.restart !== 'backing-off') backoff.reset()
    tryIn(ended.restart === 'at-once' ? 0 : backoff.next())
  }
  const tryIn = (ms: number): void => {
    tryTimer = setTimeout(() => {
      rim.onTry(
        rim.limit.inside(tryOnce).catch((error: unknown) => {
          if (!isWanted()) return
          const againMs = backoff.next()
          log.error({ err: error, ...facts, againMs }, "cannot start a VM's DHCP server yet")
          tryIn(againMs)
        }),
      )
    }, ms).unref()
  }
  const tryOnce = async (): Promise<void> => {
    if (!isWanted()) return
    const isThere = await rim.prepare(attachment, isWanted)
    if (!isWanted()) return
    // A path may vanish while the sandbox lives. Whoever deletes its document halts this server.
    if (!isThere) tryIn(backoff.next())
    else if (vmNetwork === undefined) rim.onIdle()
    else await begin(vmNetwork)
  }
  const stop = async (): Promise<void> => {
    try {
      // Whoever started it gets the reason why it did not start.
      const server = await starting?.catch(() => undefined)
      await server?.stop()
    } catch (error) {
      // Its devices go anyway, and then it can reach nobody.
      log.error({ err: error, ...facts }, "cannot end a VM's DHCP server")
    }
  }
  return {
    attachment,
    start: async () => (vmNetwork === undefined ? undefined : begin(vmNetwork)),
    keep: () => tryIn(0),
    halt: async () => {
      clearTimeout(tryTimer)
      clearTimeout(endTimer)
      halted.abort()
      await stop()
    },
    isRunning: () => isRunning,
    lookAtSandbox: async () => {
      if (!isRunning) return
      try {
        if ((await isSameNetns(netns)) || !isWanted()) return
        life = setSandboxAway(life)
        log.warn(facts, "a VM's sandbox is not where it was; ending its DHCP server")
        await stop()
      } catch (error) {
        log.error({ err: error, ...facts }, "cannot look at a VM's sandbox")
      }
    },
  }
}

function logEnd(log: Logger, facts: object, { why }: Ended, reason: Error): void {
  if (why === 'given-away')
    log.info(facts, "a VM's DHCP server forgets what it gave to an earlier client, and restarts")
  if (why === 'declined')
    log.info(facts, 'a VM declined its address; its DHCP server restarts and offers it again')
  if (why === 'by-itself')
    log.warn({ err: reason, ...facts }, "a VM's DHCP server ended; starting it again")
}

function toFacts({ containerID, ifname, tap }: TapAttachment): Readonly<Record<string, string>> {
  return { containerID, ifname, tap }
}
