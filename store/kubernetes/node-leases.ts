// Who is which node: a Lease per name, held by the identity of its agent. It is written once and never
// renewed: being idle costs nothing, and who comes later takes it whether its holder lives or not.
import { V1MicroTime, type V1Lease } from '@kubernetes/client-node'

import { CNI_CODE, CniError } from '../../core/errors.ts'
import { sha256Hex } from '../../core/hash.ts'
import type { NodeNames } from '../wire-store.ts'
import type { KubeClient } from './client.ts'
import { callApi, getStatus } from './errors.ts'
import { watchObjects } from './object-watch.ts'

const API_VERSION = 'coordination.k8s.io/v1'
/** Of so many agents that start at once one is the last. */
const TRIES = 20

export function newNodeLeases(client: KubeClient): NodeNames {
  const { coordination, namespace, server } = client

  const take = async (node: string, name: string, identity: string): Promise<void> => {
    for (let attempt = 1; attempt <= TRIES; attempt += 1)
      try {
        const earlier = await readLease(name)
        if (earlier?.spec?.holderIdentity === identity) return
        const body = toLease(node, name, identity, earlier)
        if (earlier === undefined) await coordination.createNamespacedLease({ namespace, body })
        else await coordination.replaceNamespacedLease({ namespace, name, body })
        return
      } catch (error) {
        if (getStatus(error) !== 409) throw error
      }
    throw new CniError(
      CNI_CODE.TRY_AGAIN_LATER,
      `Cannot take lease "${namespace}/${name}": others took it ${TRIES} times meanwhile`,
    )
  }

  const readLease = async (name: string): Promise<V1Lease | undefined> => {
    try {
      return await coordination.readNamespacedLease({ namespace, name })
    } catch (error) {
      if (getStatus(error) === 404) return undefined
      throw error
    }
  }

  const listLease = async (
    fieldSelector: string,
  ): Promise<{ items: V1Lease[]; resourceVersion: string }> =>
    callApi(server, 'list leases', async () => {
      const { items, metadata } = await coordination.listNamespacedLease({
        namespace,
        fieldSelector,
      })
      return { items, resourceVersion: metadata?.resourceVersion ?? '' }
    })

  return {
    holdNode: async (node, identity, onLost) => {
      const name = toLeaseName(node)
      await callApi(server, `take lease "${namespace}/${name}"`, async () =>
        take(node, name, identity),
      )
      let isOurs = true
      const fieldSelector = `metadata.name=${name}`
      return watchObjects<V1Lease>({
        client,
        what: `lease "${namespace}/${name}"`,
        path: `/apis/${API_VERSION}/namespaces/${namespace}/leases`,
        fieldSelector,
        list: async () => listLease(fieldSelector),
        onSeen: ({ spec }) => {
          const holder = spec?.holderIdentity
          if (!isOurs || holder === undefined || holder === identity) return
          isOurs = false
          onLost(holder)
        },
        onGone: () => undefined,
        // The watch on the wires, which suffers the same, says it.
        onError: () => undefined,
      })
    },
  }
}

function toLease(
  node: string,
  name: string,
  identity: string,
  earlier: V1Lease | undefined,
): V1Lease {
  const resourceVersion = earlier?.metadata?.resourceVersion
  return {
    metadata: {
      name,
      ...(resourceVersion === undefined ? {} : { resourceVersion }),
      labels: { 'app.kubernetes.io/part-of': 'l2wire' },
      annotations: { 'l2wire.dev/node': node },
    },
    spec: { holderIdentity: identity, acquireTime: new V1MicroTime() },
  }
}

// A node's name may be as long as an object's, which leaves no room for a prefix.
function toLeaseName(node: string): string {
  return `l2wire-node-${sha256Hex(node, 16)}`
}
