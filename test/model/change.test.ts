// Each change that somebody may make by hand to the devices of a wire, once: what is as it was made comes back.
import { describe, it } from 'mocha'

import { newLabCluster } from '../../lab/cluster.ts'
import { newFileStore } from '../../store/file-store.ts'
import { leavesNothing } from '../nothing-left.ts'
import { LINK_CHANGES, TUNNEL_CHANGES } from './deed.ts'
import { newModelLab, type ModelLab } from './lab.ts'
import { play } from './play.ts'
import type { Round } from './sequence.ts'
import { NODES } from './world.ts'

const REST_MS = 60_000

describe('what somebody changes by hand', function () {
  this.timeout(600_000)

  let lab: ModelLab
  leavesNothing(async (made) => {
    const cluster = made.use(await newLabCluster({ count: NODES.length }))
    const store = newFileStore(cluster.storeFolder)
    lab = made.use(newModelLab({ cluster, store, namespace: 'change', restMs: REST_MS }))
  })

  const PLUGS: readonly Round[] = [
    [{ wish: 'complete', wire: 'w1', node: 'n1' }],
    [{ wish: 'complete', wire: 'w1', node: 'n2' }],
  ]
  const tunnels = TUNNEL_CHANGES.map((_, change): Round => [
    { wish: 'change tunnel', pick: 0, change },
  ])
  const links = LINK_CHANGES.map((_, change): Round => [{ wish: 'change link', pick: 0, change }])
  it('comes back, where a wire is joined across nodes', async () => {
    await play(lab, [...PLUGS, ...tunnels, ...links])
  })
  it('comes back, where an end has no cable', async () => {
    await play(lab, [...PLUGS.slice(0, 1), ...links])
  })
})
