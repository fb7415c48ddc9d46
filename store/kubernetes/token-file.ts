// A token in a pod's file is replaced long before it expires. We read it for each request; the client library
// alone would use an old one for a minute.
import { readFile } from 'node:fs/promises'

import type { KubeConfig } from '@kubernetes/client-node'

const PROVIDER = 'l2wire-token-file'

export function followTokenFiles(config: KubeConfig): void {
  const paths = new Map<string, string>()
  config.users = config.users.map((user) => {
    const path: unknown = user.authProvider?.config?.['tokenFile']
    if (typeof path !== 'string') return user
    paths.set(user.name, path)
    return { ...user, authProvider: { name: PROVIDER, config: {} } }
  })
  config.addAuthenticator({
    isAuthProvider: (user) => paths.has(user.name),
    applyAuthentication: async (user, options) => {
      const token = await readFile(paths.get(user.name) ?? '', 'utf8')
      options.headers = { ...options.headers, Authorization: `Bearer ${token.trim()}` }
    },
  })
}
