// Asked after a failure, not before: what the kernel's words mean in terms of the request.
import { CNI_CODE, CniError, CommandError } from '../../core/errors.ts'
import { isUnseen } from '../../core/observe/tool-json.ts'
import { listPodLinks } from '../../kernel/observe/links.ts'
import type { AgentContext } from '../context.ts'

/** The CniError for a failed ADD of this interface; a CniError stays what it is. */
export async function explainAddFailure(
  node: AgentContext,
  netnsPath: string,
  ifname: string,
  error: unknown,
): Promise<unknown> {
  if (!(error instanceof CommandError)) return error
  if (error.stderr.includes('reassociate to namespace'))
    return new CniError(
      CNI_CODE.INVALID_ENVIRONMENT,
      `Cannot enter CNI_NETNS "${netnsPath}": the kernel refuses it, expected a network namespace`,
      { cause: error },
    )
  if (error.argv.includes('dnsmasq'))
    return new CniError(
      CNI_CODE.KERNEL_REFUSED,
      `Cannot start the DHCP server of "${ifname}" in "${netnsPath}": dnsmasq does not serve`,
      { cause: error },
    )
  if (/\bip (address|route) |\/ipv6\/conf\//.test(error.argv.join(' ')))
    return new CniError(
      CNI_CODE.KERNEL_REFUSED,
      `Cannot give "${ifname}" in "${netnsPath}" its addresses and routes: the kernel refused one`,
      { cause: error },
    )
  if (error.stderr.includes('File exists') && (await hasLink(node, netnsPath, ifname)))
    return new CniError(
      CNI_CODE.IFNAME_TAKEN,
      `Cannot add "${ifname}": an interface of this name is in "${netnsPath}" already, expected a name not taken`,
      { cause: error },
    )
  return new CniError(
    CNI_CODE.KERNEL_REFUSED,
    `Cannot make "${ifname}" in "${netnsPath}": the kernel refused a step`,
    { cause: error },
  )
}

async function hasLink(node: AgentContext, netnsPath: string, ifname: string): Promise<boolean> {
  try {
    return (await listPodLinks(node.run, netnsPath)).some(({ name }) => name === ifname)
  } catch (error) {
    if (isUnseen(error)) return false
    throw error
  }
}
