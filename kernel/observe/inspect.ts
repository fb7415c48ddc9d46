// A device as iproute2 tells it, with what it has counted.
import { CommandError } from '../../core/errors.ts'
import { parseDevice, type Device } from '../../core/observe/inspection.ts'
import type { Run } from '../run.ts'

// What iproute2 and nsenter say when the device or the namespace is not there.
const MISSING =
  /does not exist|Cannot find device|nsenter: (cannot open .*: No such file|reassociate to namespace .*Invalid argument)/

/** Null where it is not there. The namespace is a path; undefined: our own. Throws CommandError where a tool is missing or not allowed. */
export async function inspectDevice(
  run: Run,
  netns: string | undefined,
  dev: string,
): Promise<Device | null> {
  const enter = netns === undefined ? [] : ['nsenter', `--net=${netns}`]
  try {
    const [link, filter] = await Promise.all([
      run([...enter, 'ip', '-s', '-d', '-j', 'link', 'show', 'dev', dev]),
      run([...enter, 'tc', '-s', '-j', 'filter', 'show', 'dev', dev, 'ingress']),
    ])
    return parseDevice(link, filter)
  } catch (error) {
    if (error instanceof CommandError && MISSING.test(error.stderr)) return null
    throw error
  }
}
