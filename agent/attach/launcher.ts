// What the launcher of an ADD wants of the NIC that is to be attached.
import { readFile } from 'node:fs/promises'

import type { BindConfig } from '../../core/cni/bind-config.ts'
import { decodePodRef, type CniArgs } from '../../core/cni/env.ts'
import { toNicWish, type NicWish } from '../../core/attach/launcher.ts'
import { NO_DNS, parseResolvConf, type PodDns } from '../../core/podnetwork/pod-dns.ts'
import type { AgentContext } from '../context.ts'

/** Throws CniError 4, 11, 109 or 112, and DecodeError for a VMI that says what cannot be. */
export async function readNicWish(
  { cluster, resolvConf, log }: AgentContext,
  args: CniArgs,
  config: BindConfig,
): Promise<NicWish> {
  const ref = decodePodRef(args.args)
  const own = await readDns(resolvConf.own)
  const node = resolvConf.node === undefined ? undefined : await readDns(resolvConf.node)
  if (cluster === undefined || ref.name === undefined) return toNicWish(ref, config, { own, node })
  const launcher = await cluster.readLauncher(ref.namespace, ref.name)
  if (launcher.refusal !== undefined)
    log.warn(
      { namespace: ref.namespace, pod: ref.name, refusal: launcher.refusal },
      'cannot see what a VM wants of its NIC: it gets the MAC of its pod link, and one queue',
    )
  return toNicWish(ref, config, { own, node }, launcher)
}

// Read each time: a network daemon may have written another one.
async function readDns(path: string): Promise<PodDns> {
  try {
    return parseResolvConf(await readFile(path, 'utf8'))
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return NO_DNS
    throw error
  }
}
