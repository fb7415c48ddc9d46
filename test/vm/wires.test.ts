// Real VMs on wires, made of the project's own examples and registration.
import { after, before, describe, it } from 'mocha'

import { newScene, type Scene } from '../../lab/demo-scene.ts'
import { expectTransparent } from '../expect-transparent.ts'
import { leavesNothing } from '../nothing-left.ts'

const IDLE_SECONDS = 3

describe('VMs on wires', function () {
  this.timeout(120_000)

  leavesNothing()

  describe('as in the demo', () => {
    let scene: Scene

    before(async () => {
      scene = await newScene(() => undefined)
    })
    after(async () => {
      await scene[Symbol.asyncDispose]()
    })

    for (const kind of ['VM-container', 'VM-VM'] as const)
      it(`carry every frame class both ways, ${kind}`, async () => {
        const cable = scene.cables.find((one) => one.kind === kind)
        if (cable === undefined) throw new Error(`No ${kind} cable in the scene`)
        await expectTransparent(cable.a, cable.b, { idleSeconds: IDLE_SECONDS })
      })
  })
})
