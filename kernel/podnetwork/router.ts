// Finds a pod's IPv6 gateway: on the node, at the other end of the pod's veth or at its bridge, or among the
// pod's neighbours.
import { findRouter, parseCandidates, parseNeighbours } from '../../core/podnetwork/router.ts'
import type { Router } from '../../core/podnetwork/vm-network.ts'
import type { Run } from '../run.ts'

/** MACs by address: the pod's permanent neighbours. Throws CommandError. */
export async function readPermanentNeighbours(
  run: Run,
  netnsPath: string,
  podLink: string,
): Promise<ReadonlyMap<string, string>> {
  const words = ['neigh', 'show', 'nud', 'permanent', 'dev', podLink]
  return parseNeighbours(await run(['nsenter', `--net=${netnsPath}`, 'ip', '-j', ...words]))
}

/** Undefined if it cannot be found. Throws CommandError if the namespace cannot be entered. */
export async function readRouter(
  run: Run,
  netnsPath: string,
  podLink: string,
  gateway: string,
): Promise<Router | undefined> {
  const inside = async (...words: readonly string[]): Promise<string> =>
    run(['nsenter', `--net=${netnsPath}`, 'ip', ...words, 'dev', podLink])
  const [link, neighbours, node] = await Promise.all([
    inside('-j', 'link', 'show'),
    inside('-6', '-j', 'neigh', 'show'),
    run(['ip', '-j', 'address', 'show']),
  ])
  return findRouter(gateway, parseCandidates(link, node), parseNeighbours(neighbours))
}
