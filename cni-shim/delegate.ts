// Runs verbs of a configuration with "ipam": the agent and the IPAM plugin, in an order that leaves nothing
// behind if either fails. docs/decisions/0008 has the reasons.
import type { CniArgs } from '../core/cni/env.ts'
import { CniError } from '../core/errors.ts'
import { IPAM_MS, PROTOCOL, type CniResponse, type IpamAnswer } from '../core/cni/protocol.ts'
import type { AnswerIpam } from './client.ts'
import { findPlugin, runPlugin, type Plugin } from './plugin.ts'
import { warn } from './warn.ts'

/** For DEL, CHECK and STATUS of an IPAM plugin. Together with IPAM_MS it stays below the runtimes' 90 s. */
const SHORT_MS = 15_000

export interface Delegation {
  /** The IPAM plugin's name. */
  readonly ipam: string
  readonly args: CniArgs
  /** Standard input as it came. */
  readonly input: string
  readonly ask: (answerIpam?: AnswerIpam) => Promise<CniResponse>
}

/** Runs the verb at the agent and the IPAM plugin. Throws CniError. */
export async function runDelegated(delegation: Delegation): Promise<CniResponse> {
  const { args, ask, input, ipam } = delegation
  if (args.command === 'ADD') return add(delegation)
  if (args.command === 'DEL') return del(delegation)
  if (args.command === 'GC') return gc(delegation)
  const response = await ask()
  if (!response.isError)
    await runPlugin(await findPlugin(ipam, args.path), args.command, input, SHORT_MS)
  return response
}

// The agent makes the devices and then asks us, because DHCP needs them. It learns of a failure, too, and
// undoes its part before it answers.
async function add({ args, ask, input, ipam }: Delegation): Promise<CniResponse> {
  const plugin = await findPlugin(ipam, args.path)
  let run: Promise<IpamAnswer> | undefined
  try {
    const response = await ask(async () => {
      run = runAdd(plugin, input)
      return run
    })
    if (response.isError) await giveBack(plugin, input, run)
    return response
  } catch (error) {
    await giveBack(plugin, input, run)
    throw error
  }
}

async function runAdd(plugin: Plugin, input: string): Promise<IpamAnswer> {
  try {
    const result = await runPlugin(plugin, 'ADD', input, IPAM_MS)
    return { protocol: PROTOCOL, result: result ?? {} }
  } catch (error) {
    if (!(error instanceof CniError)) throw error
    const { code, message, details } = error
    return {
      protocol: PROTOCOL,
      error: { code, message, ...(details === undefined ? {} : { details }) },
    }
  }
}

// CNI spec, "Delegated plugin execution procedure": after a failed ADD the delegated plugin gets a DEL.
async function giveBack(
  plugin: Plugin,
  input: string,
  run: Promise<IpamAnswer> | undefined,
): Promise<void> {
  if (run === undefined) return
  // The agent may have ended meanwhile. A DEL must not overtake its ADD.
  await run
  try {
    await runPlugin(plugin, 'DEL', input, SHORT_MS)
  } catch (error) {
    // The runtime should see the ADD's own failure. Its DEL is still to come.
    warn(error)
  }
}

// The IPAM plugin runs first, so that it releases a DHCP lease over the wire. The agent runs in any case.
async function del({ args, ask, input, ipam }: Delegation): Promise<CniResponse> {
  const plugin = await findOrPass(ipam, args.path)
  const given = await Promise.allSettled(
    plugin === undefined ? [] : [runPlugin(plugin, 'DEL', input, SHORT_MS)],
  )
  const response = await ask()
  if (response.isError) return response
  for (const one of given) if (one.status === 'rejected') throw one.reason
  return response
}

// CNI spec, "GC": always forward it. A failure stops nothing.
async function gc({ args, ask, input, ipam }: Delegation): Promise<CniResponse> {
  const [response, forwarded] = await Promise.allSettled([
    ask(),
    findPlugin(ipam, args.path).then(async (plugin) => runPlugin(plugin, 'GC', input, SHORT_MS)),
  ])
  if (forwarded.status === 'rejected' && !isYes(response)) warn(forwarded.reason)
  if (response.status === 'rejected') throw response.reason
  if (forwarded.status === 'rejected' && isYes(response)) throw forwarded.reason
  return response.value
}

function isYes(response: PromiseSettledResult<CniResponse>): boolean {
  return response.status === 'fulfilled' && !response.value.isError
}

// A missing plugin gave no address, or somebody removed it. Neither is a reason to keep a pod.
async function findOrPass(ipam: string, path: string): Promise<Plugin | undefined> {
  try {
    return await findPlugin(ipam, path)
  } catch (error) {
    warn(error)
    return undefined
  }
}
