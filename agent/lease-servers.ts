// The DHCP servers of this node's VMs, one per pod link that has addresses. They end with the agent and
// are started by the next one; what a VM was told holds until then.
import type { Logger } from 'pino'

import type { TapAttachment } from '../core/attachment.ts'
import { renderDnsmasq } from '../core/dnsmasq.ts'
import { toServerNames } from '../core/name.ts'
import { toAttachmentKey, type AttachmentId } from '../core/wire.ts'
import { startDnsmasq, type Dnsmasq } from '../kernel/dnsmasq.ts'
import { isSameNetns } from '../kernel/netns.ts'
import { newGate } from './gate.ts'

export interface LeaseServers extends AsyncDisposable {
  /** Starts the attachment's server; one that runs is replaced. Throws CommandError when it does not start. */
  readonly start: (attachment: TapAttachment) => Promise<void>
  /** Prepares it and starts its server, where it has a lease, and goes on trying. */
  readonly keep: (attachment: TapAttachment) => Promise<void>
  /** Resolves when it is gone. Idempotent. */
  readonly end: (id: AttachmentId) => Promise<void>
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
  running: Dnsmasq | undefined
  timer: NodeJS.Timeout | undefined
}

/** prepare brings the devices and addresses of a server to where they should be. */
export function newLeaseServers(
  log: Logger,
  prepare: (attachment: TapAttachment) => Promise<void>,
): LeaseServers {
  const all = new Map<string, Served>()
  const gate = newGate(AT_ONCE)

  const isWanted = (served: Served): boolean =>
    all.get(toAttachmentKey(served.attachment)) === served

  const begin = async (served: Served, againMs: number): Promise<void> => {
    const { attachment } = served
    const { tap, lease, netns } = attachment
    if (lease === undefined) return
    const running = await startDnsmasq(netns.path, renderDnsmasq(toServerNames(tap).server, lease))
    // It was ended while it started.
    if (!isWanted(served)) return running.stop()
    served.running = running
    const since = performance.now()
    void running.ended.then((reason) => {
      served.running = undefined
      if (!isWanted(served)) return
      if (running.isToForget())
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
  const again = (served: Served, afterMs: number): void => {
    const nextMs = Math.min(afterMs * 2, AGAIN_MOST_MS)
    const tryOnce = async (): Promise<void> => {
      if (!isWanted(served)) return
      await prepare(served.attachment)
      await begin(served, nextMs)
    }
    served.timer = setTimeout(() => {
      gate(tryOnce).catch((error: unknown) => {
        const facts = { err: error, ...toFacts(served.attachment), againMs: nextMs }
        log.error(facts, "cannot start a VM's DHCP server yet")
        if (isWanted(served)) again(served, nextMs)
      })
    }, afterMs).unref()
  }
  const end: LeaseServers['end'] = async (id) => {
    const served = all.get(toAttachmentKey(id))
    all.delete(toAttachmentKey(id))
    clearTimeout(served?.timer)
    await served?.running?.stop()
  }
  const add = async (attachment: TapAttachment): Promise<Served> => {
    await end(attachment)
    const served: Served = { attachment, running: undefined, timer: undefined }
    all.set(toAttachmentKey(attachment), served)
    return served
  }
  const start: LeaseServers['start'] = async (attachment) => {
    const served = await add(attachment)
    try {
      await begin(served, AGAIN_FIRST_MS)
    } catch (error) {
      if (isWanted(served)) all.delete(toAttachmentKey(attachment))
      throw error
    }
  }
  const sweep = async (): Promise<void> => {
    for (const { attachment } of all.values()) {
      if (await isSameNetns(attachment.netns)) continue
      log.warn(toFacts(attachment), "a VM's sandbox is gone, its DHCP server ends")
      await end(attachment)
    }
  }
  const sweeping = setInterval(() => {
    sweep().catch((error: unknown) => log.error({ err: error }, 'cannot look at sandboxes'))
  }, SANDBOX_MS).unref()
  return {
    start,
    keep: async (attachment) => again(await add(attachment), 0),
    end,
    isRunning: (id) => all.get(toAttachmentKey(id))?.running !== undefined,
    [Symbol.asyncDispose]: async () => {
      clearInterval(sweeping)
      await Promise.all([...all.values()].map(async ({ attachment }) => end(attachment)))
    },
  }
}

function toFacts({ containerID, ifname, tap }: TapAttachment): Readonly<Record<string, string>> {
  return { containerID, ifname, tap }
}
