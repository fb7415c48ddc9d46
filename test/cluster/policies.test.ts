// What one node's agent may write to the API with the token that its kubelet gets for it, and what not: the
// policies of deploy/base, each kind of write allowed and refused by a real API server.
import { expect } from 'chai'
import { beforeEach, describe, it } from 'mocha'

import {
  changeEnd,
  claimEnd,
  clearDisplaced,
  evictEnd,
  releaseEnd,
  standBy,
} from '../../core/wire/ends.ts'
import {
  closeTunnel,
  forgetNode,
  openTunnel,
  reportWire,
  type Wire,
  type WireId,
} from '../../core/wire/wire.ts'
import type { LabApiServer } from '../../lab/api-server.ts'
import type { Manifest } from '../../lab/manifests.ts'
import type { Change, WireStore } from '../../store/wire-store.ts'
import { expectSoon } from '../expect-soon.ts'
import {
  E1,
  E2,
  E3,
  EMPTY,
  expectRefused,
  GONE,
  N1,
  N2,
  N3,
  newPolicyLab,
  noted,
  report,
  toEnd,
  type PolicyLab,
  type Row,
} from './fixture-policies.ts'

const { newKubeClient } = await import('../../store/kubernetes/client.ts')
const { newKubernetesStore } = await import('../../store/kubernetes/wires.ts')

const set =
  (more: Partial<Wire>): Change =>
  (wire) =>
    wire && { ...wire, ...more }

const toEvent = (namespace: string, host: string, kind = 'Pod'): Manifest => ({
  apiVersion: 'v1',
  kind: 'Event',
  metadata: { generateName: 'h1.', namespace },
  involvedObject: { kind, namespace, name: 'h1' },
  source: { component: 'l2wire-agent', host },
  reason: 'WireConnected',
  message: 'is connected',
  type: 'Normal',
})

/** As the Deployment's and the ReplicaSet's controllers and the API server's name generator make it. */
const toPodName = (deployment: string): string => `${`${deployment}-5d9c8b7f6d-`.slice(0, 58)}x7k2p`

const newDeployment = (length: number, letter = 'd'): string =>
  `web-${letter.repeat(length - 'web-'.length)}`

describe('the policies for agents', function () {
  this.timeout(120_000)
  let lab: PolicyLab
  let api: LabApiServer
  let id: WireId
  let admin: WireStore

  beforeEach(async () => {
    lab = await newPolicyLab()
    ;({ api, id, admin } = lab)
    await lab.newPods(['web-5d9c-2', N2], ['web-5d9c-3', N3])
    for (const [name, activePods] of [
      ['r1', { a: N1, b: N2 }],
      ['r2', { c: N2 }],
    ] as const)
      await api.apply({
        apiVersion: 'kubevirt.io/v1',
        kind: 'VirtualMachineInstance',
        metadata: { name, namespace: id.namespace },
        spec: { domain: { devices: {} } },
        status: { activePods },
      })
  })

  const openAgent = (node: string): WireStore => lab.openAgent(node)
  const create = async (object: Manifest): Promise<string> => {
    const kubeconfig = lab.getKubeconfig(N1)
    return api.kubectl(['create', '-f', '-'], { input: JSON.stringify(object), kubeconfig })
  }

  const bothEnds = { ends: [E1, E2] }
  const crossing = { ...bothEnds, vni: 4711, tunnelNodes: [N1, N2] }
  const away = toEnd('h9', N2)
  const web1 = toEnd('web-5d9c-1', N1, { holder: 'deployment/web' })
  const web2 = toEnd('web-5d9c-2', N2, { holder: 'deployment/web' })
  /** As many as stand by at most. */
  const manyOlder = Array.from({ length: 16 }, (_, at) => ({
    ...web2,
    containerID: `c-older-${at}`,
    isTarget: false,
  }))
  const moved = toEnd('h1', N2)
  const source = toEnd('r1-b', N2, { holder: 'vm/r1' })
  const target = toEnd('r1-a', N1, { holder: 'vm/r1' })
  const elsewhere = toEnd('r1-c', N3, { holder: 'vm/r1' })
  const claimFor =
    (deployment: string, pod: string): Change =>
    (wire) =>
      claimEnd(wire, id, toEnd(pod, N1, { holder: `deployment/${deployment}` }))

  const rows: readonly Row[] = [
    { name: 'makes a wire with its own end', change: (wire) => claimEnd(wire, id, E1) },
    { name: 'takes the free end', wire: { ends: [E2] }, change: (wire) => claimEnd(wire, id, E1) },
    { name: 'gives its end back', wire: bothEnds, change: (wire) => releaseEnd(wire, E1) },
    {
      name: 'removes a wire with its last end',
      wire: { ends: [E1] },
      change: (wire) => releaseEnd(wire, E1),
    },
    {
      name: 'says that its end is down, and where it is',
      wire: bothEnds,
      change: (wire) => changeEnd(wire, E1, { isUp: false, address: '192.0.2.77' }),
    },
    {
      name: 'takes an end over that a pod left on another node',
      wire: { ends: [moved, E3] },
      change: (wire) => claimEnd(wire, id, E1),
    },
    {
      name: "takes over a Deployment's end, whose older pod still is there",
      wire: { ends: [web2, E3] },
      change: (wire) => claimEnd(wire, id, web1),
    },
    {
      name: 'takes an end over and lets nobody stand by for it',
      wire: { ends: [web2, E3] },
      change: (wire) => ({ ...claimEnd(wire, id, web1), standbys: [] }),
      refused: /without a note/,
    },
    {
      name: 'takes an end over and says that the older one is elsewhere',
      wire: { ends: [web2, E3] },
      change: (wire) => ({
        ...claimEnd(wire, id, web1),
        standbys: [{ ...web2, address: '192.0.2.77', isTarget: false }],
      }),
      refused: /of its own only stand by/,
    },
    {
      name: 'takes an end over as a migration that the older one waits for',
      wire: { ends: [web2, E3] },
      change: (wire) => ({ ...claimEnd(wire, id, web1), standbys: [{ ...web2, isTarget: true }] }),
      refused: /of its own only stand by/,
    },
    {
      name: 'takes an end over, and the oldest of all that stand by goes for the one that comes',
      wire: { ends: [web2, E3], standbys: manyOlder },
      change: (wire) => claimEnd(wire, id, web1),
    },
    {
      name: 'removes the oldest of all that stand by for nobody',
      wire: { ends: [web1, E3], standbys: manyOlder },
      change: (wire) => wire && { ...wire, standbys: manyOlder.slice(1) },
      refused: /what stands by on node/,
    },
    {
      name: 'removes an older one while there is room for the one that comes',
      wire: { ends: [web2, E3], standbys: manyOlder.slice(1) },
      change: (wire) => {
        const taken = claimEnd(wire, id, web1)
        return { ...taken, standbys: taken.standbys.slice(1) }
      },
      refused: /what stands by on node/,
    },
    {
      name: 'gives its end back while an older one stands by',
      wire: { ends: [web1, E3], standbys: [{ ...web2, isTarget: false }] },
      change: (wire) => releaseEnd(wire, web1),
    },
    {
      name: 'has its end again that it stood by for',
      wire: { ends: [E3], standbys: [{ ...web1, isTarget: false }] },
      change: (wire) => claimEnd(wire, id, web1),
    },
    {
      name: "stands by for a migration's guest",
      wire: { ends: [source, E3] },
      change: (wire) => standBy(wire, id, target),
    },
    {
      name: "has the end once a migration's guest has come",
      wire: { ends: [source, E3], standbys: [{ ...target, isTarget: true }] },
      change: (wire) => claimEnd(wire, id, target),
    },
    {
      name: "gives up a migration's target",
      wire: { ends: [source, E3], standbys: [{ ...target, isTarget: true }] },
      change: (wire) => releaseEnd(wire, target),
    },
    {
      name: 'stands by for a VM that has no launcher here',
      wire: { ends: [toEnd('r2-c', N2, { holder: 'vm/r2' }), E3] },
      change: (wire) => standBy(wire, id, toEnd('none', N1, { holder: 'vm/r2' })),
      refused: /VM r2, which has no launcher there/,
    },
    {
      name: "stands by in the name of another node's pod",
      wire: { ends: [E2, E3] },
      change: (wire) => standBy(wire, id, toEnd('h2', N1)),
      refused: /pod h2, which is on node/,
    },
    {
      name: "stands by in the name of another Deployment's pod",
      wire: { ends: [web2, E3] },
      change: (wire) => standBy(wire, id, { ...E1, holder: 'deployment/web' }),
      refused: /must name that pod/,
    },
    {
      name: 'lets another node stand by',
      wire: { ends: [E1, E3] },
      change: (wire) => standBy(wire, id, moved),
      refused: /of its own only stand by/,
    },
    {
      name: 'moves an end to where its guest has not come for it',
      wire: { ends: [E1, source], standbys: [{ ...elsewhere, isTarget: true }] },
      change: (wire) => claimEnd(wire, id, elsewhere),
      refused: /ends of its own/,
    },
    {
      name: "removes another node's target",
      wire: { ends: [source, E3], standbys: [{ ...elsewhere, isTarget: true }] },
      change: (wire) => releaseEnd(wire, elsewhere),
      refused: /what stands by on node/,
    },
    {
      name: 'makes a wire without an end',
      change: () => ({ ...EMPTY, ...id }),
      refused: /make a wire with an end of its own/,
    },
    {
      name: 'makes a wire again that an end of it was displaced from',
      change: () => ({ ...EMPTY, ...id, displaced: [noted(E2)] }),
      refused: /make a wire with an end of its own/,
    },
    {
      name: 'frees the end of a pod that is no more',
      wire: { ends: [away, E3] },
      change: (wire) => evictEnd(wire, away, N1),
    },
    {
      name: 'frees the end of a pod that is on another node by now',
      wire: { ends: [toEnd('h3', N2), E1] },
      change: (wire) => evictEnd(wire, toEnd('h3', N2), N1),
    },
    {
      name: 'forgets a node that is no more',
      wire: {
        ends: [E1, toEnd('h5', GONE)],
        displaced: [noted(toEnd('h6', GONE))],
        vni: 4711,
        tunnelNodes: [GONE],
      },
      change: (wire) => forgetNode(wire, GONE),
    },
    {
      name: 'removes what only a node that is no more had',
      wire: { ends: [toEnd('h5', GONE)] },
      change: (wire) => forgetNode(wire, GONE),
    },
    { name: 'opens its tunnel', wire: bothEnds, change: (wire) => openTunnel(wire, N1, 4711) },
    {
      name: 'joins the tunnel of the other node',
      wire: { ...crossing, tunnelNodes: [N2] },
      change: (wire) => openTunnel(wire, N1, 4711),
    },
    { name: 'closes its tunnel', wire: crossing, change: (wire) => closeTunnel(wire, N1) },
    {
      name: 'closes the last tunnel',
      wire: { ...crossing, tunnelNodes: [N1] },
      change: (wire) => closeTunnel(wire, N1),
    },
    {
      name: 'has read that its end was displaced',
      wire: { ends: [E2, E3], displaced: [noted(E1)] },
      change: (wire) => clearDisplaced(wire, E1),
    },
    {
      name: 'changes the address of another node',
      wire: bothEnds,
      change: (wire) => changeEnd(wire, E2, { address: '192.0.2.1' }),
      refused: /ends of its own/,
    },
    {
      name: 'sets an end of another node down',
      wire: bothEnds,
      change: (wire) => changeEnd(wire, E2, { isUp: false }),
      refused: /ends of its own/,
    },
    {
      name: 'makes an end of another node',
      wire: { ends: [E1] },
      change: (wire) => claimEnd(wire, id, E2),
      refused: /ends of its own/,
    },
    {
      name: 'makes a wire with an end of another node',
      change: (wire) => claimEnd(wire, id, E2),
      refused: /ends of its own/,
    },
    {
      name: 'frees an end of another node',
      wire: bothEnds,
      change: (wire) => releaseEnd(wire, E2),
      refused: /without a note|which is on node/,
    },
    {
      name: 'frees the end of a pod that is there',
      wire: bothEnds,
      change: (wire) => evictEnd(wire, E2, N1),
      refused: /which is on node/,
    },
    {
      name: 'frees an end of a sandbox that nobody can ask for',
      wire: { ends: [{ ...E2, pod: undefined, holder: 'container/c' }] },
      change: (wire) => evictEnd(wire, { ...E2, pod: undefined }, N1),
      refused: /without a pod/,
    },
    {
      name: "takes over the end of another node's pod",
      wire: { ends: [E2, E3] },
      change: (wire) => claimEnd(wire, id, toEnd('h2', N1)),
      refused: /pod h2, which is on node/,
    },
    {
      name: "takes over the end of another node's pod in the name of its own",
      wire: { ends: [E2, E3] },
      change: (wire) => claimEnd(wire, id, { ...E1, holder: 'pod/h2' }),
      refused: /must name that pod/,
    },
    {
      name: "takes over a Deployment's end in the name of another pod",
      wire: { ends: [web2, E3] },
      change: (wire) => claimEnd(wire, id, { ...E1, holder: 'deployment/web' }),
      refused: /must name that pod/,
    },
    ...[40, 46, 47, 57, 58, 63, 200, 242].map((length) => ({
      name: `plugs in a pod of a Deployment whose name has ${length} characters`,
      change: claimFor(newDeployment(length), toPodName(newDeployment(length))),
    })),
    ...[40, 57, 58, 63, 200].map((length) => ({
      name: `plugs in another Deployment's pod for one whose name has ${length} characters`,
      change: claimFor(newDeployment(length), toPodName(newDeployment(length, 'e'))),
      refused: /must name that pod/,
    })),
    {
      name: 'plugs in a pod of a Deployment whose name is longer by one',
      change: claimFor(newDeployment(57), toPodName(newDeployment(58))),
      refused: /must name that pod/,
    },
    {
      name: 'plugs in a pod that only begins like one of a Deployment with a long name',
      change: claimFor(newDeployment(63), `${newDeployment(63)}-5d9c8b7f6d-x7k2p`),
      refused: /must name that pod/,
    },
    {
      name: 'takes over the end of a VM that has a launcher here, too',
      wire: { ends: [toEnd('r1-b', N2, { holder: 'vm/r1' }), E3] },
      change: (wire) => claimEnd(wire, id, toEnd('r1-a', N1, { holder: 'vm/r1' })),
    },
    {
      name: "takes over a VM's end in the name of a pod that is not",
      wire: { ends: [toEnd('r2-c', N2, { holder: 'vm/r2' }), E3] },
      change: (wire) => claimEnd(wire, id, toEnd('none', N1, { holder: 'vm/r2' })),
      refused: /VM r2, which has no launcher there/,
    },
    {
      name: "plugs another node's pod in",
      wire: { ends: [E3] },
      change: (wire) => claimEnd(wire, id, toEnd('h2', N1)),
      refused: /pod h2, which is on node/,
    },
    {
      name: 'notes an end as displaced that stays',
      wire: bothEnds,
      change: set({ displaced: [noted(E2)] }),
      refused: /must have had an end/,
    },
    {
      name: 'removes the note for another node',
      wire: { ends: [E1], displaced: [noted(E2)] },
      change: (wire) => clearDisplaced(wire, E2),
      refused: /is not for node/,
    },
    {
      name: "notes another node's tunnel",
      wire: bothEnds,
      change: (wire) => openTunnel(wire, N2, 4711),
      refused: /tunnel of its own/,
    },
    {
      name: 'notes a tunnel of a wire it has nothing of',
      wire: { ends: [E2, E3] },
      change: (wire) => openTunnel(wire, N1, 4711),
      refused: /tunnel of its own/,
    },
    {
      name: "removes another node's tunnel",
      wire: crossing,
      change: (wire) => closeTunnel(wire, N2),
      refused: /tunnel of node/,
    },
    {
      name: 'takes the VNI of open tunnels away',
      wire: crossing,
      change: set({ vni: undefined }),
      refused: /VNI/,
    },
    {
      name: 'changes the VNI of tunnels of its own',
      wire: crossing,
      change: set({ vni: 4712 }),
    },
    {
      name: "changes the VNI of others' tunnels",
      wire: { ends: [E2, E3], vni: 4711, tunnelNodes: [N2, N3] },
      change: set({ vni: 4712 }),
      refused: /VNI/,
    },
    {
      name: 'takes the cable out',
      wire: bothEnds,
      change: set({ isUnplugged: true }),
      refused: /takes a cable out/,
    },
    {
      name: 'puts the cable back',
      wire: { ...bothEnds, isUnplugged: true },
      change: set({ isUnplugged: false }),
      refused: /takes a cable out/,
    },
    {
      name: 'removes a wire with an end of another node',
      wire: bothEnds,
      change: () => undefined,
      refused: /without a note/,
    },
    {
      name: 'removes a wire that was taken out',
      wire: { isUnplugged: true },
      change: () => undefined,
      refused: /takes a cable out/,
    },
  ]
  for (const { name, wire, change, refused } of rows)
    it(`${refused === undefined ? 'allow it' : 'refuse it'}: node 1 ${name}`, async () => {
      if (wire !== undefined) await lab.seed(wire)
      const before = await admin.read(id)
      const writing = openAgent(N1).update(id, change)
      if (refused === undefined) {
        await writing
        expect(await admin.read(id)).not.to.deep.equal(before)
      } else {
        await expectRefused(writing, refused)
        expect(await admin.read(id)).to.deep.equal(before)
      }
    })

  it('let nobody report for another node, or on what it has nothing of', async () => {
    await lab.seed(bothEnds)
    await openAgent(N1).update(id, report(N1))
    await openAgent(N2).update(id, report(N2))
    await expectRefused(openAgent(N1).update(id, set({ reports: [] })), /report of its own/)
    await expectRefused(
      openAgent(N1).update(id, (wire) => reportWire(wire, { node: N2, state: 'failed', ends: [] })),
      /report of its own/,
    )
    expect((await admin.read(id))?.reports).to.have.length(2)
  })

  it('let a VNI be given back by who keeps it, or once that node is gone', async () => {
    const range = { first: 5000, last: 5999 }
    const [one, two] = [openAgent(N1), openAgent(N2)]
    const vni = await one.claimVni(id, range, undefined)
    const isKept = async (): Promise<boolean> =>
      (await admin.listVnis()).some((claim) => claim.vni === vni)
    await two.passVni(vni, id, N2)
    await two.releaseVni(vni, id)
    expect(await isKept(), 'node 1 keeps it').to.equal(true)
    await one.passVni(vni, id, N2)
    await one.releaseVni(vni, id)
    expect(await isKept(), 'node 2 keeps it').to.equal(true)
    await two.releaseVni(vni, id)
    expect(await isKept()).to.equal(false)
    const claim = (node?: string): Manifest => ({
      apiVersion: 'l2wire.dev/v1alpha1',
      kind: 'VniClaim',
      metadata: { name: String(vni) },
      spec: { namespace: id.namespace, wire: id.name, ...(node && { node }) },
    })
    await expectRefused(create(claim(N2)), /for itself only/)
    for (const keeper of [GONE, undefined]) {
      await api.apply(claim(keeper))
      await one.releaseVni(vni, id)
      expect(await isKept(), `${String(keeper)} keeps nothing`).to.equal(false)
    }
  })

  it('let an agent tell of pods and VMs in its own name', async () => {
    await create(toEvent(id.namespace, N1))
    await expectRefused(create(toEvent(id.namespace, N2)), /its own name/)
    await expectRefused(create(toEvent(id.namespace, N1, 'Node')), /its own name/)
  })

  it("need not stop an agent whose pod is gone: its token is refused, whoever has its node's name now", async () => {
    const node = 'policy-replaced'
    const kubeconfig = await api.newAgentKubeconfig(node)
    const store = newKubernetesStore(newKubeClient({ kubeconfig }), { node })
    await store.probe()
    const ofNode = ['-n', 'l2wire', '--field-selector', `spec.nodeName=${node}`]
    await api.kubectl(['delete', 'pods', ...ofNode, '--force', '--grace-period=0'])
    // For ten seconds the API server remembers that it was good.
    await expectSoon('it is refused', async () => {
      const error: unknown = await store.probe().catch((cause: unknown) => cause)
      return error instanceof Error && error.message.includes('answered 401')
    })
  })

  it('refuse a token that names no node, and ask nobody else', async () => {
    const kubeconfig = await api.newServiceAccountKubeconfig('l2wire', 'l2wire-agent')
    const store = newKubernetesStore(newKubeClient({ kubeconfig }), { node: N1 })
    const claiming = store.update(id, (wire) => claimEnd(wire, id, E1))
    await expectRefused(claiming, /token names no node/)
    await expectRefused(store.claimVni(id, { first: 6000, last: 6999 }, undefined), /names no node/)
    await lab.seed(bothEnds)
    await admin.update(id, (wire) => releaseEnd(wire, E2))
    expect((await admin.read(id))?.ends).to.have.length(1)
  })
})
