// Where a CNI plugin reaches the node agent. The network configuration has no say in it: its author is a
// tenant, and the plugin is root on the node.
import { CNI_CODE, CniError, renderValue } from '../errors.ts'
import type { Record_ } from '../record.ts'

export const DEFAULT_SOCKET = '/run/l2wire/agent.sock'

/** The runtime's environment variable that names another. */
export const SOCKET_VARIABLE = 'L2WIRE_SOCKET'

/** Root's file beside the plugins that names another: one line, the path. */
export const SOCKET_FILE = 'l2wire.socket'

// sun_path holds 108 bytes with its NUL (unix(7)).
const PATH_BYTES_MAX = 107
const PATH_EXPECTED = `an absolute path of at most ${PATH_BYTES_MAX} bytes`

/** Throws CniError with this code; where says in words what the value is of. */
export function decodeSocketPath(value: string, where: string, code: number): string {
  const bytes = Buffer.byteLength(value)
  if (value.startsWith('/') && bytes <= PATH_BYTES_MAX && !/[\0\n]/.test(value)) return value
  throw new CniError(
    code,
    `Cannot find the node agent: ${where} is ${renderValue(value)}, expected ${PATH_EXPECTED}`,
  )
}

/** Until 0.3.0 a network named the socket. Throws CniError 7 for one that still does, whatever its value. */
export function refuseSocket(config: Record_): void {
  if (!Object.hasOwn(config, 'socket')) return
  throw new CniError(
    CNI_CODE.INVALID_CONFIG,
    `Cannot use "socket" in the network configuration: it is ${renderValue(config['socket'])}, expected no such key. ` +
      `Take it out; another path than "${DEFAULT_SOCKET}" is the node's own to say: "l2wire-node install --socket PATH", or ${SOCKET_VARIABLE} in the container runtime's environment`,
  )
}
