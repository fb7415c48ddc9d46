// From a request to its answer: decode, then the verb of the plugin type that is meant.
import { decodePluginConfig, type PluginConfig } from '../core/cni/config.ts'
import type { CniArgs } from '../core/cni/env.ts'
import { toAddResult } from '../core/cni/result.ts'
import { CNI_CODE, CniError } from '../core/errors.ts'
import type { CniRequest } from '../core/protocol.ts'
import type { Node } from './node.ts'
import { addTap, checkTap, delTap } from './tap-verbs.ts'
import { addWire, checkWire, delWire } from './wire-verbs.ts'

type Output = Readonly<Record<string, unknown>>

/** Returns what the plugin prints; undefined prints nothing. Throws CniError. */
export async function runVerb(node: Node, request: CniRequest): Promise<Output | undefined> {
  const { args } = request
  const config = decodePluginConfig(request.config, args)
  if (config.unknownKeys.length > 0)
    node.log.warn({ network: config.name, keys: config.unknownKeys }, 'unknown keys are ignored')
  switch (args.command) {
    case 'ADD':
      return add(node, args, config)
    case 'DEL':
      await del(node, args)
      return undefined
    case 'CHECK':
      await check(node, args, config)
      return undefined
    case 'STATUS':
      // Whoever can read this answer has reached a working agent; the store is asked too.
      await node.store.list()
      return undefined
    case 'VERSION':
      // The shim answers VERSION itself: it must work without an agent.
      throw new CniError(CNI_CODE.INVALID_ENVIRONMENT, 'Cannot run VERSION: the plugin answers it')
  }
}

async function add(node: Node, args: CniArgs, config: PluginConfig): Promise<Output> {
  if (config.type === 'l2wire') {
    const interfaces = await addWire(node, args, config)
    return toAddResult(config.cniVersion, interfaces, config.prevResult)
  }
  await addTap(node, args, config)
  // No interface named "netN" with a sandbox may appear in the pod's network-status: KubeVirt would
  // take it for its ordinal name scheme and look for the wrong pod links (networknamescheme.go).
  return toAddResult(config.cniVersion, [], config.prevResult)
}

async function del(node: Node, args: CniArgs): Promise<void> {
  const attachment = await node.state.get(args)
  if (attachment?.kind === 'wire') await delWire(node, attachment)
  if (attachment?.kind === 'tap') await delTap(node, attachment)
}

async function check(node: Node, args: CniArgs, config: PluginConfig): Promise<void> {
  // CNI spec, "CHECK": the runtime must give the result of the ADD.
  if (config.prevResult === undefined)
    throw new CniError(
      CNI_CODE.INVALID_CONFIG,
      'Cannot run CHECK: "prevResult" is missing, expected the result of the ADD',
    )
  const attachment = await node.state.get(args)
  if (attachment?.kind === 'wire') return checkWire(node, attachment)
  if (attachment?.kind === 'tap') return checkTap(node, attachment)
  throw new CniError(
    CNI_CODE.CHECK_FAILED,
    `Cannot confirm "${args.ifname}" of container "${args.containerID}": it was never added, or deleted`,
  )
}
