// Who the node lets in at its tunnels' port.
import type { Classifier } from '../core/steps/argv.ts'
import { CommandError } from '../core/errors.ts'
import { TABLE } from '../core/steps/guard.ts'
import { getFamily } from '../core/net/ip.ts'
import { lacksPathCheck } from '../core/steps/nft-complaint.ts'
import { parseHops } from '../core/observe/route-hops.ts'
import { applySteps } from './apply.ts'
import type { Run } from './run.ts'

/** The node's own address, and the port that its tunnels listen at. */
interface Door {
  readonly address: string
  readonly port: number
}

/** The interfaces that lead to one of several hops, where that matters to tunnels of this address. */
export async function readHops(run: Run, address: string): Promise<ReadonlySet<string>> {
  if (getFamily(address) === 4) return new Set()
  return parseHops(await run(['ip', '-6', '-o', 'route', 'show', 'table', 'all']))
}

/** Makes the table whole, without peers where it was gone; false where the kernel cannot check the reverse path. */
export async function guardPort(
  run: Run,
  classifier: Classifier,
  { address, port }: Door,
): Promise<boolean> {
  const hops = [...(await readHops(run, address))]
  const guard = async (checksPath: boolean): Promise<boolean> => {
    const step = { op: 'guard-port', netns: undefined, port, checksPath, hops } as const
    await applySteps(run, classifier, [step])
    return checksPath
  }
  try {
    return await guard(true)
  } catch (error) {
    // Anything else may be over in a moment, and a node must not be without the check for that.
    if (!(error instanceof CommandError) || !lacksPathCheck(error.stderr)) throw error
    return guard(false)
  }
}

/** Whether a command failed because our table, or a part of it, is gone. */
export function isTableGone(error: unknown): boolean {
  return (
    error instanceof CommandError &&
    error.argv.includes('nft') &&
    /^\S+: Error: No such file or directory/m.test(error.stderr)
  )
}

/** Throws CommandError where nft is missing or not allowed. */
export async function isPeerAllowed(run: Run, address: string, vni: number): Promise<boolean> {
  const set = address.includes(':') ? 'peers6' : 'peers4'
  try {
    await run(['nft', 'get', 'element', ...TABLE.split(' '), set, `{ ${address} . ${vni} }`])
    return true
  } catch (error) {
    if (error instanceof CommandError && error.stderr.includes('No such file')) return false
    throw error
  }
}
