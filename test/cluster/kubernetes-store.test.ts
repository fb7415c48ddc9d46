// The Kubernetes store on a real API server: the suite of every store, and what is Kubernetes' own.
import { setTimeout as sleep } from 'node:timers/promises'

import { expect } from 'chai'
import { before, beforeEach, describe, it } from 'mocha'

import { CniError, DecodeError } from '../../core/errors.ts'
import { claimEnd, releaseEnd } from '../../core/wire/ends.ts'
import { openTunnel, reportWire, type WireId } from '../../core/wire/wire.ts'
import type { LabApiServer } from '../../lab/api-server.ts'
import type { WireStore } from '../../store/wire-store.ts'
import { describeWireStore, newClaim } from '../process/wire-store-suite.ts'
import { expectSoon } from '../expect-soon.ts'
import { getApi } from './fixture-api.ts'
import { openStore } from './fixture-store.ts'

const { openNodeCluster } = await import('../../store/kubernetes/open-cluster.ts')
const { newKubeClient } = await import('../../store/kubernetes/client.ts')
const { newKubernetesStore } = await import('../../store/kubernetes/wires.ts')

function openNodeStore(kubeconfig: string, node: string): WireStore {
  return openNodeCluster({ kubeconfig }, node).store
}

describeWireStore('the Kubernetes store', async () => {
  const api = await getApi()
  // Where agents keep who is which node.
  await api.kubectl(['apply', '-f', 'deploy/base/namespace.yaml'])
  const namespace = await api.newNamespace('store')
  return {
    namespace,
    open: (node) =>
      node === undefined
        ? openStore(api.kubeconfig, namespace)
        : openNodeStore(api.kubeconfig, node),
    // The namespace is nobody else's, and dies with the API server.
    [Symbol.asyncDispose]: async () => {
      await api.kubectl(['delete', 'wires', '--all', '-n', namespace])
      await api.kubectl(['delete', 'vniclaims', '--all'])
    },
  }
})

const long = (length: number): string => 'x'.repeat(length)

describe('the Kubernetes store, as Kubernetes sees it', () => {
  let api: LabApiServer
  let id: WireId
  let store: WireStore

  before(async () => {
    api = await getApi()
  })
  beforeEach(async () => {
    id = { namespace: await api.newNamespace('wire'), name: 'r1-r2' }
    store = openStore(api.kubeconfig, id.namespace)
  })

  const plug = async (): Promise<void> => {
    const ge0 = newClaim('vm/r1', { ifname: 'ge0' })
    const eth1 = newClaim('pod/h1', { node: 'n2', mtuBytes: 9000 })
    await store.update(id, (wire) => claimEnd(claimEnd(wire, id, ge0), id, eth1))
    await store.update(id, (wire) => openTunnel(openTunnel(wire, 'n1', 4711), 'n2', 4711))
    const wire = await store.read(id)
    const ends = wire?.ends.map((end) => `${end.containerID}@${end.ifname}`).sort() ?? []
    for (const node of ['n1', 'n2'])
      await store.update(id, (old) => reportWire(old, { node, state: 'joined', ends }))
  }

  const patch = async (body: unknown): Promise<string> => {
    const where = ['wire', id.name, '-n', id.namespace, '--type', 'merge']
    return api.kubectl(['patch', ...where, '-p', JSON.stringify(body)]).catch(String)
  }

  it('prints ends, nodes, state, VNI, MTU and age, and waits for a condition', async () => {
    await plug()
    const table = await api.kubectl(['get', 'lw', '-n', id.namespace])
    const [head = '', row = ''] = table.split('\n')
    expect(head.trim().split(/ +/).join(' ')).to.equal('NAME ENDS NODES STATE VNI MTU AGE')
    expect(row).to.match(
      /^r1-r2 +vm\/r1 ge0, pod\/h1 eth1 +n1, n2 +Connected +4711 +1500, 9000 +\d+s/,
    )
    await api.kubectl([
      'wait',
      '--for=condition=Connected',
      'wire/r1-r2',
      '-n',
      id.namespace,
      '--timeout=1s',
    ])
    const wide = await api.kubectl(['get', 'wires', '-n', id.namespace, '-o', 'wide'])
    expect(wide).to.include('both ends are joined; its ends were told different MTUs')
  })

  it('explains itself', async () => {
    const text = await api.kubectl(['explain', 'wire.spec.ends'])
    for (const field of ['holder', 'ifname', 'containerID', 'node', 'address', 'mtu', 'pod'])
      expect(text).to.match(new RegExp(`${field}\\t<`))
    expect(text).to.include('A third one is refused')
    expect(await api.kubectl(['explain', 'vniclaim.spec'])).to.include('The wire that the VNI')
  })

  const nonsense = [
    { name: 'a third end', spec: { ends: ['a', 'b', 'c'].map(toEndField) }, want: 'Too many' },
    { name: 'one end twice', spec: { ends: ['a', 'a'].map(toEndField) }, want: 'Duplicate' },
    {
      name: 'an address that is none',
      spec: { ends: [{ ...toEndField('a'), address: 'x' }] },
      want: 'IP address',
    },
    {
      name: 'an end without a node',
      spec: { ends: [{ ...toEndField('a'), node: null }] },
      want: 'node',
    },
    { name: 'another name', spec: { name: 'w2' }, want: 'cannot be changed' },
    { name: 'no list of ends', spec: { ends: 'r1' }, want: 'ends' },
    { name: 'a VNI that has no 24 bits', spec: { vni: 16777216 }, want: '16777215' },
  ]
  it('lets nobody edit a wire into nonsense', async () => {
    await plug()
    const before = await store.read(id)
    for (const { name, spec, want } of nonsense)
      expect(await patch({ spec }), name).to.include(want)
    expect(await store.read(id)).to.deep.equal(before)
  })

  const HOSTILE = ['\u001B[31m', 'a\nb', 'a\u202Eb', 'a"b', 'x'.repeat(300)]
  const REPORT = { node: 'n1', state: 'failed', ends: ['c1@eth1'], message: 'x' }
  const words: Readonly<Record<string, (text: string) => object>> = {
    'spec.ends[0].holder': (holder) => ({ spec: { ends: [{ ...toEndField('a'), holder }] } }),
    'spec.ends[0].ifname': (ifname) => ({ spec: { ends: [{ ...toEndField('a'), ifname }] } }),
    'spec.ends[0].node': (node) => ({ spec: { ends: [{ ...toEndField('a'), node }] } }),
    'spec.ends[0].pod': (pod) => ({ spec: { ends: [{ ...toEndField('a'), pod }] } }),
    'spec.displaced[0].containerID': (containerID) => ({
      spec: { displaced: [{ containerID, ifname: 'eth1', node: 'n1' }] },
    }),
    'spec.displaced[0].ifname': (ifname) => ({
      spec: { displaced: [{ containerID: 'c', ifname, node: 'n1' }] },
    }),
    'spec.displaced[0].node': (node) => ({
      spec: { displaced: [{ containerID: 'c', ifname: 'eth1', node }] },
    }),
    'spec.tunnelNodes[0]': (node) => ({ spec: { tunnelNodes: [node] } }),
    'status.ends': (ends) => ({ status: { ends: ends.repeat(3) } }),
    'status.nodes': (nodes) => ({ status: { nodes: nodes.repeat(3) } }),
    'status.mtu': (mtu) => ({ status: { mtu } }),
    'status.reports[0].node': (node) => ({ status: { reports: [{ ...REPORT, node }] } }),
    'status.reports[0].ends[0]': (end) => ({ status: { reports: [{ ...REPORT, ends: [end] }] } }),
    'status.reports[0].guests[0].end': (end) => ({
      status: { reports: [{ ...REPORT, guests: [{ end, reason: 'Shown' }] }] },
    }),
    'status.reports[0].guests[0].reason': (reason) => ({
      status: { reports: [{ ...REPORT, guests: [{ end: 'c1@eth1', reason }] }] },
    }),
  }
  const patchStatus = async (body: object): Promise<string> => {
    const where = ['wire', id.name, '-n', id.namespace, '--subresource=status', '--type', 'merge']
    return api.kubectl(['patch', ...where, '-p', JSON.stringify(body)]).catch(String)
  }

  it('lets nobody write a name that a terminal or a shell takes for more', async () => {
    await plug()
    for (const [path, toBody] of Object.entries(words))
      for (const text of HOSTILE) {
        // Words for people, not names.
        if (/^status\.(ends|nodes|mtu)$/.test(path) && text === 'a"b') continue
        const body = toBody(text)
        const said = 'status' in body ? await patchStatus(body) : await patch(body)
        expect(said, `${path} ${JSON.stringify(text)}`)
          .to.include(path)
          .and.include('invalid')
      }
    const long = 'x'.repeat(8193)
    expect(await patchStatus({ status: { reports: [{ ...REPORT, message: long }] } })).to.include(
      '8192',
    )
  })

  it('takes all that agents write, and have written: the longest names, and whatever a tool said', async () => {
    const ifname = '!$&()*+,.0;<=>?'
    const end = newClaim(`deployment/${long(253)}`, {
      containerID: long(200),
      ifname,
      node: long(253),
      pod: long(253),
      address: 'fd00::1',
    })
    const far = newClaim('R_1.a-B', { ifname: '@A[]^_`a{|}~-Z9', node: `${long(252)}y` })
    await store.update(id, (wire) => claimEnd(claimEnd(wire, id, end), id, far))
    for (const { node } of [end, far])
      await store.update(id, (wire) => openTunnel(wire, node, 4711))
    const ends = [end, far].map((one) => `${one.containerID}@${one.ifname}`).sort()
    const message = `Cannot run "ip": \u001B[31m\nRTNETLINK answers: ${long(8000)}`
    const report = { node: end.node, state: 'failed', ends, message } as const
    expect(await patchStatus({ status: { reports: [report] } })).to.include('patched')
    expect((await store.read(id))?.reports[0]?.message).to.equal(message)
    // Whoever writes next to it cuts it.
    await store.update(id, (wire) => reportWire(wire, { node: far.node, state: 'joined', ends }))
    const kept = (await store.read(id))?.reports.map((one) => one.message ?? '') ?? []
    expect(kept[0]).to.match(/^Cannot run "ip": \\x1b\[31m RTNETLINK answers: x+…$/)
    expect(Buffer.byteLength(kept[0] ?? '')).to.be.at.most(1024)
  })

  it('says which field is at fault where the schema lets it through, and loses nothing', async () => {
    await plug()
    await api.kubectl(['label', 'wire', id.name, 'course=ccna', '-n', id.namespace])
    await patch({ spec: { vni: null, ends: [] } })
    expect((await store.read(id))?.ends).to.deep.equal([])
    // A name that the schema takes, on an object that is not called so.
    await api.apply({
      apiVersion: 'l2wire.dev/v1alpha1',
      kind: 'Wire',
      metadata: { namespace: id.namespace, name: 'other' },
      spec: { name: 'r7', ends: [] },
    })
    const unreadable: unknown[] = []
    expect(await store.list((error) => unreadable.push(error))).to.have.length(1)
    expect(unreadable[0])
      .to.be.instanceOf(DecodeError)
      .with.property('message')
      .that.includes('"r7"')
    const error = await store
      .update({ ...id, name: 'other' }, (wire) => wire)
      .then(String, (thrown: unknown) => thrown)
    expect(error).to.be.instanceOf(DecodeError)
    await store.update(id, (wire) => claimEnd(wire, id, newClaim('vm/r9')))
    const object = await api.getObject('wire', id.name, id.namespace)
    expect(object['metadata']).to.have.nested.property('labels.course', 'ccna')
  })

  it('a claim of a VNI is named after it and for one wire only', async () => {
    for (const name of ['0', 'w1', '16777216', '007'])
      expect(await api.apply(newVniClaim(name, 'w')).catch(String), name).to.include(
        'must be a VNI',
      )
    await api.apply(newVniClaim('77', 'w'))
    expect(await api.apply(newVniClaim('77', 'v')).catch(String)).to.include('make a new one')
    await store.releaseVni(77, { namespace: 'lab', name: 'w' })
  })

  it('a service account that lacks a verb is told which, with error 109', async () => {
    const kubeconfig = await api.newServiceAccountKubeconfig(id.namespace, 'nobody')
    const refused = openStore(kubeconfig, id.namespace)
    const errors = await Promise.all(
      [
        refused.read(id),
        refused.update(id, (wire) => claimEnd(wire, id, newClaim('vm/r1'))),
        refused.list(() => undefined),
        refused.claimVni(id, { first: 1, last: 2 }, undefined),
        refused.probe(),
      ].map(async (action) => action.then(String, (error: unknown) => error)),
    )
    for (const error of errors) expect(error).to.be.instanceOf(CniError).with.property('code', 109)
    expect(String((errors[0] as Error).cause)).to.match(/cannot get resource "wires"/)
    expect((errors[0] as Error).message).to.include('deploy/base')
  })

  it('finds pods with their nodes, and all nodes by name', async () => {
    const { findPod, listNodes } = openNodeCluster({ kubeconfig: api.kubeconfig }, 'n1')
    const metadata = { name: 'h1', namespace: id.namespace, finalizers: ['l2wire.dev/test'] }
    const spec = { nodeName: 'n7', containers: [{ name: 'shell', image: 'busybox' }] }
    await api.apply({ apiVersion: 'v1', kind: 'Pod', metadata, spec })
    const pod = await findPod(id.namespace, 'h1')
    expect(pod).to.deep.include({ node: 'n7', isLeaving: false })
    expect(pod?.uid).to.match(/^[0-9a-f-]{36}$/)
    await api.kubectl(['delete', 'pod', 'h1', '-n', id.namespace, '--wait=false'])
    expect(await findPod(id.namespace, 'h1')).to.deep.include({ isLeaving: true, uid: pod?.uid })
    const done = JSON.stringify({ metadata: { finalizers: [] } })
    await api.kubectl(['patch', 'pod', 'h1', '-n', id.namespace, '--type', 'merge', '-p', done])
    await api.kubectl(['delete', 'pod', 'h1', '-n', id.namespace, '--force', '--ignore-not-found'])
    expect(await findPod(id.namespace, 'h1')).to.equal(undefined)
    for (const name of ['l2w-n1', 'l2w-n2'])
      await api.apply({ apiVersion: 'v1', kind: 'Node', metadata: { name } })
    expect([...(await listNodes())]).to.include.members(['l2w-n1', 'l2w-n2'])
    await api.kubectl(['delete', 'nodes', 'l2w-n1', 'l2w-n2'])
    expect([...(await listNodes())]).to.not.include('l2w-n1')
  })

  it('an agent hears of its own wires only, and of its own doing never', async () => {
    const node = `node-of-${id.namespace}`
    const mine = openNodeStore(api.kubeconfig, node)
    const heard: string[] = []
    using watching = await mine.watch(
      ({ name }) => heard.push(name),
      (error) => {
        throw error
      },
    )
    void watching
    for (let at = 0; at < 20; at += 1) {
      const foreign = { ...id, name: `foreign-${at}` }
      const claim = newClaim(`pod/p${at}`, { node: 'n2' })
      await store.update(foreign, (wire) => claimEnd(wire, foreign, claim))
      await store.update(foreign, (wire) => releaseEnd(wire, claim))
    }
    await mine.update(id, (wire) => claimEnd(wire, id, newClaim('vm/r1', { node })))
    await store.update(id, (wire) => claimEnd(wire, id, newClaim('pod/h1', { node: 'n2' })))
    await expectSoon('it hears', () => heard.length > 0)
    expect(heard).to.deep.equal(['r1-r2'])
    await mine.update(id, (wire) => releaseEnd(wire, newClaim('vm/r1', { node })))
    await sleep(200)
    expect(heard).to.deep.equal(['r1-r2'])
  })

  it('an agent hears of what it finds and writes over while its watch is down', async () => {
    const node = `deaf-node-of-${id.namespace}`
    const client = newKubeClient({ kubeconfig: api.kubeconfig })
    const { config } = newKubeClient({ kubeconfig: api.kubeconfig })
    // The failure: nobody answers watches there.
    config.clusters = config.clusters.map((one) => ({ ...one, server: 'https://127.0.0.1:1' }))
    const mine = newKubernetesStore({ ...client, config }, { node })
    await mine.update(id, (wire) => claimEnd(wire, id, newClaim('vm/r1', { node })))
    const heard: string[] = []
    const errors: unknown[] = []
    using watching = await mine.watch(
      ({ name }) => heard.push(name),
      (error) => errors.push(error),
    )
    void watching
    heard.length = 0
    const far = newClaim('pod/h1', { node: 'elsewhere' })
    await store.update(id, (wire) => claimEnd(wire, id, far))
    // From a cache that does not know it: the first try fails, the second reads what there is.
    await mine.update(id, (wire) => reportWire(wire, { node, state: 'waiting', ends: [] }))
    expect((await mine.read(id))?.ends).to.have.length(2)
    expect(heard).to.deep.equal(['r1-r2'])
    expect(errors[0]).to.be.instanceOf(CniError).with.property('code', 11)
  })
})

function toEndField(holder: string): Readonly<Record<string, unknown>> {
  const { mtuBytes: mtu, pod: _pod, ...end } = newClaim(`pod/${holder}`)
  return { ...end, mtu }
}

function newVniClaim(name: string, wire: string): Readonly<Record<string, unknown>> {
  return {
    apiVersion: 'l2wire.dev/v1alpha1',
    kind: 'VniClaim',
    metadata: { name },
    spec: { namespace: 'lab', wire },
  }
}
