// From a request to its answer. All verbs of one attachment run one after the other, so that a DEL
// sees what an ADD before it has done.
import { toNoteFile } from '../core/attach/release-note.ts'
import { decodePluginConfig, type PluginConfig } from '../core/cni/config.ts'
import type { CniArgs } from '../core/cni/env.ts'
import { NOTHING_ADDED, toAddResult } from '../core/cni/result.ts'
import { CNI_CODE, CniError, CommandError } from '../core/errors.ts'
import { newLimit, type Limit } from '../core/limit.ts'
import { expectAble } from './able.ts'
import type { AskIpam } from './attach/addresses.ts'
import { del, detach } from './attach/detach.ts'
import { collectGarbage } from './attach/gc.ts'
import type { AgentContext } from './context.ts'
import { honourNote } from './attach/spool.ts'
import { addTap, checkTap } from './attach/tap-verbs.ts'
import { checkWire } from './wire/check.ts'
import { addWire } from './wire/verbs.ts'

type Output = Readonly<Record<string, unknown>>

/** What is asked for, and of whom to ask back. */
export interface Call {
  readonly args: CniArgs
  readonly network: unknown
  readonly readConfig: () => Output
  readonly askIpam: AskIpam
}

/**
 * How many requests are decoded and done at once. A place is taken in the attachment's turn, and given to
 * others while an IPAM plugin is asked: who has one waits for nobody that has none. DELs have their own.
 */
export interface Places {
  readonly plug: Limit
  readonly unplug: Limit
  readonly collect: Limit
}

/** How many unknown keys are named in the log. */
const KEYS_TOLD = 10

const PLUG_AT_ONCE = 16
const UNPLUG_AT_ONCE = 16

export function newPlaces(): Places {
  return {
    plug: newLimit(PLUG_AT_ONCE),
    unplug: newLimit(UNPLUG_AT_ONCE),
    // It takes several attachments' turns by itself.
    collect: newLimit(1),
  }
}

/** Returns what the plugin prints; undefined prints nothing. Throws CniError. */
export async function runVerb(
  node: AgentContext,
  call: Call,
  places: Places,
): Promise<Output | undefined> {
  const { args } = call
  const inTurn = async <T>(limit: Limit, action: () => Promise<T>): Promise<T> =>
    node.turns.attachment(args, async () => limit.inside(action))
  switch (args.command) {
    case 'ADD': {
      const askIpam: AskIpam = async () => places.plug.outside(call.askIpam)
      return inTurn(places.plug, async () => add(node, args, decodeConfig(node, call), askIpam))
    }
    case 'CHECK':
      return inTurn(places.plug, async () => check(node, args, decodeConfig(node, call)))
    case 'DEL':
      await inTurn(places.unplug, async () => del(node, { args, config: call.readConfig() }))
      return undefined
    case 'STATUS':
      return status(node)
    case 'GC':
      return places.collect.inside(async () => collectGarbage(node, call.readConfig()))
    case 'VERSION':
      // The shim answers it itself: it must work without an agent.
      throw new CniError(
        CNI_CODE.INVALID_ENVIRONMENT,
        `Cannot run ${args.command} for an attachment, expected ADD, DEL or CHECK`,
      )
  }
}

function decodeConfig(node: AgentContext, { args, readConfig }: Call): PluginConfig {
  const config = readConfig()
  const decoded = decodePluginConfig(config, args)
  const network = decoded.name
  const keys = decoded.unknownKeys
  if (keys.length > 0)
    node.log.warn(
      { network, keys: keys.slice(0, KEYS_TOLD), count: keys.length },
      'unknown keys are ignored',
    )
  if (config['vni'] !== undefined && node.underlay === undefined)
    node.log.warn({ network, vni: config['vni'] }, 'a VNI has no effect on a single node')
  return decoded
}

async function add(
  node: AgentContext,
  args: CniArgs,
  config: PluginConfig,
  askIpam: AskIpam,
): Promise<Output> {
  await honourNote(node, toNoteFile(args))
  await takeBackUnfinished(node, args)
  if (config.type === 'l2wire') {
    const added = await addWire(node, args, config, askIpam)
    return toAddResult(config.cniVersion, added, config.prevResult)
  }
  await addTap(node, args, config)
  // No interface named "netN" with a sandbox may appear in the pod's network-status: KubeVirt would
  // take it for its ordinal name scheme and look for the wrong pod links (networknamescheme.go).
  return toAddResult(config.cniVersion, NOTHING_ADDED, config.prevResult)
}

// Nothing else of this attachment is under way, so "adding" is what a failed ADD could not take back,
// and "leaving" what a DEL could not tell the store.
async function takeBackUnfinished(node: AgentContext, args: CniArgs): Promise<void> {
  const earlier = await node.state.get(args)
  if (earlier?.phase !== 'adding' && earlier?.phase !== 'leaving') return
  try {
    await detach(node, earlier)
  } catch (cause) {
    if (earlier.phase === 'adding' || cause instanceof CommandError) throw cause
    throw new CniError(
      CNI_CODE.TRY_AGAIN_LATER,
      `Cannot add "${args.ifname}": the store does not hear that it was deleted before`,
      { cause },
    )
  }
}

async function check(node: AgentContext, args: CniArgs, config: PluginConfig): Promise<undefined> {
  // CNI spec, "CHECK": the runtime must give the result of the ADD.
  if (config.prevResult === undefined)
    throw new CniError(
      CNI_CODE.INVALID_CONFIG,
      'Cannot run CHECK: "prevResult" is missing, expected the result of the ADD',
    )
  const attachment = await node.state.get(args)
  if (attachment?.phase !== 'ready')
    throw new CniError(
      CNI_CODE.CHECK_FAILED,
      `Cannot confirm "${args.ifname}" of container "${args.containerID}": ${
        attachment?.phase === 'released'
          ? 'a newer sandbox has its end'
          : 'it was never added, or deleted'
      }`,
    )
  if (attachment.kind === 'wire') await checkWire(node, attachment, config.prevResult)
  else await checkTap(node, attachment)
}

// Whoever can read this answer has reached an agent that answers. What an ADD needs beyond that is tried.
async function status(node: AgentContext): Promise<undefined> {
  await expectAble()
  try {
    await node.state.prove()
  } catch (cause) {
    throw new CniError(
      CNI_CODE.NOT_AVAILABLE,
      'Cannot plug wires: the state directory takes no document',
      { cause },
    )
  }
  try {
    await node.store.prove()
  } catch (cause) {
    throw new CniError(CNI_CODE.NOT_AVAILABLE, 'Cannot plug wires: the store is not available', {
      cause,
    })
  }
}
