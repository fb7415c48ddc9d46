// From a request to its answer. All verbs of one attachment run one after the other, so that a DEL
// sees what an ADD before it has done.
import { decodePluginConfig, type PluginConfig } from '../core/cni/config.ts'
import type { CniArgs } from '../core/cni/env.ts'
import { NOTHING_ADDED, toAddResult } from '../core/cni/result.ts'
import { CNI_CODE, CniError, CommandError } from '../core/errors.ts'
import type { CniRequest } from '../core/protocol.ts'
import { toAttachmentKey } from '../core/wire.ts'
import type { AskIpam } from './addresses.ts'
import { detach, releaseOf } from './detach.ts'
import { collectGarbage } from './gc.ts'
import type { Node } from './node.ts'
import { honourNote } from './spool.ts'
import { addTap, checkTap } from './tap-verbs.ts'
import { checkWire } from './wire-check.ts'
import { addWire } from './wire-verbs.ts'

type Output = Readonly<Record<string, unknown>>

/** Returns what the plugin prints; undefined prints nothing. Throws CniError. */
export async function runVerb(
  node: Node,
  request: CniRequest,
  askIpam: AskIpam,
): Promise<Output | undefined> {
  const { args } = request
  if (args.command === 'STATUS') return status(node)
  if (args.command === 'GC') return collectGarbage(node, request)
  return node.queue(`attachment ${toAttachmentKey(args)}`, async () => {
    switch (args.command) {
      case 'ADD':
        return add(node, args, decodeConfig(node, request), askIpam)
      case 'CHECK':
        return check(node, args, decodeConfig(node, request))
      case 'DEL':
        // Needs no valid configuration: one that was edited since its ADD, or refused by it, must not
        // keep a pod.
        await releaseOf(node, args, {
          network: request.config['name'],
          type: request.config['type'],
        })
        return undefined
      case 'STATUS':
      case 'GC':
      case 'VERSION':
        // The shim answers VERSION itself: it must work without an agent.
        throw new CniError(
          CNI_CODE.INVALID_ENVIRONMENT,
          `Cannot run ${args.command} for an attachment, expected ADD, DEL or CHECK`,
        )
    }
  })
}

function decodeConfig(node: Node, { args, config }: CniRequest): PluginConfig {
  const decoded = decodePluginConfig(config, args)
  const network = decoded.name
  if (decoded.unknownKeys.length > 0)
    node.log.warn({ network, keys: decoded.unknownKeys }, 'unknown keys are ignored')
  if (config['vni'] !== undefined && node.underlay === undefined)
    node.log.warn({ network, vni: config['vni'] }, 'a VNI has no effect on a single node')
  return decoded
}

async function add(
  node: Node,
  args: CniArgs,
  config: PluginConfig,
  askIpam: AskIpam,
): Promise<Output> {
  node.standing.expectOurs()
  await honourNote(node, args)
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
async function takeBackUnfinished(node: Node, args: CniArgs): Promise<void> {
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

async function check(node: Node, args: CniArgs, config: PluginConfig): Promise<undefined> {
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

// Whoever can read this answer has reached a working agent; its store is asked too.
async function status(node: Node): Promise<undefined> {
  node.standing.expectOurs()
  try {
    await node.store.probe()
  } catch (cause) {
    throw new CniError(CNI_CODE.NOT_AVAILABLE, 'Cannot plug wires: the store is not available', {
      cause,
    })
  }
}
