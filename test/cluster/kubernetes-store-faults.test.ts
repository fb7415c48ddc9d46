// The Kubernetes store while the way to the API server fails: what is asked of it and what it hears.
import { writeFile } from 'node:fs/promises'
import { setTimeout as sleep } from 'node:timers/promises'

import { expect } from 'chai'
import { afterEach, before, beforeEach, describe, it } from 'mocha'

import { CniError, DecodeError } from '../../core/errors.ts'
import { claimEnd, releaseEnd } from '../../core/wire/ends.ts'
import type { EndClaim, WireId } from '../../core/wire/wire.ts'
import type { LabApiServer } from '../../lab/api-server.ts'
import type { WireStore } from '../../store/wire-store.ts'
import { expectSoon } from '../expect-soon.ts'
import { newClaim } from '../process/wire-store-suite.ts'
import { newApiProxy, type ApiProxy } from './fixture-api-proxy.ts'
import { getApi } from './fixture-api.ts'
import { openStore } from './fixture-store.ts'

const { openNodeCluster } = await import('../../store/kubernetes/open-cluster.ts')

describe('the Kubernetes store, when the way to the API fails', function () {
  this.timeout(120_000)
  let api: LabApiServer
  let proxy: ApiProxy
  let namespace: string
  let node: string
  /** Of the node, by the proxy. */
  let mine: WireStore
  /** Somebody else's, by a way of its own. */
  let theirs: WireStore
  let made: AsyncDisposableStack

  before(async () => {
    api = await getApi()
  })
  beforeEach(async () => {
    made = new AsyncDisposableStack()
    proxy = made.use(await newApiProxy(api))
    namespace = await api.newNamespace('faults')
    node = `node-of-${namespace}`
    const kubeconfig = await proxy.toKubeconfig(api.kubeconfig)
    mine = openNodeCluster({ kubeconfig }, node).store
    theirs = openStore(api.kubeconfig, namespace)
  })
  afterEach(async () => made.disposeAsync())

  const toId = (name: string): WireId => ({ namespace, name })
  const near = (): EndClaim => newClaim('vm/r1', { node })

  const plug = async (store: WireStore, name: string, claim: EndClaim): Promise<void> => {
    await store.update(toId(name), (wire) => claimEnd(wire, toId(name), claim))
  }
  const unplug = async (store: WireStore, name: string, claim: EndClaim): Promise<void> => {
    await store.update(toId(name), (wire) => releaseEnd(wire, claim))
  }

  interface Ear {
    readonly heard: Set<string>
    readonly errors: unknown[]
  }
  const listen = async (): Promise<Ear> => {
    const ear: Ear = { heard: new Set(), errors: [] }
    const watching = await mine.watch(
      ({ name }) => ear.heard.add(name),
      (error) => ear.errors.push(error),
    )
    made.use(watching)
    return ear
  }
  const expectHeard = async ({ heard }: Ear, ...names: readonly string[]): Promise<void> => {
    await expectSoon(`${names.join(', ')} in ${[...heard].join(', ')}`, () =>
      names.every((name) => heard.has(name)),
    )
  }

  it('all requests and the watch share a connection or two', async () => {
    const ear = await listen()
    for (let at = 0; at < 10; at += 1) {
      await plug(mine, `w${at}`, near())
      await mine.claimVni(toId(`w${at}`), { first: 70_000, last: 80_000 }, undefined)
    }
    await plug(theirs, 'w0', far())
    await expectHeard(ear, 'w0')
    expect(proxy.countConnections()).to.be.within(1, 2)
    for (const { vni, wire } of await mine.listVnis())
      if (wire.namespace === namespace) await mine.releaseVni(vni, wire)
  })

  it('after a cut it hears what happened meanwhile', async () => {
    await plug(mine, 'changed', near())
    await plug(mine, 'removed', near())
    await plug(mine, 'same', near())
    const ear = await listen()
    ear.heard.clear()
    for (let round = 0; round < 3; round += 1) {
      proxy.refuse()
      await plug(theirs, 'changed', far(`pod/h${round}`))
      if (round === 0) await unplug(theirs, 'removed', near())
      proxy.accept()
      await expectHeard(ear, 'changed')
      expect((await mine.read(toId('changed')))?.ends.map(({ holder }) => holder)).to.include(
        `pod/h${round}`,
      )
      await unplug(mine, 'changed', far(`pod/h${round}`))
      if (round === 0) await expectHeard(ear, 'removed')
      expect(await mine.read(toId('removed'))).to.equal(undefined)
      ear.heard.clear()
    }
    for (const error of ear.errors)
      expect(error).to.be.instanceOf(CniError).with.property('code', 11)
  })

  it('after 410 Gone it lists again and hears what happened meanwhile', async () => {
    await plug(mine, 'changed', near())
    await plug(mine, 'removed', near())
    const ear = await listen()
    const { resourceVersion } = (await api.getObject('wire', 'removed', namespace))[
      'metadata'
    ] as Record<string, string>
    proxy.refuse()
    await plug(theirs, 'changed', far())
    await unplug(theirs, 'removed', near())
    await plug(theirs, 'new', far())
    await plug(theirs, 'new', near())
    // An API server that has just started knows no history.
    await api.kill()
    await api.start()
    const path = `/apis/l2wire.dev/v1alpha1/wires?watch=1&timeoutSeconds=1&resourceVersion=${resourceVersion}`
    await expectSoon('what the watch would resume from is gone', async () => {
      const answer = await api.kubectl(['get', '--raw', path]).catch(String)
      return /Gone|Expired|too old resource version/.test(answer)
    })
    ear.heard.clear()
    proxy.accept()
    await expectHeard(ear, 'changed', 'removed', 'new')
    expect((await mine.read(toId('new')))?.ends).to.have.length(2)
    expect(await mine.read(toId('removed'))).to.equal(undefined)
    // And it goes on from there.
    ear.heard.clear()
    await unplug(theirs, 'new', far())
    await expectHeard(ear, 'new')
  })

  it('while the API refuses, it comes back ever less often', async () => {
    const ear = await listen()
    const before = proxy.countConnections()
    proxy.refuse()
    await sleep(20_000)
    const tries = proxy.countConnections() - before
    expect(tries).to.be.within(2, 12)
    expect(ear.errors.length).to.be.within(2, 12)
    proxy.accept()
    await plug(theirs, 'w', far())
    await plug(theirs, 'w', near())
    await expectHeard(ear, 'w')
  })

  it('a connection that has gone dead is replaced, its watch with it', async () => {
    const ear = await listen()
    await plug(mine, 'w', near())
    proxy.silence()
    await plug(theirs, 'w', far())
    const refused: unknown = await plug(mine, 'v', near()).catch((error: unknown) => error)
    expect(refused).to.be.instanceOf(CniError).with.property('code', 11)
    await expectHeard(ear, 'w')
    await plug(mine, 'v', near())
  })

  it('an expired token is left for the one that has taken its place in the file', async () => {
    const account = `rotating-${namespace}`
    await api.kubectl(['create', 'serviceaccount', account, '-n', namespace])
    await api.kubectl([
      'create',
      'clusterrolebinding',
      account,
      '--clusterrole=cluster-admin',
      `--serviceaccount=${namespace}:${account}`,
    ])
    // A token dies with what it is bound to, and no API server gives one for less than ten minutes.
    const newToken = async (secret: string): Promise<string> => {
      await api.kubectl(['create', 'secret', 'generic', secret, '-n', namespace])
      const bound = ['--bound-object-kind', 'Secret', '--bound-object-name', secret]
      return api.kubectl(['create', 'token', account, '-n', namespace, ...bound])
    }
    const tokenFile = `${api.kubeconfig}.${account}.token`
    await writeFile(tokenFile, await newToken('first'))
    const kubeconfig = await proxy.toKubeconfig(await newFileKubeconfig(api, tokenFile))
    mine = openNodeCluster({ kubeconfig }, node).store
    const ear = await listen()
    await plug(mine, 'w', near())
    const second = await newToken('second')
    await api.kubectl(['delete', 'secret', 'first', '-n', namespace])
    await expectSoon('the first token is refused', async () =>
      mine.probe().then(
        () => false,
        (error: unknown) => error instanceof CniError && error.message.includes('answered 401'),
      ),
    )
    await writeFile(tokenFile, second)
    await mine.probe()
    proxy.cut()
    await plug(theirs, 'w', far())
    await expectHeard(ear, 'w')
  })

  it('claims made while the API comes and goes all end up right', async () => {
    const ear = await listen()
    const [one, two] = [
      mine,
      openNodeCluster({ kubeconfig: await proxy.toKubeconfig(api.kubeconfig) }, 'n2').store,
    ]
    made.use(
      await two.watch(
        () => undefined,
        () => undefined,
      ),
    )
    const names = Array.from({ length: 10 }, (_, at) => `w${at}`)
    const until = Date.now() + 20_000
    const flap = async (): Promise<void> => {
      while (Date.now() < until) {
        await sleep(1000)
        proxy.refuse()
        await sleep(1000)
        proxy.accept()
      }
    }
    const keepPlugging = async (store: WireStore, name: string, claim: EndClaim) => {
      do {
        await insist(async () => plug(store, name, claim))
        await insist(async () => unplug(store, name, claim))
        await sleep(200)
      } while (Date.now() < until)
      await insist(async () => plug(store, name, claim))
    }
    await Promise.all([
      flap(),
      ...names.flatMap((name) => [keepPlugging(one, name, near()), keepPlugging(two, name, far())]),
    ])
    for (const name of names) {
      const wire = await theirs.read(toId(name))
      expect(wire?.ends.map(({ holder }) => holder).sort()).to.deep.equal(['pod/h1', 'vm/r1'])
    }
    for (const store of [one, two])
      await expectSoon('both know what there is', async () => {
        const wires = await Promise.all(names.map(async (name) => store.read(toId(name))))
        return wires.every((wire) => wire?.ends.length === 2)
      })
    ear.heard.clear()
    await Promise.all(names.map(async (name) => unplug(theirs, name, far())))
    await expectHeard(ear, ...names)
  })

  it('a wire of nonsense is named, and all others are heard of', async () => {
    await plug(mine, 'w', near())
    const ear = await listen()
    const { metadata } = await api.getObject('wire', 'w', namespace)
    const { labels } = metadata as Record<string, unknown>
    await api.apply({
      apiVersion: 'l2wire.dev/v1alpha1',
      kind: 'Wire',
      metadata: { namespace, name: 'nonsense', labels },
      spec: { name: 'r7', ends: [] },
    })
    await expectSoon('it is named', () =>
      ear.errors.some(
        (error) => error instanceof DecodeError && /nonsense.*"r7"/.test(error.message),
      ),
    )
    await plug(theirs, 'w', far())
    await expectHeard(ear, 'w')
    const unreadable: unknown[] = []
    const wires = await mine.list((error) => unreadable.push(error))
    expect(wires.map(({ name }) => name)).to.deep.equal(['w'])
    expect(String(unreadable[0])).to.include('nonsense')
    // A watch that begins with it there works as well.
    proxy.cut()
    await unplug(theirs, 'w', far())
    ear.heard.clear()
    await expectHeard(ear, 'w')
  })
})

function far(holder = 'pod/h1'): EndClaim {
  return newClaim(holder, { node: 'n2' })
}

// As a runtime does it: again, until it works.
async function insist(action: () => Promise<void>): Promise<void> {
  for (;;)
    try {
      await action()
      return
    } catch (error) {
      expect(error).to.be.instanceOf(CniError).with.property('code', 11)
      await sleep(100)
    }
}

// As a pod's service account is: a path to its token.
async function newFileKubeconfig(api: LabApiServer, tokenFile: string): Promise<string> {
  const view = ['config', 'view', '--raw', '--flatten', '-o', 'json']
  const config = JSON.parse(await api.kubectl(view)) as Record<string, unknown>
  const user = { 'auth-provider': { name: 'file', config: { tokenFile } } }
  const path = `${tokenFile}.kubeconfig`
  await writeFile(path, JSON.stringify({ ...config, users: [{ name: 'l2w', user }] }))
  return path
}
