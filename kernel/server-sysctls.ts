// The switches of the interface that a VM's DHCP server has, in another namespace; see kernel/ipv6.ts for
// the folder.
import { join } from 'node:path'

import type { Run } from './run.ts'

/** Seconds; the kernel takes an int, and counts it in jiffies. */
const A_LONG_TIME = 1_000_000

/**
 * Whoever is known as a neighbour there stays known: nobody would answer when asked. With IPv6 on, it
 * hears router solicitations, and learns from them who sent them. Throws CommandError.
 */
export async function setServerSysctls(
  run: Run,
  folder: string,
  netnsPath: string,
  dev: string,
  hasIpv6: boolean,
): Promise<void> {
  const write = async (value: number, ...keys: readonly string[]): Promise<void> => {
    const files = keys.map((key) => join(folder, key))
    await run(['nsenter', `--net=${netnsPath}`, 'tee', ...files], { input: `${value}\n` })
  }
  const families = hasIpv6 ? ['ipv4', 'ipv6'] : ['ipv4']
  const keys = ['delay_first_probe_time', 'gc_stale_time']
  await write(
    A_LONG_TIME,
    ...families.flatMap((family) => keys.map((key) => `${family}/neigh/${dev}/${key}`)),
  )
  // A VM that renews its lease has the address that the pod link has, too: a forgery, to a stack that is
  // not told otherwise. Loose filtering (2) prevails over the strict one (1) that all may have.
  await write(1, `ipv4/conf/${dev}/accept_local`)
  await write(2, `ipv4/conf/${dev}/rp_filter`)
  if (!hasIpv6) return
  await write(0, `ipv6/conf/${dev}/disable_ipv6`)
  await write(1, `ipv6/conf/${dev}/forwarding`)
}
