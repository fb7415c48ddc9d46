// What users do, on the kind cluster that up.sh made: real nodes, kubelet, containerd, Multus, KubeVirt.
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'

import { expect } from 'chai'
import { after, before, describe, it } from 'mocha'
import { parse } from 'yaml'

import { run } from '../../kernel/run.ts'
import { ROOT, type Manifest } from '../../lab/manifests.ts'

const LONG_MS = 10 * 60_000
const KUBECONFIG = join(ROOT, '.lab/kind.kubeconfig')
const NAMESPACE = 'e2e'
const WORKERS = ['l2wire-worker', 'l2wire-worker2'] as const
const AGENTS = ['-n', 'l2wire', '-l', 'app.kubernetes.io/name=l2wire-agent']

const kubectl = async (argv: readonly string[], input?: string): Promise<string> =>
  run(['kubectl', '--kubeconfig', KUBECONFIG, ...argv], {
    timeoutMs: LONG_MS,
    ...(input === undefined ? {} : { input }),
  })

const apply = async (...items: readonly Manifest[]): Promise<string> =>
  kubectl(['apply', '-f', '-'], JSON.stringify({ apiVersion: 'v1', kind: 'List', items }))

const onNode = async (node: string, ...argv: readonly string[]): Promise<string> =>
  run(['docker', 'exec', node, ...argv])

/** What deploy/base/kustomization.yaml says of the images. */
interface Images {
  readonly images: readonly [{ readonly name: string; readonly newTag: string }]
}

const COUNT = 2_000
const PORT = 4_000
/** 100 numbered datagrams a second, for twenty seconds. */
const SENDER = `
  const socket = require('node:dgram').createSocket('udp4')
  let sent = 0
  const timer = setInterval(() => {
    socket.send(String(sent), ${PORT}, '10.0.0.2')
    sent += 1
    if (sent === ${COUNT}) clearInterval(timer), socket.close()
  }, 10)`
/** Says how many different ones arrived, once the last has or none came for ten seconds. */
const RECEIVER = `
  const seen = new Set()
  const socket = require('node:dgram').createSocket('udp4')
  const end = () => { console.log(seen.size); process.exit() }
  let timer = setTimeout(end, 60_000)
  socket.on('message', (text) => {
    seen.add(String(text))
    clearTimeout(timer)
    timer = setTimeout(end, seen.size === ${COUNT} ? 0 : 10_000)
  })
  socket.bind(${PORT})`

describe('a cluster with l2wire', () => {
  before(async () => {
    const metadata = { name: NAMESPACE }
    await apply({ apiVersion: 'v1', kind: 'Namespace', metadata })
  })
  after(async () => {
    await kubectl(['delete', 'namespace', NAMESPACE, '--ignore-not-found'])
  })

  it('a VM and a container see each other by LLDP', async () => {
    const env = [`KUBECONFIG=${KUBECONFIG}`, 'L2WIRE_PATIENCE=900']
    await kubectl(['config', 'set-context', '--current', '--namespace', 'lldp'])
    await run(['env', ...env, join(ROOT, 'examples/lldp/check.sh')], { timeoutMs: 2 * LONG_MS })
  })

  // class-of-30 makes thirty namespaces of its own, which say nothing that one does not.
  const stories = [
    'three-routers',
    'vrrp-pair',
    'port-mirroring',
    'two-vms',
    'trunk-vlans',
    'mgmt-and-wire',
    'pod-network',
  ]
  for (const story of stories)
    it(`examples/${story}: its check passes`, async () => {
      const env = [`KUBECONFIG=${KUBECONFIG}`, 'L2WIRE_PATIENCE=900']
      const folder = join(ROOT, 'examples', story)
      // Routers and switches need NET_ADMIN, which only a privileged namespace admits.
      const labels = { 'pod-security.kubernetes.io/enforce': 'privileged' }
      await apply({ apiVersion: 'v1', kind: 'Namespace', metadata: { name: story, labels } })
      try {
        await kubectl(['apply', '-n', story, '-f', folder])
        await kubectl(['config', 'set-context', '--current', '--namespace', story])
        await run(['env', ...env, join(folder, 'check.sh')], { timeoutMs: 2 * LONG_MS })
      } finally {
        await kubectl(['config', 'set-context', '--current', '--namespace', 'lldp'])
        await kubectl(['delete', 'namespace', story, '--timeout=10m'])
      }
    })

  it('every frame of the table crosses nodes, both ways', async () => {
    const { images } = parse(
      await readFile(join(ROOT, 'deploy/base/kustomization.yaml'), 'utf8'),
    ) as Images
    const image = `${images[0].name}:${images[0].newTag}`
    const ends = [
      newPod('a', '10.0.0.1/24', WORKERS[0], image),
      newPod('b', '10.0.0.2/24', WORKERS[1], image),
    ]
    await apply(newWire('far'), ...ends)
    await kubectl([
      'wait',
      '-n',
      NAMESPACE,
      'pod',
      '--all',
      '--for=condition=Ready',
      '--timeout=5m',
    ])
    const env = [`KUBECONFIG=${KUBECONFIG}`]
    const argv = [join(ROOT, 'dist/bin/kubectl-l2wire'), 'test', 'far', '--namespace', NAMESPACE]
    // Its exit code says whether all of them arrived.
    const table = await run(['env', ...env, ...argv], { timeoutMs: LONG_MS })
    expect(table).to.include('LLDP').and.not.include('lost')
  })

  it('loses no datagram while every agent is killed and started again', async () => {
    const at = ['-n', NAMESPACE]
    const receiving = kubectl(['exec', ...at, 'b', '--', 'node', '-e', RECEIVER])
    await sleep(2_000)
    const sending = kubectl(['exec', ...at, 'a', '--', 'node', '-e', SENDER])
    await kubectl(['delete', 'pod', ...AGENTS, '--grace-period=0', '--force'])
    await kubectl(['rollout', 'status', '-n', 'l2wire', 'daemonset/l2wire-agent', '--timeout=3m'])
    await sending
    expect((await receiving).trim()).to.equal(String(COUNT))
  })

  it('is not uninstalled under a cable, and leaves nothing behind once it is', async () => {
    await kubectl(['apply', '-k', join(ROOT, 'deploy/uninstall')])
    // The pods and the VM hold both workers; the control plane's node is free to go.
    await untilUninstallerSays('Cannot uninstall: still plugged in')
    for (const node of WORKERS)
      expect(await listPlugins(node), node).to.include.members(['l2wire', 'l2wire-bind'])

    await kubectl(['apply', '-k', join(ROOT, 'deploy/overlays/kind')])
    await untilRolledOut()
    const namespaces = ['lldp', 'vm-and-container', NAMESPACE]
    await kubectl(['delete', 'namespace', ...namespaces, '--timeout=10m'])
    await kubectl(['apply', '-k', join(ROOT, 'deploy/uninstall')])
    await untilRolledOut()
    for (const node of WORKERS) {
      expect(await listPlugins(node), node).to.not.include.members(['l2wire'])
      expect(await onNode(node, 'ip', '-br', 'link'), node).to.not.match(/^l[wx][0-9a-f]{13}/m)
    }
    await kubectl(['delete', '-k', join(ROOT, 'deploy/uninstall'), '--timeout=5m'])
  })
})

async function listPlugins(node: string): Promise<readonly string[]> {
  return (await onNode(node, 'ls', '/opt/cni/bin')).split('\n')
}

async function untilRolledOut(): Promise<void> {
  await kubectl(['rollout', 'status', '-n', 'l2wire', 'daemonset/l2wire-agent', '--timeout=5m'])
}

async function untilUninstallerSays(words: string): Promise<void> {
  const deadline = Date.now() + LONG_MS
  for (;;) {
    // Nodes whose agent has not ended yet have no such container, and one that starts has no log.
    const logs = ['logs', ...AGENTS, '--all-containers', '--ignore-errors', '--prefix']
    if ((await kubectl(logs)).includes(words)) return
    if (Date.now() > deadline) throw new Error(`The uninstaller did not say "${words}"`)
    await sleep(2_000)
  }
}

function newWire(name: string): Manifest {
  const capabilities = { ips: true }
  const config = { cniVersion: '1.1.0', name, type: 'l2wire', mtu: 9216, capabilities }
  return {
    apiVersion: 'k8s.cni.cncf.io/v1',
    kind: 'NetworkAttachmentDefinition',
    metadata: { name, namespace: NAMESPACE },
    spec: { config: JSON.stringify(config) },
  }
}

/** An end of the wire "far" on a node of its own; the image is on the nodes already, and has Node. */
function newPod(name: string, address: string, nodeName: string, image: string): Manifest {
  const networks = [{ name: 'far', interface: 'eth1', ips: [address] }]
  const annotations = { 'k8s.v1.cni.cncf.io/networks': JSON.stringify(networks) }
  // The tester counts every frame: the pod's own stack must not send any of its own accord.
  const quiet = 'echo 1 >/proc/sys/net/ipv6/conf/all/disable_ipv6'
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name, namespace: NAMESPACE, annotations },
    spec: {
      nodeName,
      terminationGracePeriodSeconds: 0,
      initContainers: [
        {
          name: 'quiet',
          image,
          command: ['sh', '-c', quiet],
          securityContext: { privileged: true },
        },
      ],
      containers: [{ name: 'shell', image, command: ['sleep', 'infinity'] }],
    },
  }
}
