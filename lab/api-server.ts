// A real Kubernetes API: etcd and kube-apiserver on loopback, with their data in a temporary folder.
//
//   const api = await newLabApiServer()              // once per suite: five seconds
//   const namespace = await api.newNamespace('r1')   // per test; nothing deletes namespaces here
//   await api.installCrds()                          // NetworkAttachmentDefinition, KubeVirt's, ours
//   await api.kubectl(['apply', '-n', namespace, '--dry-run=server', '-f', 'examples/…'])
//   const pod = await api.getObject('pod', 'h1', namespace)
//   const kubeconfig = await api.newServiceAccountKubeconfig(namespace, 'agent')   // RBAC applies to it
//   await api.kubectl(['get', 'pods'], { kubeconfig })
//   const kubeconfig = await api.newAgentKubeconfig('n1')   // an agent's, as deploy/base and the kubelet make it
//   await using reach = await reachApi(api, netns)   // lab/api-reach.ts: the same kubeconfigs hold in a namespace
//   api.pause(); api.resume(); await api.kill(); await api.start()   // an API that hangs, and one that is away
//
// There is no controller manager and no kubelet: pods stay Pending, namespaces are not emptied, a
// namespace has no service account until somebody makes one.
import { generateKeyPairSync } from 'node:crypto'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { request } from 'node:https'
import { createServer, type AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'

import { sha256Hex } from '../core/hash.ts'
import { run } from '../kernel/run.ts'
import { grantAgents, newAgentToken } from './agent-account.ts'
import { toApiFlags, toEtcdArgv } from './api-argv.ts'
import { ensureClusterBinary } from './cluster-binaries.ts'
import { listCrdFiles } from './cluster-crds.ts'
import { startDaemon, type Daemon } from './daemon.ts'
import { toKubeconfig } from './kubeconfig.ts'
import type { Manifest } from './manifests.ts'

export interface KubectlOptions {
  readonly input?: string
  /** The user; default: the administrator. */
  readonly kubeconfig?: string
}

export interface LabApiServer extends AsyncDisposable {
  readonly url: string
  /** The administrator's. */
  readonly kubeconfig: string
  readonly kubectlPath: string
  /** Runs kubectl and returns its output. Throws CommandError. */
  readonly kubectl: (argv: readonly string[], options?: KubectlOptions) => Promise<string>
  /** Applies objects that a test made. */
  readonly apply: (...objects: readonly Manifest[]) => Promise<void>
  readonly getObject: (kind: string, name: string, namespace?: string) => Promise<Manifest>
  /** A separate namespace for a test; the label is part of its name. */
  readonly newNamespace: (label: string) => Promise<string>
  /** A kubeconfig with a fresh token of the service account. Makes the account if needed. */
  readonly newServiceAccountKubeconfig: (namespace: string, name: string) => Promise<string>
  /**
   * A kubeconfig like that node's agent has: the rights and the policies of deploy/base, and a token bound to a
   * pod on the node. Makes the Node if needed.
   */
  readonly newAgentKubeconfig: (node: string) => Promise<string>
  /**
   * NetworkAttachmentDefinition, KubeVirt's kinds, and ours where deploy/ has them. They are ready when it
   * returns.
   */
  readonly installCrds: () => Promise<void>
  /** Freezes the API server's process: connections stay open and get no answer. */
  readonly pause: () => void
  readonly resume: () => void
  /** Ends the API server: connections are refused. Its objects stay. */
  readonly kill: () => Promise<void>
  /** Starts it again, under the same address. It is ready when it returns. */
  readonly start: () => Promise<void>
  readonly readLog: () => string
}

const HOST = '127.0.0.1'
const ADMIN_TOKEN = 'l2w-admin'
const READY_MS = 180_000
const KUBECTL_MS = 120_000

export async function newLabApiServer(): Promise<LabApiServer> {
  const kubectlPath = await ensureClusterBinary('kubectl')
  await using made = new AsyncDisposableStack()
  const folder = await mkdtemp(join(tmpdir(), 'l2w-api-'))
  made.defer(async () => rm(folder, { recursive: true, force: true }))
  const [clientPort, peerPort, apiPort] = await findFreePorts(3)
  const url = `https://${HOST}:${apiPort}`
  const etcdUrl = `http://${HOST}:${clientPort}`
  const etcd = startDaemon(
    toEtcdArgv(await ensureClusterBinary('etcd'), folder, etcdUrl, `http://${HOST}:${peerPort}`),
  )
  made.defer(async () => etcd.end('SIGKILL'))
  const apiServerArgv = toApiServerArgv(await ensureClusterBinary('kube-apiserver'), folder, {
    port: String(apiPort),
    etcdUrl,
  })
  await writeKeys(folder)

  let apiServer: Daemon | undefined
  let log = ''
  const kill = async (): Promise<void> => {
    // SIGKILL ends even a stopped process.
    await apiServer?.end('SIGKILL')
    log += apiServer?.readLog() ?? ''
    apiServer = undefined
  }
  const start = async (): Promise<void> => {
    apiServer = startDaemon(apiServerArgv)
    await waitUntilReady(url, folder, [etcd, apiServer])
  }
  made.defer(kill)
  await start()

  const writeKubeconfig = async (name: string, token: string): Promise<string> => {
    const file = join(folder, `${name}.kubeconfig`)
    const cluster = { server: url, 'certificate-authority': join(folder, 'apiserver.crt') }
    const kubeconfig = toKubeconfig(cluster, { token })
    await writeFile(file, JSON.stringify(kubeconfig), { mode: 0o600 })
    return file
  }
  const kubeconfig = await writeKubeconfig('admin', ADMIN_TOKEN)
  const kubectl: LabApiServer['kubectl'] = async (argv, options = {}) =>
    run(
      [
        kubectlPath,
        '--kubeconfig',
        options.kubeconfig ?? kubeconfig,
        // The default is a folder in the user's home.
        '--cache-dir',
        join(folder, 'kubectl-cache'),
        ...argv,
      ],
      { timeoutMs: KUBECTL_MS, ...(options.input === undefined ? {} : { input: options.input }) },
    )
  const apply: LabApiServer['apply'] = async (...objects) => {
    await kubectl(['apply', '-f', '-'], { input: toList(objects) })
  }
  let namespaces = 0
  let granting: Promise<void> | undefined

  const resources = made.move()
  return {
    url,
    kubeconfig,
    kubectlPath,
    kubectl,
    apply,
    getObject: async (kind, name, namespace = 'default') =>
      JSON.parse(await kubectl(['get', kind, name, '-n', namespace, '-o', 'json'])) as Manifest,
    newNamespace: async (label) => {
      namespaces += 1
      const name = `l2w-${label}-${namespaces}`
      await kubectl(['create', 'namespace', name])
      return name
    },
    newServiceAccountKubeconfig: async (namespace, name) => {
      const metadata = { name, namespace }
      await apply({ apiVersion: 'v1', kind: 'ServiceAccount', metadata })
      const token = await kubectl(['create', 'token', name, '-n', namespace])
      return writeKubeconfig(`${namespace}-${name}`, token.trim())
    },
    newAgentKubeconfig: async (node) => {
      granting ??= grantAgents({ kubectl, apply })
      await granting
      return writeKubeconfig(
        `agent-${sha256Hex(node, 16)}`,
        await newAgentToken({ kubectl, apply }, node),
      )
    },
    installCrds: async () => {
      const files = (await listCrdFiles()).flatMap((file) => ['-f', file])
      // Server-side: the annotation of a client-side apply is too short for KubeVirt's.
      await kubectl(['apply', '--server-side', ...files])
      await kubectl(['wait', '--for=condition=Established', '--timeout=120s', ...files])
    },
    pause: () => apiServer?.signal('SIGSTOP'),
    resume: () => apiServer?.signal('SIGCONT'),
    kill,
    start,
    readLog: () => log + (apiServer?.readLog() ?? ''),
    [Symbol.asyncDispose]: async () => resources.disposeAsync(),
  }
}

function toApiServerArgv(
  executable: string,
  folder: string,
  { port, etcdUrl }: { readonly port: string; readonly etcdUrl: string },
): readonly string[] {
  return [
    executable,
    `--bind-address=${HOST}`,
    `--secure-port=${port}`,
    ...toApiFlags(join(folder, 'service-account.key'), etcdUrl),
    // It makes its own certificate there, apiserver.crt.
    `--cert-dir=${folder}`,
    '--authorization-mode=RBAC',
    `--token-auth-file=${join(folder, 'tokens.csv')}`,
    '--service-cluster-ip-range=10.96.0.0/16',
    // Without a controller manager no namespace has the account that this plugin would require for each pod.
    '--disable-admission-plugins=ServiceAccount',
    // A loopback address cannot be an endpoint for others.
    '--endpoint-reconciler-type=none',
    // Clients do not use this address. Without it a machine that has no default route has none to advertise.
    '--advertise-address=192.0.2.1',
  ]
}

async function writeKeys(folder: string): Promise<void> {
  const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 })
  await writeFile(
    join(folder, 'service-account.key'),
    privateKey.export({ type: 'pkcs8', format: 'pem' }),
    { mode: 0o600 },
  )
  await writeFile(join(folder, 'tokens.csv'), `${ADMIN_TOKEN},admin,admin,system:masters\n`, {
    mode: 0o600,
  })
}

function toList(items: readonly Manifest[]): string {
  return JSON.stringify({ apiVersion: 'v1', kind: 'List', items })
}

/** Free ports. All are held until all are known, so that they differ. */
async function findFreePorts(count: number): Promise<readonly number[]> {
  const servers = Array.from({ length: count }, () => createServer().listen(0, HOST))
  const ports: number[] = []
  for (const server of servers) {
    if (!server.listening) await new Promise((resolve) => server.once('listening', resolve))
    ports.push((server.address() as AddressInfo).port)
  }
  for (const server of servers) await new Promise((resolve) => server.close(resolve))
  return ports
}

async function waitUntilReady(
  url: string,
  folder: string,
  daemons: readonly Daemon[],
): Promise<void> {
  const deadline = Date.now() + READY_MS
  for (;;) {
    for (const daemon of daemons) daemon.expectAlive()
    if (await isReady(url, folder)) return
    if (Date.now() > deadline)
      throw new Error(`The API server did not get ready: ${daemons.at(-1)?.readLog().slice(-2000)}`)
    await sleep(100)
  }
}

async function isReady(url: string, folder: string): Promise<boolean> {
  let ca: string
  try {
    ca = await readFile(join(folder, 'apiserver.crt'), 'utf8')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return false
    throw error
  }
  return new Promise((resolve) => {
    const asked = request(`${url}/readyz`, { ca, agent: false }, (response) => {
      response.resume()
      resolve(response.statusCode === 200)
    })
    // It does not listen yet, or its certificate is half written.
    asked.on('error', () => resolve(false))
    asked.end()
  })
}
