// What an interface of another namespace has of addresses and routes.
import type { ObservedAddressing } from '../../core/steps/addressing.ts'
import {
  parseAddresses,
  parseDevices,
  parseLearntAddresses,
  parseRoutes,
} from '../../core/observe/ip-output.ts'
import type { Run } from '../run.ts'

/** Throws CommandError when the namespace cannot be entered, or has no such interface. */
export async function observeAddressing(
  run: Run,
  netnsPath: string,
  dev: string,
): Promise<ObservedAddressing> {
  const ip = async (...words: readonly string[]): Promise<string> =>
    // -N: tables by number, whatever names the node gives them.
    run(['nsenter', `--net=${netnsPath}`, 'ip', '-N', '-j', ...words])
  const [addresses, routes4, routes6] = await Promise.all([
    ip('address', 'show', 'dev', dev),
    // Not "dev": it hides a route that has become one of several next hops.
    ip('-4', 'route', 'show', 'table', 'all'),
    ip('-6', 'route', 'show', 'table', 'all'),
  ])
  return {
    addresses: parseAddresses(addresses),
    learnt: parseLearntAddresses(addresses),
    routes: [...parseRoutes(routes4, dev, 4), ...parseRoutes(routes6, dev, 6)],
  }
}

/** "10.0.0.2/24". Throws CommandError when the namespace cannot be entered, or has no such interface. */
export async function listAddresses(
  run: Run,
  netnsPath: string,
  dev: string,
): Promise<readonly string[]> {
  const ip = ['nsenter', `--net=${netnsPath}`, 'ip', '-j', 'address', 'show', 'dev', dev]
  return parseAddresses(await run(ip))
}

/** The devices that default routes of a namespace lead out through. Throws CommandError. */
export async function listDefaultDevices(run: Run, netnsPath: string): Promise<readonly string[]> {
  const show = async (family: string): Promise<string> =>
    run(['nsenter', `--net=${netnsPath}`, 'ip', '-j', family, 'route', 'show', 'default'])
  return [
    ...new Set((await Promise.all([show('-4'), show('-6')])).flatMap((said) => parseDevices(said))),
  ]
}
