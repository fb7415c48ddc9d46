// Where a pod's IPv6 gateway shows: on the node, where the other end of the pod's veth and its bridge
// are, and among the pod's neighbours.
import { findRouter, parseCandidates, parseNeighbours } from '../core/router.ts'
import type { Router } from '../core/lease.ts'
import type { Run } from './run.ts'

/** MACs by address: those that somebody has written down for the pod. Throws CommandError. */
export async function readPermanentNeighbours(
  run: Run,
  netnsPath: string,
  podLink: string,
): Promise<ReadonlyMap<string, string>> {
  const words = ['neigh', 'show', 'nud', 'permanent', 'dev', podLink]
  return parseNeighbours(await run(['nsenter', `--net=${netnsPath}`, 'ip', '-j', ...words]))
}

/** Undefined where it cannot be seen. Throws CommandError when the namespace cannot be entered. */
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
