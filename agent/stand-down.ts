// Two agents with one node name would undo each other's work: the newer one has the name, and the older one
// stands down. It changes nothing in the store any more and plugs nothing in; what is plugged in stays as it
// is, and can be unplugged.
import { setTimeout as sleep } from 'node:timers/promises'

import type { Logger } from 'pino'

import { CNI_CODE, CniError } from '../core/errors.ts'
import type { WireStore } from '../store/wire-store.ts'

export interface Standing extends Disposable {
  /** False once another agent has taken the node's name. */
  readonly isOurs: () => boolean
  /** Throws CniError 111 then. */
  readonly expectOurs: () => void
  /** Takes the name. What keeps us from it is logged and tried again: it must not keep a node waiting. */
  readonly takeName: () => Promise<void>
  /** The store as this agent may use it. */
  readonly store: WireStore
}

const AGAIN_FIRST_MS = 1_000
const AGAIN_MOST_MS = 60_000

export function newStanding(
  store: WireStore,
  node: string,
  identity: string,
  log: Logger,
): Standing {
  let rival: string | undefined
  let holding: Disposable | undefined
  const stopped = new AbortController()

  const explain = (): CniError =>
    new CniError(
      CNI_CODE.NODE_NAME_TAKEN,
      `Cannot plug wires: another agent, "${rival ?? ''}", has taken the name of node "${node}" from this one, "${identity}", expected a --node-name of its own for each`,
    )
  const onLost = (holder: string): void => {
    rival = holder
    log.error(
      { node, identity, holder },
      "another agent has taken this node's name: this one plugs nothing in and changes nothing in the store any more, wires that are plugged in carry on. " +
        'Give each agent a --node-name of its own; end the one that is too many, and start the other again',
    )
  }
  const isOurs = (): boolean => rival === undefined

  const tryTake = async (againMs: number): Promise<void> => {
    try {
      holding = await store.holdNode(node, identity, onLost)
      if (stopped.signal.aborted) holding[Symbol.dispose]()
    } catch (error) {
      if (stopped.signal.aborted) return
      log.error({ err: error, againMs }, "cannot take the node's name yet")
      void again(againMs)
    }
  }
  const again = async (againMs: number): Promise<void> => {
    await sleep(againMs, undefined, { ref: false })
    if (!stopped.signal.aborted) await tryTake(Math.min(againMs * 2, AGAIN_MOST_MS))
  }

  return {
    isOurs,
    expectOurs: () => {
      if (!isOurs()) throw explain()
    },
    takeName: async () => tryTake(AGAIN_FIRST_MS),
    store: {
      ...store,
      // As it is: an end that is unplugged here is not this agent's to release.
      update: async (id, change) => (isOurs() ? store.update(id, change) : store.read(id)),
      claimVni: async (id, range, asked) => {
        if (!isOurs()) throw explain()
        return store.claimVni(id, range, asked)
      },
      releaseVni: async (vni, id) => {
        if (isOurs()) await store.releaseVni(vni, id)
      },
      watch: async (onChange, onError) =>
        store.watch((id) => {
          // The other agent's doings would have us take apart what still carries.
          if (isOurs()) onChange(id)
        }, onError),
    },
    [Symbol.dispose]: () => {
      stopped.abort()
      holding?.[Symbol.dispose]()
    },
  }
}
