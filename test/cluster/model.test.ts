// The random sequences of test/model with the Kubernetes API as the store: agents that have the rights
// and the limits of deploy/base, and nodes that lose the API for a while.
import { before, describe, it } from 'mocha'

import { newLabCluster } from '../../lab/cluster.ts'
import { leavesNothing } from '../nothing-left.ts'
import { checkSequences, readSequences } from '../model/check-sequences.ts'
import { newModelLab, type ModelLab } from '../model/lab.ts'
import { play } from '../model/play.ts'
import { newSequences } from '../model/sequence.ts'
import { NODES, PODS } from '../model/world.ts'
import { getApi } from './fixture-api.ts'
import { openStore } from './fixture-store.ts'

const SEQUENCES = readSequences(12)
/** An agent that lost the API asks again after up to twelve seconds; a busy machine takes its time. */
const REST_MS = 90_000

async function newKubernetesLab(): Promise<ModelLab> {
  const api = await getApi()
  const namespace = await api.newNamespace('model')
  // Only holders that exist keep a third one out.
  const spec = { containers: [{ name: 'shell', image: 'busybox' }] }
  const pods = PODS.map((name) => ({ metadata: { name, namespace }, spec }))
  await api.apply(...pods.map((pod) => ({ apiVersion: 'v1', kind: 'Pod', ...pod })))
  await using made = new AsyncDisposableStack()
  const count = NODES.length
  const cluster = made.use(await newLabCluster({ count, api, prefix: `${namespace}-n` }))
  const store = openStore(api.kubeconfig, namespace)
  const lab = made.use(newModelLab({ cluster, store, namespace, restMs: REST_MS }))
  const resources = made.move()
  return { ...lab, [Symbol.asyncDispose]: async () => resources.disposeAsync() }
}

describe('model and cluster', function () {
  this.timeout(900_000)
  // Which stays for other suites.
  before(async () => void (await getApi()))
  leavesNothing()

  it(`agree after each step of ${SEQUENCES.count} random sequences (L2W_SEED=${SEQUENCES.seed})`, async () => {
    const anySequence = newSequences({ canBeCutOff: true, canMigrate: false })
    await checkSequences({ make: newKubernetesLab, anySequence, play }, SEQUENCES)
  })
})
