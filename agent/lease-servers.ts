// The DHCP servers of this node's VMs, one per pod link that has addresses. They end with the agent and
// are started by the next one; what a VM was told holds until then.
import { rm } from 'node:fs/promises'
import { join } from 'node:path'

import type { Logger } from 'pino'

import type { TapAttachment } from '../core/attachment.ts'
import { needsMemory, renderDnsmasq } from '../core/dnsmasq.ts'
import { CNI_CODE, CniError } from '../core/errors.ts'
import { toServerNames } from '../core/name.ts'
import { toAttachmentKey, type AttachmentId } from '../core/wire.ts'
import { startDnsmasq, type Dnsmasq } from '../kernel/dnsmasq.ts'
import { openLeaseFile, type LeaseFile } from '../kernel/lease-file.ts'
import { isSameNetns } from '../kernel/netns.ts'
import { listFolder } from '../store/json-file.ts'
import { newGate } from './gate.ts'
import type { Node } from './node.ts'

export interface LeaseServers extends AsyncDisposable {
  /**
   * Starts the attachment's server; one that runs is replaced. Throws CommandError when it does not start,
   * and CniError 11 where no server starts any more.
   */
  readonly start: (attachment: TapAttachment) => Promise<void>
  /** Prepares it and starts its server, where it has a lease, and goes on trying. */
  readonly keep: (attachment: TapAttachment) => Promise<void>
  /** Resolves when it is gone, and what it remembers. Idempotent. */
  readonly end: (id: AttachmentId) => Promise<void>
  /** Removes what servers remember whose attachment is not among these. */
  readonly sweep: (all: readonly AttachmentId[]) => Promise<void>
  readonly isRunning: (id: AttachmentId) => boolean
}

const AGAIN_FIRST_MS = 500
const AGAIN_MOST_MS = 30_000
/** How many are prepared at once: each takes a handful of processes, and a starting agent has many to start. */
const AT_ONCE = 4
/** How often it is asked whether the sandboxes are there: a server would keep the network of one that is gone. */
const SANDBOX_MS = 5_000

interface Served {
  readonly attachment: TapAttachment
  readonly ending: AbortController
  starting: Promise<Dnsmasq> | undefined
  running: Dnsmasq | undefined
  timer: NodeJS.Timeout | undefined
  /** Its server is ended until its sandbox is where it was. */
  isAway: boolean
  /** A lease that it remembers stands in its client's way. */
  isToForget: boolean
}

/**
 * Brings the devices and addresses of a server to where they should be, in the attachment's turn, unless it
 * is not wanted any more by then. False where its sandbox is not there.
 */
export type Prepare = (attachment: TapAttachment, isWanted: () => boolean) => Promise<boolean>

/** folder is where servers remember what they gave. */
export function newLeaseServers(log: Logger, folder: string, prepare: Prepare): LeaseServers {
  const all = new Map<string, Served>()
  const gate = newGate(AT_ONCE)
  const underWay = new Set<Promise<void>>()
  let isClosed = false

  const isWanted = (served: Served): boolean =>
    all.get(toAttachmentKey(served.attachment)) === served

  const toFile = (id: AttachmentId): string => join(folder, toAttachmentKey(id))
  // A server without it serves all the same, until the agent's end.
  const remember = async (attachment: TapAttachment): Promise<LeaseFile | undefined> => {
    try {
      return await openLeaseFile(toFile(attachment))
    } catch (error) {
      const facts = { err: error, ...toFacts(attachment) }
      log.warn(facts, "a VM's DHCP server cannot keep its leases on disk")
      return undefined
    }
  }
  const begin = async (served: Served, againMs: number): Promise<void> => {
    const { attachment, ending } = served
    const { tap, lease, netns } = attachment
    if (lease === undefined) return
    if (served.isToForget) await rm(toFile(attachment), { force: true })
    served.isToForget = false
    await using leases = needsMemory(lease) ? await remember(attachment) : undefined
    const lines = renderDnsmasq(toServerNames(tap).server, lease, leases !== undefined)
    served.starting = startDnsmasq(netns.path, { lines, leases, signal: ending.signal })
    const running = await served.starting
    // It was ended while it started.
    if (!isWanted(served)) return running.stop()
    served.running = running
    const since = performance.now()
    void running.ended.then((reason) => {
      served.running = undefined
      if (!isWanted(served)) return
      served.isToForget = running.isToForget()
      if (served.isAway) served.isAway = false
      else if (served.isToForget)
        log.info(
          toFacts(attachment),
          "a VM's DHCP server forgets what it gave to an earlier client",
        )
      else
        log.warn(
          { err: reason, ...toFacts(attachment) },
          "a VM's DHCP server ended, it starts again",
        )
      const isStable = performance.now() - since > AGAIN_MOST_MS
      again(served, isStable ? AGAIN_FIRST_MS : againMs)
    })
  }
  const tryOnce = async (served: Served, againMs: number): Promise<void> => {
    if (!isWanted(served)) return
    const { attachment } = served
    const isThere = await prepare(attachment, () => isWanted(served))
    if (!isWanted(served)) return
    // A path may vanish with the sandbox living on; whoever drops its document ends this.
    if (!isThere) again(served, againMs)
    else if (attachment.lease === undefined) all.delete(toAttachmentKey(attachment))
    else await begin(served, againMs)
  }
  const again = (served: Served, afterMs: number): void => {
    const nextMs = Math.min(Math.max(afterMs * 2, AGAIN_FIRST_MS), AGAIN_MOST_MS)
    served.timer = setTimeout(() => {
      const trying = gate(async () => tryOnce(served, nextMs)).catch((error: unknown) => {
        if (!isWanted(served)) return
        const facts = { err: error, ...toFacts(served.attachment), againMs: nextMs }
        log.error(facts, "cannot start a VM's DHCP server yet")
        again(served, nextMs)
      })
      underWay.add(trying)
      void trying.finally(() => underWay.delete(trying))
    }, afterMs).unref()
  }
  const stop = async ({ attachment, starting }: Served): Promise<void> => {
    try {
      // Why it did not start is told to whoever starts it.
      const server = await starting?.catch(() => undefined)
      await server?.stop()
    } catch (error) {
      // Its devices go all the same, and with them whom it could answer.
      log.error({ err: error, ...toFacts(attachment) }, "cannot end a VM's DHCP server")
    }
  }
  // Called in the attachment's turn, and so waits for no other.
  const halt = async (id: AttachmentId): Promise<void> => {
    const served = all.get(toAttachmentKey(id))
    if (served === undefined) return
    all.delete(toAttachmentKey(id))
    clearTimeout(served.timer)
    served.ending.abort()
    await stop(served)
  }
  const end: LeaseServers['end'] = async (id) => {
    await halt(id)
    try {
      await rm(toFile(id), { force: true })
    } catch (error) {
      // No DEL fails for it: a later server finds it in its client's way, and forgets.
      const { containerID, ifname } = id
      log.error(
        { err: error, containerID, ifname },
        "cannot remove what a VM's DHCP server remembers",
      )
    }
  }
  const add = async (attachment: TapAttachment): Promise<Served> => {
    await halt(attachment)
    const served: Served = {
      attachment,
      ending: new AbortController(),
      starting: undefined,
      running: undefined,
      timer: undefined,
      isAway: false,
      isToForget: false,
    }
    all.set(toAttachmentKey(attachment), served)
    return served
  }
  const start: LeaseServers['start'] = async (attachment) => {
    if (isClosed)
      throw new CniError(
        CNI_CODE.TRY_AGAIN_LATER,
        `Cannot start the DHCP server of "${attachment.tap}": the agent is stopping`,
      )
    await end(attachment)
    const served = await add(attachment)
    try {
      await begin(served, AGAIN_FIRST_MS)
    } catch (error) {
      if (isWanted(served)) all.delete(toAttachmentKey(attachment))
      throw error
    }
  }
  const lookAtSandboxes = async (): Promise<void> => {
    for (const served of all.values()) {
      if (served.running === undefined) continue
      const facts = toFacts(served.attachment)
      try {
        if (await isSameNetns(served.attachment.netns)) continue
        if (!isWanted(served)) continue
        served.isAway = true
        log.warn(facts, "a VM's sandbox is not where it was, its DHCP server ends")
        await stop(served)
      } catch (error) {
        log.error({ err: error, ...facts }, "cannot look at a VM's sandbox")
      }
    }
  }
  const sweeping = setInterval(() => void lookAtSandboxes(), SANDBOX_MS).unref()
  return {
    start,
    keep: async (attachment) => {
      if (!isClosed) again(await add(attachment), 0)
    },
    end,
    sweep: async (known) => {
      const kept = new Set(known.map(toAttachmentKey))
      for (const file of await listFolder(folder))
        if (!kept.has(file)) await rm(join(folder, file), { force: true })
    },
    isRunning: (id) => all.get(toAttachmentKey(id))?.running !== undefined,
    [Symbol.asyncDispose]: async () => {
      isClosed = true
      clearInterval(sweeping)
      await Promise.all([...all.values()].map(async ({ attachment }) => halt(attachment)))
      await Promise.all(underWay)
    },
  }
}

export function toLeaseFolder(stateDir: string): string {
  return join(stateDir, 'leases')
}

/** Once all attachments are known: of a sandbox that went without a DEL its leases are left. */
export async function sweepLeases({ state, leaseServers, log }: Node): Promise<void> {
  if (state.hasUnreadable()) return
  await leaseServers.sweep(state.listAll()).catch((error: unknown) => {
    log.error({ err: error }, "cannot look after what VMs' DHCP servers remember")
  })
}

function toFacts({ containerID, ifname, tap }: TapAttachment): Readonly<Record<string, string>> {
  return { containerID, ifname, tap }
}
