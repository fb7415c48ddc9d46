// Who the node lets in at its tunnels' port.
import { TABLE } from '../core/argv.ts'
import { CommandError } from '../core/errors.ts'
import type { Run } from './run.ts'

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
