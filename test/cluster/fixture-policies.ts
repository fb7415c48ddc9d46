// One node's agent and what the policies of deploy/base leave it, for the suites of them: three nodes, a pod on
// each, and wires that an admin has put there.
import { expect } from 'chai'

import { CniError, CommandError, renderCauses } from '../../core/errors.ts'
import { reportWire, type EndClaim, type Wire, type WireId } from '../../core/wire/wire.ts'
import type { LabApiServer } from '../../lab/api-server.ts'
import type { Change, WireStore } from '../../store/wire-store.ts'
import { getApi } from './fixture-api.ts'
import { openStore } from './fixture-store.ts'

const { newKubeClient } = await import('../../store/kubernetes/client.ts')
const { newKubernetesStore } = await import('../../store/kubernetes/wires.ts')

export const [N1, N2, N3] = ['policy-1', 'policy-2', 'policy-3'] as const
export const GONE = 'policy-gone'
const POLICY = /ValidatingAdmissionPolicy 'l2wire-agent-/

export interface Row {
  readonly name: string
  readonly wire?: Partial<Wire>
  /** What the agent of node 1 makes of it. */
  readonly change: Change
  readonly refused?: RegExp
}

export interface PolicyLab {
  readonly api: LabApiServer
  /** A wire that is not there yet, in a namespace with the pods h1, h2 and h3, one on each node. */
  readonly id: WireId
  readonly admin: WireStore
  readonly openAgent: (node: string) => WireStore
  readonly getKubeconfig: (node: string) => string
  /** Each with its node. */
  readonly newPods: (...pods: readonly (readonly [string, string])[]) => Promise<void>
  readonly seed: (wire: Partial<Wire>) => Promise<void>
}

export function toEnd(pod: string, node: string, more: Partial<EndClaim> = {}): EndClaim {
  const address = `192.0.2.${node.at(-1) ?? ''}`.replace(/e$/, '9')
  const end = { containerID: `c-${pod}-${node}`, ifname: 'eth1', holder: `pod/${pod}`, node, pod }
  return { ...end, address, mtuBytes: 1500, isUp: true, ...more }
}

export const E1 = toEnd('h1', N1)
export const E2 = toEnd('h2', N2)
export const E3 = toEnd('h3', N3)

export async function expectRefused(write: Promise<unknown>, words: RegExp): Promise<void> {
  let refusal = ''
  try {
    await write
  } catch (error) {
    if (!(error instanceof CniError) && !(error instanceof CommandError)) throw error
    if (error instanceof CniError) expect(error.code).to.equal(109)
    refusal = renderCauses(error)
  }
  expect(refusal).to.match(POLICY).and.to.match(words)
}

export function noted(end: EndClaim): Wire['displaced'][number] {
  const { containerID, ifname, node } = end
  return { containerID, ifname, node }
}

export const report =
  (node: string): Change =>
  (wire) =>
    reportWire(wire, { node, state: 'joined', ends: [] })

export const EMPTY = {
  vni: undefined,
  tunnelNodes: [],
  ends: [],
  standbys: [],
  displaced: [],
  isUnplugged: false,
  reports: [],
}

let agents: Promise<ReadonlyMap<string, string>> | undefined

async function newAgents(api: LabApiServer): Promise<ReadonlyMap<string, string>> {
  const newAgent = async (node: string): Promise<readonly [string, string]> => [
    node,
    await api.newAgentKubeconfig(node),
  ]
  return new Map(await Promise.all([N1, N2, N3].map(newAgent)))
}

export async function newPolicyLab(): Promise<PolicyLab> {
  const api = await getApi()
  agents ??= newAgents(api)
  const kubeconfigs = await agents
  const id = { namespace: await api.newNamespace('policies'), name: 'w' }
  const admin = openStore(api.kubeconfig, id.namespace)
  const getKubeconfig = (node: string): string => kubeconfigs.get(node) ?? ''
  const newPods: PolicyLab['newPods'] = async (...pods) => {
    const containers = [{ name: 'shell', image: 'busybox' }]
    await api.apply(
      ...pods.map(([name, nodeName]) => ({
        apiVersion: 'v1',
        kind: 'Pod',
        metadata: { name, namespace: id.namespace },
        spec: { nodeName, containers },
      })),
    )
  }
  await newPods(['h1', N1], ['h2', N2], ['h3', N3])
  return {
    api,
    id,
    admin,
    openAgent: (node) =>
      newKubernetesStore(newKubeClient({ kubeconfig: getKubeconfig(node) }), { node }),
    getKubeconfig,
    newPods,
    seed: async (wire) => {
      await admin.update(id, () => ({ ...EMPTY, ...id, ...wire }))
    },
  }
}
