// kubectl-l2wire unplug and plug in a cluster: a real API server, the real kubectl. The nodes' part is
// told by reports, as agents write them.
import { mkdtemp, rm, symlink } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { expect } from 'chai'
import { after, before, describe, it } from 'mocha'

import { claimEnd, releaseEnd } from '../../core/wire/ends.ts'
import { reportWire, toAttachmentKey, type WireId } from '../../core/wire/wire.ts'
import type { LabApiServer } from '../../lab/api-server.ts'
import { runCommand, type Ended } from '../../lab/command.ts'
import { ROOT } from '../../lab/manifests.ts'
import type { WireStore } from '../../store/wire-store.ts'
import { newClaim } from '../process/wire-store-suite.ts'
import { getApi } from './fixture-api.ts'
import { openStore } from './fixture-store.ts'

const CLAIMS = [newClaim('pod/h1'), newClaim('pod/h2', { node: 'n2' })]

describe('kubectl-l2wire unplug and plug in a cluster', function () {
  this.timeout(90_000)
  let api: LabApiServer
  let namespace: string
  let store: WireStore
  let folder: string
  let env: Readonly<Record<string, string>>

  const cli = async (command: string, ...argv: readonly string[]): Promise<Ended> =>
    runCommand('kubectl-l2wire', [command, ...argv, '-n', namespace], { env })
  const plugIn = async (id: WireId): Promise<void> => {
    for (const claim of CLAIMS) await store.update(id, (wire) => claimEnd(wire, id, claim))
    await report(id, 'joined')
  }
  const report = async (id: WireId, state: 'joined' | 'waiting'): Promise<void> => {
    const ends = CLAIMS.map(toAttachmentKey).sort()
    for (const node of ['n1', 'n2'])
      await store.update(id, (wire) => reportWire(wire, { node, state, ends }))
  }

  before(async () => {
    api = await getApi()
    folder = await mkdtemp(join(tmpdir(), 'l2w-plug-'))
    await symlink(api.kubectlPath, join(folder, 'kubectl'))
    const PATH = `${folder}:${process.env['PATH']}`
    env = { KUBECONFIG: api.kubeconfig, PATH, HOME: folder }
    namespace = await api.newNamespace('plug')
    store = openStore(api.kubeconfig, namespace)
  })
  after(async () => {
    await rm(folder, { recursive: true, force: true })
  })

  it('take out a cable that nobody has plugged in yet, and put it back without a trace', async () => {
    for (const name of ['early', 'Odd_Name']) {
      const id = { namespace, name }
      const unplugged = await cli('unplug', name)
      expect(unplugged.exitCode, unplugged.stderr).to.equal(0)
      expect(unplugged.stdout).to.include('nobody is at its ends')
      expect((await store.read(id))?.isUnplugged).to.equal(true)
      expect((await cli('unplug', name)).exitCode).to.equal(0)
      const plugged = await cli('plug', name)
      expect(plugged.exitCode, plugged.stderr).to.equal(0)
      expect(await store.read(id)).to.equal(undefined)
    }
  })

  it('leave the ends to those who hold them', async () => {
    const id = { namespace, name: 'r1-r2' }
    await plugIn(id)
    const before = await store.read(id)
    const late = await cli('unplug', 'r1-r2', '--timeout', '0.2')
    expect(late.exitCode).to.equal(1)
    expect(late.stderr).to.include('node n1 and n2 has not said')
    expect(await store.read(id)).to.deep.equal({ ...before, isUnplugged: true })
    await report(id, 'waiting')
    const unplugged = await cli('unplug', 'r1-r2')
    expect(unplugged.stdout).to.include('pod/h1 eth1 and pod/h2 eth1 have no carrier')
    const own = await api.kubectl(['get', 'wire', 'r1-r2', '-n', namespace, '--no-headers'])
    expect(own).to.include('Unplugged')
    await cli('plug', 'r1-r2', '--wait=false')
    await report(id, 'joined')
    expect(await store.read(id)).to.deep.equal(before)
  })

  it('keep the object while anybody is at its ends', async () => {
    const id = { namespace, name: 'left' }
    await plugIn(id)
    await cli('unplug', 'left', '--wait=false')
    for (const claim of CLAIMS) await store.update(id, (wire) => releaseEnd(wire, claim))
    expect((await cli('get', 'left')).stdout).to.match(/^left +Unplugged/m)
    await cli('plug', 'left')
    expect(await store.read(id)).to.equal(undefined)
  })

  it('get through beside writers who do not stop', async () => {
    const id = { namespace, name: 'busy' }
    await plugIn(id)
    const busy = new AbortController()
    const write = async (): Promise<void> => {
      for (let at = 0; !busy.signal.aborted; at += 1)
        await store.update(id, (wire) =>
          reportWire(wire, { node: 'n1', state: 'failed', ends: [], message: String(at) }),
        )
    }
    const writing = write()
    try {
      const { exitCode, stderr } = await cli('unplug', 'busy', '--wait=false')
      expect(exitCode, stderr).to.equal(0)
    } finally {
      busy.abort()
      await writing
    }
    expect((await store.read(id))?.isUnplugged).to.equal(true)
  })

  it('say who may not, and which namespace is not there', async () => {
    const kubeconfig = await api.newServiceAccountKubeconfig(namespace, 'viewer')
    await api.kubectl(['apply', '-k', join(ROOT, 'deploy')])
    const bind = async (role: string): Promise<void> => {
      const who = [`--clusterrole=${role}`, `--serviceaccount=${namespace}:viewer`]
      await api.kubectl(['create', 'rolebinding', role, '-n', namespace, ...who])
    }
    await bind('l2wire-view')
    const refused = await cli('unplug', 'r1-r2', '--kubeconfig', kubeconfig)
    expect(refused.exitCode).to.equal(1)
    expect(refused.stderr).to.match(/^kubectl-l2wire: .*forbidden/)
    await bind('l2wire-operator')
    for (const words of [
      ['unplug', 'new'],
      ['plug', 'new'],
      ['unplug', 'r1-r2', '--wait=false'],
    ]) {
      const [command = '', ...more] = words
      const done = await cli(command, ...more, '--kubeconfig', kubeconfig)
      expect(done.exitCode, done.stderr).to.equal(0)
    }
    const nowhere = await runCommand('kubectl-l2wire', ['unplug', 'w', '-n', 'l2w-none'], { env })
    expect(nowhere.exitCode).to.equal(1)
    expect(nowhere.stderr).to.include('l2w-none')
  })
})
