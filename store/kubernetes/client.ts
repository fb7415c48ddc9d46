// The connection to the Kubernetes API: our account there, and how long we wait for an answer.
import {
  CoreV1Api,
  createConfiguration,
  CustomObjectsApi,
  KubeConfig,
  ServerConfiguration,
  type Middleware,
} from '@kubernetes/client-node'

import { DecodeError } from '../../core/errors.ts'
import { shareConnections } from './connections.ts'
import { followTokenFiles } from './token-file.ts'

export interface KubeClient {
  readonly config: KubeConfig
  /** The API server's URL, for error messages. */
  readonly server: string
  readonly custom: CustomObjectsApi
  readonly core: CoreV1Api
}

export interface KubeAccess {
  /** Path of a kubeconfig; default: KUBECONFIG, ~/.kube/config, else the pod's service account. */
  readonly kubeconfig?: string | undefined
}

/** A CNI ADD waits for several of these. The runtime waits for minutes, a person does not. */
const REQUEST_MS = 10_000
const USER_AGENT = 'l2wire'

/** Throws DecodeError when there is no cluster to talk to. */
export function newKubeClient(access: KubeAccess = {}): KubeClient {
  const config = loadConfig(access)
  shareConnections(config)
  followTokenFiles(config)
  const cluster = config.getCurrentCluster()
  if (cluster === null)
    throw new DecodeError('kubeconfig', config.getCurrentContext(), 'a context with a cluster')
  const deadline: Middleware = {
    pre: async (request) => {
      request.setSignal(AbortSignal.timeout(REQUEST_MS))
      request.setHeaderParam('User-Agent', USER_AGENT)
      return request
    },
    post: async (response) => response,
  }
  const configuration = createConfiguration({
    baseServer: new ServerConfiguration(cluster.server, {}),
    authMethods: { default: config },
    promiseMiddleware: [deadline],
  })
  return {
    config,
    server: cluster.server,
    custom: new CustomObjectsApi(configuration),
    core: new CoreV1Api(configuration),
  }
}

function loadConfig({ kubeconfig }: KubeAccess): KubeConfig {
  const config = new KubeConfig()
  try {
    if (kubeconfig === undefined) config.loadFromDefault()
    else config.loadFromFile(kubeconfig)
  } catch (cause) {
    const source = kubeconfig ?? process.env['KUBECONFIG'] ?? 'the default kubeconfig'
    throw new DecodeError('kubeconfig', source, 'a file that kubectl can read', { cause })
  }
  return config
}
