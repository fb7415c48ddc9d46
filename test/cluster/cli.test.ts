// kubectl-l2wire in a cluster: a real API server, the real kubectl. No kubelet is there: it is
// what is said where no command reaches a node. test/kubevirt/commands.test.ts has those that do.
import { mkdtemp, rm, symlink } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { expect } from 'chai'
import { after, before, describe, it } from 'mocha'

import type { WireDescription } from '../../core/view/description.ts'
import { claimEnd } from '../../core/wire/ends.ts'
import { reportWire } from '../../core/wire/wire.ts'
import { newLabApiServer, type LabApiServer } from '../../lab/api-server.ts'
import { runCommand, type Ended } from '../../lab/command.ts'
import { ROOT, type Manifest } from '../../lab/manifests.ts'
import { newClaim } from '../process/wire-store-suite.ts'
import { newAgentPod } from './fixture-agent-pod.ts'
import { getApi } from './fixture-api.ts'
import { openStore } from './fixture-store.ts'

async function plug(api: LabApiServer, namespace: string, name: string): Promise<void> {
  const store = openStore(api.kubeconfig, namespace)
  const id = { namespace, name }
  const h1 = newClaim('pod/h1', { pod: 'h1' })
  const h2 = newClaim('pod/h2', { pod: 'h2', node: 'n2' })
  await store.update(id, (wire) => claimEnd(claimEnd(wire, id, h1), id, h2))
  const ends = [h1, h2].map((end) => `${end.containerID}@${end.ifname}`).sort()
  for (const node of ['n1', 'n2'])
    await store.update(id, (wire) => reportWire(wire, { node, state: 'joined', ends }))
}

function newPod(namespace: string, name: string): Manifest {
  const containers = [{ name: 'c', image: 'none' }]
  return { apiVersion: 'v1', kind: 'Pod', metadata: { name, namespace }, spec: { containers } }
}

function expectSentence({ exitCode, stderr }: Ended, words: readonly string[]): void {
  expect(exitCode).to.equal(1)
  expect(stderr.trim().split('\n')).to.have.length(1)
  for (const word of words) expect(stderr).to.include(word)
}

describe('kubectl-l2wire in a cluster', function () {
  this.timeout(90_000)
  let api: LabApiServer
  let namespace: string
  let env: Readonly<Record<string, string>>
  let folder: string

  const cli = async (...argv: readonly string[]): Promise<Ended> =>
    runCommand('kubectl-l2wire', argv, { env })
  const describeWire = async (...more: readonly string[]): Promise<WireDescription> => {
    const { stdout, stderr } = await cli(
      'describe',
      'r1-h1',
      '-n',
      namespace,
      '-o',
      'json',
      ...more,
    )
    if (stdout === '') throw new Error(stderr)
    return JSON.parse(stdout) as WireDescription
  }

  const readReason = async (): Promise<string> => (await describeWire()).nodes[0]?.reason ?? ''
  /** A PATH on which there is nothing but what the wrapper itself needs. */
  const newBarePath = async (): Promise<string> => {
    const bare = await mkdtemp(join(folder, 'bare-'))
    for (const tool of ['sh', 'dirname', 'readlink', 'setpriv'])
      await runShell(`ln -s "$(command -v ${tool})" ${bare}/${tool}`)
    return bare
  }

  before(async () => {
    api = await getApi()
    folder = await mkdtemp(join(tmpdir(), 'l2w-cli-'))
    await symlink(api.kubectlPath, join(folder, 'kubectl'))
    const PATH = `${folder}:${join(ROOT, 'dist/bin')}:${process.env['PATH']}`
    // HOME: what kubectl keeps of a server it keeps here.
    env = { KUBECONFIG: api.kubeconfig, PATH, HOME: folder }
    namespace = await api.newNamespace('cli')
    for (const name of ['r1-h1', 'r1-r2', 'Odd_Name']) await plug(api, namespace, name)
  })
  after(async () => {
    await rm(folder, { recursive: true, force: true })
  })

  it('gets what kubectl gets', async () => {
    const { stdout, exitCode } = await cli('get', '-n', namespace)
    expect(exitCode).to.equal(0)
    expect(stdout.split('\n')).to.include(
      'r1-h1      Connected   pod/h1 eth1, pod/h2 eth1   n1, n2         1500',
    )
    const own = await api.kubectl(['get', 'wires', 'r1-h1', '-n', namespace, '--no-headers'])
    for (const word of ['r1-h1', 'Connected', 'pod/h1 eth1, pod/h2 eth1', 'n1, n2'])
      expect(own).to.include(word)
  })

  it('gets wires by name, of every namespace, and for programs', async () => {
    const one = await cli('get', 'Odd_Name', '-n', namespace, '-o', 'json')
    const { wires } = JSON.parse(one.stdout) as { wires: { name: string }[] }
    expect(wires.map(({ name }) => name)).to.deep.equal(['Odd_Name'])
    const all = await cli('get', '-A', '-o', 'wide')
    expect(all.stdout).to.match(/^NAMESPACE .* MESSAGE$/m)
    expect(all.stdout).to.match(new RegExp(`^${namespace} +r1-r2 `, 'm'))
  })

  it("keeps to the context's namespace", async () => {
    const own = join(folder, 'own.kubeconfig')
    const config = ['config', 'set-context', 'l2w-own', `--namespace=${namespace}`]
    const view = await api.kubectl(['config', 'view', '--raw', '-o', 'json'])
    const { clusters, users } = JSON.parse(view) as Record<string, { name: string }[]>
    await runShell(`cp ${api.kubeconfig} ${own}`)
    const names = [`--cluster=${clusters?.[0]?.name}`, `--user=${users?.[0]?.name}`]
    await api.kubectl([...config, ...names], { kubeconfig: own })
    const argv = ['get', '--kubeconfig', own, '--context', 'l2w-own']
    expect((await cli(...argv)).stdout).to.include('Odd_Name')
    const none = await cli('get', '--kubeconfig', own)
    expect(none.stderr).to.equal('No wires found in namespace default of the cluster.\n')
    expect(none.exitCode).to.equal(0)
  })

  it('says which wires there are instead of one that is not', async () => {
    const near = await cli('describe', 'r1-h2', '-n', namespace)
    expect(near.exitCode).to.equal(1)
    expect(near.stderr).to.equal(
      `kubectl-l2wire: There is no wire "${namespace}/r1-h2" in the cluster: did you mean "r1-h1"?\n`,
    )
    const far = await cli('describe', 'another', '-n', namespace)
    expect(far.stderr).to.include('there are').and.include('r1-h1, r1-r2')
  })

  it('describes a wire whose nodes have no agents, whose pods are gone, that refused a third end', async () => {
    const message = `Cannot plug pod/h3 eth1 into wire "${namespace}/r1-h1": both ends are taken, by pod/h1 eth1 and pod/h2 eth1`
    const involvedObject = { apiVersion: 'v1', kind: 'Pod', namespace, name: 'h3' }
    const stamps = { firstTimestamp: new Date(), lastTimestamp: new Date() }
    const words = { type: 'Warning', reason: 'WireRefused', message, involvedObject, ...stamps }
    const metadata = { name: 'h3.1', namespace }
    await api.apply(
      { apiVersion: 'v1', kind: 'Event', metadata, ...words },
      newPod(namespace, 'h1'),
    )
    const { findings, events, nodes } = await describeWire()
    expect(findings.map(({ kind }) => kind)).to.deep.equal(['pod-gone', 'third-end'])
    expect(findings[0]?.what).to.include('pod h2')
    expect(events.map((event) => event.message)).to.deep.equal([message])
    expect(nodes.map(({ reason }) => reason)).to.satisfy((reasons: (string | null)[]) =>
      reasons.every((reason) => reason?.includes('l2wire-agent') ?? false),
    )
    const { stdout } = await cli('describe', 'r1-h1', '-n', namespace)
    expect(stdout).to.match(/\d+s ago Warning WireRefused Pod\/h3/)
  })

  it('says of an agent that it is not ready, and of one that cannot be reached', async () => {
    await using agent = await newAgentPod(api, 'n1')
    expect(await readReason()).to.include(`"${agent.name}" is not ready`)
    await agent.becomeReady()
    expect(await readReason()).to.match(/n1|host/)
    for (const command of ['capture', 'test']) {
      const { exitCode, stderr } = await cli(command, 'r1-h1', '-n', namespace)
      expect(exitCode).to.equal(1)
      expect(stderr).to.match(/n1|n2|host/)
    }
  })

  describe('with the rights of others', () => {
    it('says what is forbidden', async () => {
      const kubeconfig = await api.newServiceAccountKubeconfig(namespace, 'nobody')
      const { exitCode, stderr } = await cli('get', '-n', namespace, '--kubeconfig', kubeconfig)
      expect(exitCode).to.equal(1)
      expect(stderr).to.match(/^kubectl-l2wire: wires\.l2wire\.dev is forbidden: .*nobody/)
      expect(stderr.trim().split('\n')).to.have.length(1)
    })

    it('describes what may be seen, and says what may not', async () => {
      const kubeconfig = await api.newServiceAccountKubeconfig(namespace, 'reader')
      const rule = ['--verb=get,list', '--resource=wires.l2wire.dev']
      await api.kubectl(['create', 'role', 'reader', '-n', namespace, ...rule])
      const subject = ['--role=reader', `--serviceaccount=${namespace}:reader`]
      await api.kubectl(['create', 'rolebinding', 'reader', '-n', namespace, ...subject])
      const { state, unknown, nodes } = await describeWire('--kubeconfig', kubeconfig)
      expect(state).to.equal('Connected')
      expect(unknown.join('\n'))
        .to.match(/Events .*forbidden/)
        .and.match(/Pods .*forbidden/)
      expect(nodes[0]?.reason).to.include('forbidden')
    })
  })

  describe('without a cluster to ask', () => {
    const rows = [
      {
        name: 'no kubeconfig',
        argv: [] as readonly string[],
        env: { KUBECONFIG: '/nowhere/config' },
        words: ['no current context', '--kubeconfig', '--store file:///DIR'],
      },
      {
        name: 'nobody at the address',
        argv: ['--server', 'https://127.0.0.1:1', '--token', 'x'],
        words: ['https://127.0.0.1:1', 'refuses the connection'],
      },
      { name: 'a context that is not there', argv: ['--context', 'nope'], words: ['nope'] },
    ]
    for (const { name, argv, env: more = {}, words } of rows)
      it(`says so in a sentence: ${name}`, async () => {
        const own = { ...env, ...more }
        expectSentence(await runCommand('kubectl-l2wire', ['get', ...argv], { env: own }), words)
      })

    it('says so in a sentence: no kubectl', async () => {
      const own = { ...env, PATH: await newBarePath() }
      expectSentence(await runCommand('kubectl-l2wire', ['get'], { env: own }), [
        'Cannot find kubectl',
        '--store file:///DIR',
      ])
    })

    it('an API server that does not answer', async () => {
      api.pause()
      try {
        const { exitCode, stderr } = await cli('get', '--request-timeout', '1s')
        expect(exitCode).to.equal(1)
        expect(stderr).to.include(api.url).and.include('does not answer in time')
      } finally {
        api.resume()
      }
    })

    it('a cluster without l2wire', async () => {
      await using bare = await newLabApiServer()
      const { exitCode, stderr } = await cli('get', '--kubeconfig', bare.kubeconfig)
      expect(exitCode).to.equal(1)
      expect(stderr).to.include('not installed').and.include('deploy/')
    })
  })

  describe('completes', () => {
    it("names, by kubectl's own completion", async () => {
      const ask = ['__complete', 'l2wire', 'describe', '-n', namespace, 'r1']
      const { stdout } = await runShell(`kubectl ${ask.join(' ')} 2>/dev/null`, env)
      expect(stdout.trim().split('\n')).to.deep.equal(['r1-h1', 'r1-r2', ':4'])
    })

    it('nothing, and quietly, where nobody answers', async () => {
      const words = ['get', '--server', 'https://127.0.0.1:1', '']
      const { stdout, stderr, exitCode } = await cli('__complete', ...words)
      expect({ stdout, stderr, exitCode }).to.deep.equal({
        stdout: ':4\n',
        stderr: '',
        exitCode: 0,
      })
    })
  })
})

async function runShell(
  script: string,
  env: Readonly<Record<string, string>> = {},
): Promise<{ readonly stdout: string }> {
  const { execFile } = await import('node:child_process')
  return new Promise((resolve, reject) => {
    execFile('bash', ['-c', script], { env: { ...process.env, ...env } }, (error, stdout) => {
      if (error === null) resolve({ stdout })
      else reject(error)
    })
  })
}
