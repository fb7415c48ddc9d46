// Verbs of a configuration with "ipam": what the agent does, and what the IPAM plugin does, in the order
// that leaves nothing behind when either fails. docs/decisions/0008 has the reasons.
import type { CniArgs } from '../core/cni/env.ts'
import { CniError } from '../core/errors.ts'
import { IPAM_MS, PROTOCOL, type CniResponse, type IpamAnswer } from '../core/protocol.ts'
import type { AnswerIpam } from './client.ts'
import { findPlugin, runPlugin, type Plugin } from './plugin.ts'
import { warn } from './warn.ts'

/** For DEL, CHECK and STATUS of an IPAM plugin: with IPAM_MS still below the runtimes' 90 s. */
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

// The agent makes the devices and then asks us, since DHCP goes over them. It hears of a failure, too,
// and takes its part back before it answers.
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
  // The agent may have gone away meanwhile: a DEL must not overtake its ADD.
  await run
  try {
    await runPlugin(plugin, 'DEL', input, SHORT_MS)
  } catch (error) {
    // The ADD's own failure is what the runtime is to read, and its DEL is yet to come.
    warn(error)
  }
}

// The IPAM plugin first, so that a DHCP lease is given back over the wire; the agent whatever comes of it.
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

// CNI spec, "GC": forwarded in any case, and a failure keeps nobody from going on.
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

// A plugin that is not there gave no address, or was taken from the node: no reason to keep a pod.
async function findOrPass(ipam: string, path: string): Promise<Plugin | undefined> {
  try {
    return await findPlugin(ipam, path)
  } catch (error) {
    warn(error)
    return undefined
  }
}
