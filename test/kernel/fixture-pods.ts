// A node and two pods of it, "a" and "b", for one cable between them.
import { expect } from 'chai'
import { afterEach } from 'mocha'

import type { CniAnswer, CniCall } from '../../lab/cni.ts'
import type { Manifest } from '../../lab/manifests.ts'
import { newLabNetns, type LabNetns } from '../../lab/netns.ts'
import { newLabNode, type LabNode, type LabNodeOptions } from '../../lab/node.ts'
import { expectNoLinks, leavesNothing } from '../nothing-left.ts'
import { hasCarrier, listLinkNames } from './fixture-links.ts'

export const CONFIG = { cniVersion: '1.1.0', name: 'w', type: 'l2wire' }
export const BIND = { cniVersion: '1.1.0', name: 'bind', type: 'l2wire-bind' }

/** Of the sandbox of a pod that has its name. */
export function toCall(command: string, netns: LabNetns, id: string, ifname = 'eth1'): CniCall {
  return {
    command,
    containerID: id,
    netns: netns.path,
    ifname,
    args: `K8S_POD_NAMESPACE=lab;K8S_POD_NAME=${id}`,
  }
}

export interface Pods {
  readonly node: LabNode
  readonly a: LabNetns
  readonly b: LabNetns
  readonly add: (netns: LabNetns, id: string, ifname?: string) => Promise<Manifest>
  readonly del: (netns: LabNetns, id: string, ifname?: string) => Promise<Manifest>
  readonly check: (netns: LabNetns, id: string) => Promise<CniAnswer>
  /** That "a" and "b", plugged in as "c1" and "c2", see each other. */
  readonly expectJoined: () => Promise<void>
}

type MakeOptions = (made: AsyncDisposableStack) => Promise<LabNodeOptions>

/** For a suite whose tests leave nothing plugged in: its pods, once its tests run. */
export function usePods(makeOptions: MakeOptions = async () => Promise.resolve({})): () => Pods {
  let pods: Pods | undefined
  const get = (): Pods => {
    if (pods === undefined)
      throw new Error('The pods are not there yet: ask in a test, or in a hook')
    return pods
  }
  leavesNothing(async (made) => {
    const node = made.use(await newLabNode(await makeOptions(made)))
    const a = made.use(await newLabNetns('a', { ipv6: false }))
    const b = made.use(await newLabNetns('b', { ipv6: false }))
    const check: Pods['check'] = async (netns, id) =>
      node.call({ ...CONFIG, prevResult: {} }, toCall('CHECK', netns, id))
    pods = {
      node,
      a,
      b,
      add: async (netns, id, ifname) => node.mustCall(CONFIG, toCall('ADD', netns, id, ifname)),
      del: async (netns, id, ifname) => node.mustCall(CONFIG, toCall('DEL', netns, id, ifname)),
      check,
      expectJoined: async () => {
        for (const [netns, id] of [
          [a, 'c1'],
          [b, 'c2'],
        ] as const) {
          expect(await hasCarrier(netns)).to.equal(true)
          expect((await check(netns, id)).exitCode).to.equal(0)
        }
      },
    }
  })
  afterEach('leaves nothing', async () => {
    const { node, a, b } = get()
    await expectNoLinks()
    expect(await node.listDocuments()).to.deep.equal([])
    for (const netns of [a, b]) expect(await listLinkNames(netns)).to.deep.equal(['lo'])
  })
  return get
}
