// The DHCP servers of this node's VMs, one per pod link that has addresses. They end with the agent and
// are started by the next one; what a VM was told holds until then.
import { rm } from 'node:fs/promises'
import { join } from 'node:path'

import type { Logger } from 'pino'

import type { TapAttachment } from '../../core/attach/attachment.ts'
import { CNI_CODE, CniError } from '../../core/errors.ts'
import { newLimit } from '../../core/limit.ts'
import { toPathBelow } from '../../core/path-below.ts'
import { toAttachmentKey, type AttachmentId } from '../../core/wire/wire.ts'
import { listFolder } from '../../store/json-file.ts'
import type { AttachmentState } from '../state.ts'
import { newDhcpServer, type DhcpServer, type Prepare } from './server.ts'

export interface DhcpServers extends AsyncDisposable {
  /**
   * Starts the attachment's server and replaces one that runs. Throws CommandError if it does not start, and CniError
   * 11 once the agent is stopping.
   */
  readonly start: (attachment: TapAttachment) => Promise<void>
  /** Prepares the attachment's server and starts it if the VM has a network. Tries again until that works. */
  readonly keep: (attachment: TapAttachment) => Promise<void>
  /** Resolves when the server has ended and its leases are removed. Idempotent. */
  readonly end: (id: AttachmentId) => Promise<void>
  /** Removes the leases of attachments that are not among these. */
  readonly sweep: (all: readonly AttachmentId[]) => Promise<void>
  readonly isRunning: (id: AttachmentId) => boolean
}

/** How many are prepared at once. Each takes a handful of processes, and a starting agent has many to start. */
const AT_ONCE = 4
/** How often we check that the sandboxes exist. A server would keep the network namespace of one that is gone. */
const SANDBOX_MS = 5_000

/** folder holds the servers' lease files. */
export function newDhcpServers(log: Logger, folder: string, prepare: Prepare): DhcpServers {
  const all = new Map<string, DhcpServer>()
  const limit = newLimit(AT_ONCE)
  const underWay = new Set<Promise<void>>()
  let isClosed = false

  const toFile = (id: AttachmentId): string => toPathBelow(folder, toAttachmentKey(id))
  const drop = async (id: AttachmentId): Promise<void> => {
    const server = all.get(toAttachmentKey(id))
    all.delete(toAttachmentKey(id))
    await server?.halt()
  }
  const replace = async (attachment: TapAttachment): Promise<DhcpServer> => {
    await drop(attachment)
    const key = toAttachmentKey(attachment)
    const server = newDhcpServer(attachment, {
      log,
      leasePath: toFile(attachment),
      prepare,
      limit,
      onTry: (trying) => {
        underWay.add(trying)
        void trying.finally(() => underWay.delete(trying))
      },
      onIdle: () => all.delete(key),
    })
    all.set(key, server)
    return server
  }
  const end: DhcpServers['end'] = async (id) => {
    await drop(id)
    try {
      await rm(toFile(id), { force: true })
    } catch (error) {
      // A DEL must not fail for it. A later server that finds the lease in its client's way removes it.
      const { containerID, ifname } = id
      log.error(
        { err: error, containerID, ifname },
        "cannot remove what a VM's DHCP server remembers",
      )
    }
  }
  const start: DhcpServers['start'] = async (attachment) => {
    if (isClosed)
      throw new CniError(
        CNI_CODE.TRY_AGAIN_LATER,
        `Cannot start the DHCP server of "${attachment.tap}": the agent is stopping`,
      )
    await end(attachment)
    const server = await replace(attachment)
    try {
      await server.start()
    } catch (error) {
      if (all.get(toAttachmentKey(attachment)) === server) await drop(attachment)
      throw error
    }
  }
  const lookAtSandboxes = async (): Promise<void> => {
    for (const server of all.values()) await server.lookAtSandbox()
  }
  const sweeping = setInterval(() => void lookAtSandboxes(), SANDBOX_MS).unref()
  return {
    start,
    keep: async (attachment) => {
      if (!isClosed) (await replace(attachment)).keep()
    },
    end,
    sweep: async (known) => {
      const kept = new Set(known.map(toAttachmentKey))
      for (const file of await listFolder(folder))
        if (!kept.has(file)) await rm(join(folder, file), { force: true })
    },
    isRunning: (id) => all.get(toAttachmentKey(id))?.isRunning() ?? false,
    [Symbol.asyncDispose]: async () => {
      isClosed = true
      clearInterval(sweeping)
      await Promise.all([...all.values()].map(async ({ attachment }) => drop(attachment)))
      await Promise.all(underWay)
    },
  }
}

export function toLeaseFolder(stateDir: string): string {
  return join(stateDir, 'leases')
}

/** Call it once all attachments are known. A sandbox that went without a DEL leaves its leases. */
export async function sweepDhcpServers({
  state,
  dhcpServers,
  log,
}: {
  readonly state: AttachmentState
  readonly dhcpServers: DhcpServers
  readonly log: Logger
}): Promise<void> {
  if (state.hasUnreadable()) return
  await dhcpServers.sweep(state.listAll()).catch((error: unknown) => {
    log.error({ err: error }, "cannot look after what VMs' DHCP servers remember")
  })
}
