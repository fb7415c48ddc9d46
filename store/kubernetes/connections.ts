// Keeps and shares connections to the API server. The client library alone makes one per request, and a TLS
// handshake costs more than most requests.
import { isDeepStrictEqual } from 'node:util'

import type { KubeConfig } from '@kubernetes/client-node'

type Cluster = Parameters<KubeConfig['createDispatcherOptions']>[0]
type TlsOptions = Parameters<KubeConfig['createDispatcherOptions']>[1]
type Context = Parameters<KubeConfig['applySecurityAuthentication']>[0]
type Dispatcher = ReturnType<Context['getDispatcher']>

/**
 * Longer than an answer takes to begin. After that the connection is probed, and replaced if it stays silent
 * for as long again. Otherwise all requests that share it would wait on a dead connection.
 */
const SILENT_MS = 8_000

/**
 * Requests of this configuration share connections while certificates and keys stay the same. Tokens are
 * headers, which the library reads as before.
 */
export function shareConnections(config: KubeConfig): void {
  // Not public; a test counts connections.
  const create = (config['createDispatcher'] as (...args: unknown[]) => Dispatcher).bind(config)
  let kept: { readonly wanted: unknown; readonly dispatcher: Dispatcher } | undefined
  config['createDispatcher'] = (cluster: Cluster, options: TlsOptions): Dispatcher => {
    const wanted = config.createDispatcherOptions(cluster, options)
    // This runs for every request, so it compares bytes: a digest of them costs more.
    if (kept === undefined || !isDeepStrictEqual(kept.wanted, wanted)) {
      // Requests under way finish on the old connections, watches too.
      void kept?.dispatcher?.close()
      const dispatcher = create(cluster, options)?.compose(
        (dispatch) => (request, handler) =>
          dispatch({ ...request, headersTimeout: SILENT_MS }, handler),
      )
      kept = { wanted, dispatcher }
    }
    return kept.dispatcher
  }
}
