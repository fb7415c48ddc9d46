// Connections to the API server are kept and shared: the client library by itself makes one per request, and
// a TLS handshake costs more than most requests.
import { isDeepStrictEqual } from 'node:util'

import type { KubeConfig } from '@kubernetes/client-node'

type Cluster = Parameters<KubeConfig['createDispatcherOptions']>[0]
type TlsOptions = Parameters<KubeConfig['createDispatcherOptions']>[1]
type Context = Parameters<KubeConfig['applySecurityAuthentication']>[0]
type Dispatcher = ReturnType<Context['getDispatcher']>

/**
 * Longer than an answer takes to begin. Then the connection is asked whether it lives, and replaced when it
 * says nothing for as long again: else all that shares it would wait for a dead one.
 */
const SILENT_MS = 8_000

/**
 * Requests of this configuration share connections as long as certificates and keys stay the same; tokens
 * are headers, and read by the library as ever.
 */
export function shareConnections(config: KubeConfig): void {
  // Not public; a test counts connections.
  const create = (config['createDispatcher'] as (...args: unknown[]) => Dispatcher).bind(config)
  let kept: { readonly wanted: unknown; readonly dispatcher: Dispatcher } | undefined
  config['createDispatcher'] = (cluster: Cluster, options: TlsOptions): Dispatcher => {
    const wanted = config.createDispatcherOptions(cluster, options)
    // For every request, so bytes are compared: a digest of them costs more.
    if (kept === undefined || !isDeepStrictEqual(kept.wanted, wanted)) {
      // Requests under way end on the old connections, a watch too.
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
