// What one node's agent may write into a wire's metadata, by whose labels agents hear of it: the policies of
// deploy/base.
import { expect } from 'chai'
import { beforeEach, describe, it } from 'mocha'

import { CommandError } from '../../core/errors.ts'
import { changeEnd, claimEnd, evictEnd, releaseEnd } from '../../core/wire/ends.ts'
import { forgetNode, listNodes, openTunnel, type Wire, type WireId } from '../../core/wire/wire.ts'
import { toNodeLabel } from '../../core/wire/object.ts'
import type { LabApiServer } from '../../lab/api-server.ts'
import { getMapping, type Manifest } from '../../lab/manifests.ts'
import { expectSoon } from '../expect-soon.ts'
import {
  E1,
  E2,
  E3,
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

/** Labels of nodes that no wire names. */
const ASTRAY = { 'node.l2wire.dev/x1': '', 'node.l2wire.dev/x2': '' }

const CROSSING = { ends: [E1, E2], vni: 4711, tunnelNodes: [N1, N2] }

describe("the policies for agents, of a wire's metadata", function () {
  this.timeout(120_000)
  let lab: PolicyLab
  let api: LabApiServer
  let id: WireId

  beforeEach(async () => {
    lab = await newPolicyLab()
    ;({ api, id } = lab)
  })

  const patch = async (metadata: Manifest, kubeconfig: string): Promise<string> => {
    const value = JSON.stringify({ metadata })
    const argv = ['patch', 'wire', 'w', '-n', id.namespace, '--type=merge', '-p', value]
    return api.kubectl(argv, { kubeconfig })
  }
  // An agent has no right to patch: with that right, too, it could not.
  const letPatch = async (): Promise<void> => {
    const role = { apiVersion: 'rbac.authorization.k8s.io/v1', kind: 'Role' }
    const metadata = { name: 'patch', namespace: id.namespace }
    const rules = [{ apiGroups: ['l2wire.dev'], resources: ['wires'], verbs: ['patch'] }]
    const account = { kind: 'ServiceAccount', namespace: 'l2wire', name: 'l2wire-agent' }
    const roleRef = { apiGroup: 'rbac.authorization.k8s.io', kind: 'Role', name: 'patch' }
    await api.apply(
      { ...role, metadata, rules },
      { ...role, kind: 'RoleBinding', metadata, roleRef, subjects: [account] },
    )
    // The API server takes a moment to know rights.
    const as = ['--as=system:serviceaccount:l2wire:l2wire-agent', '-n', id.namespace]
    await expectSoon('it may patch', async () => {
      try {
        return (await api.kubectl(['auth', 'can-i', 'patch', 'wires.l2wire.dev', ...as])) !== ''
      } catch (error) {
        if (!(error instanceof CommandError)) throw error
        return false
      }
    })
  }
  const astrayLabels = async (): Promise<void> => {
    await patch({ labels: { ...ASTRAY, [toNodeLabel(N2)]: null } }, api.kubeconfig)
  }
  const readLabels = async (): Promise<readonly string[]> =>
    Object.keys(
      getMapping(await api.getObject('wire', 'w', id.namespace), 'metadata', 'labels'),
    ).toSorted()

  const bothEnds = { ends: [E1, E2] }
  const away = toEnd('h9', N2)

  it("keep a wire's labels and everything else of its metadata", async () => {
    await letPatch()
    await lab.seed(bothEnds)
    const found = await api.getObject('wire', 'w', id.namespace)
    const labels = Object.keys(getMapping(found, 'metadata', 'labels'))
    const without = Object.fromEntries(labels.map((label) => [label, null]))
    for (const metadata of [
      { annotations: { a: 'b' } },
      { finalizers: ['example.com/stays'] },
      { labels: { team: 'red' } },
      { labels: without },
      { labels: { [toNodeLabel(N2)]: null } },
      { labels: { [toNodeLabel(N2)]: 'astray' } },
      { labels: { [toNodeLabel(N3)]: '' } },
      { labels: ASTRAY },
    ])
      await expectRefused(patch(metadata, lab.getKubeconfig(N1)), /l2wire-agent-wires'/)
    expect(await api.getObject('wire', 'w', id.namespace)).to.deep.equal(found)
  })

  const manyTimes: readonly { name: string; wire: Partial<Wire> }[] = [
    { name: 'ends and tunnels', wire: CROSSING },
    { name: 'two ends of one node', wire: { ends: [E1, toEnd('h4', N1)] } },
    {
      name: 'ends, notes and tunnels',
      wire: {
        ...CROSSING,
        displaced: ['a', 'b', 'c'].flatMap((pod) => [noted(toEnd(pod, N2)), noted(toEnd(pod, N3))]),
      },
    },
    {
      name: 'notes of one sandbox, and of another node',
      wire: {
        ends: [E1],
        displaced: [noted(E2), { ...noted(E2), ifname: 'eth2' }, noted(toEnd('h9', N3))],
      },
    },
  ]
  for (const { name, wire } of manyTimes)
    it(`count each node once, however often a wire names it: ${name}`, async () => {
      await letPatch()
      await lab.seed(wire)
      await expectRefused(patch({ labels: ASTRAY }, lab.getKubeconfig(N1)), /one for each/)
      await lab.openAgent(N1).update(id, (current) => changeEnd(current, E1, { isUp: false }))
    })

  const astray: readonly Row[] = [
    { name: 'says that its end is down', change: (wire) => changeEnd(wire, E1, { isUp: false }) },
    { name: 'gives its end back', change: (wire) => releaseEnd(wire, E1) },
    { name: 'opens its tunnel', change: (wire) => openTunnel(wire, N1, 4711) },
    { name: 'reports', change: report(N1) },
    {
      name: 'takes the free end',
      wire: { ends: [E2] },
      change: (wire) => claimEnd(wire, id, E1),
    },
    {
      name: 'frees the end of a pod that is no more',
      wire: { ends: [away, E3] },
      change: (wire) => evictEnd(wire, away, N1),
    },
    {
      name: 'forgets a node that is no more',
      wire: { ends: [E2, E3], displaced: [noted(toEnd('h6', GONE))] },
      change: (wire) => forgetNode(wire, GONE),
    },
  ]
  for (const { name, wire = bothEnds, change } of astray)
    it(`let what is astray in the labels stop nobody: node 1 ${name}`, async () => {
      await lab.seed(wire)
      await astrayLabels()
      await lab.openAgent(N1).update(id, change)
      const left = await lab.admin.read(id)
      expect(await readLabels()).to.have.members(listNodes(left ?? expect.fail()).map(toNodeLabel))
    })

  it('leave labels to those who have something of the wire', async () => {
    await letPatch()
    await lab.seed({ ends: [E2, E3] })
    const swapped = { labels: { 'node.l2wire.dev/x1': '', [toNodeLabel(N2)]: null } }
    await expectRefused(patch(swapped, lab.getKubeconfig(N1)), /has nothing of this wire/)
    await astrayLabels()
    const found = await readLabels()
    // What changes nothing is not written, and so not refused.
    await lab.openAgent(N1).update(id, (wire) => releaseEnd(wire, E1))
    expect(await readLabels()).to.deep.equal(found)
  })
})
