// What a DEL, or its note, goes by beside containerID and ifname. A configuration that is lost, cut off
// or edited since its ADD must not keep a pod: what it does not say is not asked for.
import { isName, isPluginType } from './config.ts'

export interface Owner {
  /** The CNI network: another network's interface of the same name is not this DEL's to delete. */
  readonly network: string | undefined
  readonly type: string | undefined
}

export function readOwner(config: Readonly<Record<string, unknown>>): Owner {
  const { name, type } = config
  return { network: isName(name) ? name : undefined, type: isPluginType(type) ? type : undefined }
}

const NEEDED: readonly string[] = ['cniVersion', 'name', 'type']

/**
 * What the agent is told of a DEL's configuration: no more than it goes by, or what was written shorter than it is
 * said again (1e20) were too long for it. Its plugin is the one that was executed, whatever it says.
 */
export function toDelConfig(
  config: Readonly<Record<string, unknown>>,
  executable: string,
): Readonly<Record<string, unknown>> {
  const needed = Object.fromEntries(
    Object.entries(config).filter(
      ([key, value]) => NEEDED.includes(key) && typeof value === 'string',
    ),
  )
  const type = executable.slice(executable.lastIndexOf('/') + 1)
  return isPluginType(type) ? { ...needed, type } : needed
}
