// Everything that wires stand on is restarted, killed and switched off: what docs/operations.md promises of them.
import { expect } from 'chai'
import { after, before, describe, it } from 'mocha'

import { toHostEndName, toTunnelDeviceName } from '../../core/name.ts'
import { toWireKey } from '../../core/wire/wire.ts'
import { waitFor } from '../../lab/kube/wait.ts'
import {
  findContainer,
  killContainer,
  listContainers,
  runInContainer,
  type ContainerPlace,
} from './fixture-containers.ts'
import { getLauncher } from './fixture-guest.ts'
import type { Place } from '../../lab/kube/place.ts'
import { watchPings, type PingWatch } from './fixture-ping-watch.ts'
import {
  expectNewEnd,
  expectUndisturbed,
  newRestartScene,
  readAgent,
  waitForAgent,
  waitUntilAllRun,
  watchFar,
  watchNear,
  WIRES,
  WITH_ADDRESSES,
  type RestartScene,
} from './fixture-restarts.ts'
import { expectWired, findEnd, listDocuments } from './fixture-wired.ts'

const VM_WIRES = ['vm-far', 'vm-near']
const ROLLOUT_MS = 300_000
/** More than a minute of them: an agent that has not answered by then is ended by its startup probe. */
const PINGS_OF_A_MINUTE = 375

describe('wires while everything restarts', function () {
  this.timeout(900_000)
  let scene: RestartScene
  let place: Place
  /** Of h1: to the container, and to the VM. */
  let far: readonly [PingWatch, PingWatch]
  let near: PingWatch

  before(async () => {
    scene = await newRestartScene()
    place = scene.place
    await expectWired(place, WIRES)
    far = await watchFar(scene)
    near = await watchNear(scene)
  })
  after(async () => place[Symbol.asyncDispose]())

  const toContainer = (pod: string, container?: string): ContainerPlace => {
    const { victim: node } = scene
    return { node, namespace: place.namespace, pod, container }
  }
  /** A pair of containers with a cable of its own, the first at home and the second on the node that is broken. */
  const addPair = async (name: string, more: object = {}): Promise<void> => {
    await place.addCable(name, WITH_ADDRESSES)
    await Promise.all([
      place.addPod(`${name}-1`, scene.home.name, [{ name, ips: ['10.9.9.1/24'] }]),
      place.addPod(`${name}-2`, scene.victim.name, [{ name, ips: ['10.9.9.2/24'] }], more),
    ])
    await place.waitUntilConnected(name)
  }
  const readCarrier = async (pod: string, nic: string): Promise<string> =>
    (await place.kubectl('exec', pod, '--', 'cat', `/sys/class/net/${nic}/carrier`)).trim()

  describe('a VM', () => {
    const deaths: readonly {
      readonly name: string
      readonly act: () => Promise<unknown>
      /** The next launcher may be there before the old one has gone. */
      readonly overlaps?: true
    }[] = [
      {
        name: 'restarted by its owner',
        act: async () => place.cluster.run(['virtctl', 'restart', 'r1', '-n', place.namespace]),
      },
      {
        name: 'whose launcher is deleted by force',
        act: async () => deleteByForce(place, await getLauncher(place, 'r1')),
        overlaps: true,
      },
      {
        name: "whose launcher's namespaces die under it",
        act: async () => killContainer(toContainer(await getLauncher(place, 'r1'))),
        overlaps: true,
      },
    ]
    for (const { name, act, overlaps } of deaths)
      it(`${name} is back on its wires, and nothing of the old one is left`, async () => {
        const { victim } = scene
        const [beside, toVm] = far
        const carrierLosses = await toVm.readCarrierLosses()
        await expectUndisturbed([beside], async () => {
          const target = { wires: VM_WIRES, holder: 'vm/r1' }
          const old = await expectNewEnd(place, target, async () => {
            await act()
          })
          await expectWired(place, WIRES)
          for (const watch of [...far, near]) await watch.waitForAnswer()
          const hasGone = async (): Promise<boolean> =>
            !(await listDocuments(victim)).some(({ containerID }) => old.includes(containerID))
          await waitFor('the agent has forgotten the old launcher', hasGone)
          if (!overlaps) expect(await toVm.readCarrierLosses()).to.be.greaterThan(carrierLosses)
        })
      })
  })

  describe('an agent', () => {
    it('rolled out anew on every node loses no ping', async () => {
      await expectUndisturbed([...far, near], async () => {
        const rollout = ['-n', 'l2wire', 'rollout']
        await place.cluster.kubectl([...rollout, 'restart', 'daemonset/l2wire-agent'])
        await place.cluster.kubectl(
          [...rollout, 'status', 'daemonset/l2wire-agent', '--timeout=280s'],
          { timeoutMs: ROLLOUT_MS },
        )
      })
      await expectWired(place, WIRES)
    })

    it('killed is started again, and loses no ping', async () => {
      const { victim } = scene
      await expectUndisturbed([...far, near], async () => {
        const agent = await readAgent(scene, victim)
        await killContainer(agent.place)
        await waitForAgent(scene, victim, ({ restarts }) => restarts > agent.restarts)
      })
      await expectWired(place, WIRES)
    })

    it('that was away does what was unplugged and plugged meanwhile', async () => {
      const { victim } = scene
      const h2 = await findContainer(toContainer('h2', 'tools'))
      // The kubelet is away, too.
      const hasCarrier = async (): Promise<boolean> =>
        (await runInContainer(victim, h2, ['cat', '/sys/class/net/eth2/carrier'])).trim() === '1'
      for (const [verb, isIn] of [
        ['unplug', false],
        ['plug', true],
      ] as const) {
        const agent = await readAgent(scene, victim)
        await victim.stop('kubelet')
        try {
          await killContainer(agent.place)
          await place.l2wire(verb, 'vm-near', '--wait=false')
          expect(await hasCarrier()).to.equal(!isIn)
          if (!isIn) await near.waitForAnswer()
        } finally {
          await victim.start('kubelet')
        }
        await waitForAgent(scene, victim, ({ restarts }) => restarts > agent.restarts)
        const isDone = async (): Promise<boolean> => (await hasCarrier()) === isIn
        await waitFor(`its ${verb} is done`, isDone)
      }
      await near.waitForAnswer()
      await expectWired(place, WIRES)
    })
  })

  describe('what a wire stands on', () => {
    it('deleted by hand is mended: tunnel, redirect, table of peers', async () => {
      const { victim } = scene
      const end = await findEnd(place, 'far', 'pod/h2')
      const hostEnd = toHostEndName(end?.containerID ?? '', end?.ifname ?? '')
      const tunnel = toTunnelDeviceName(toWireKey({ namespace: place.namespace, name: 'far' }))
      for (const words of [
        `ip link delete dev ${tunnel}`,
        `tc qdisc delete dev ${hostEnd} clsact`,
        'nft delete table inet l2wire',
      ]) {
        await victim.run(words.split(' '))
        for (const watch of far) await watch.waitForAnswer()
        await expectWired(place, WIRES)
      }
      expect(await victim.run(['nft', 'list', 'table', 'inet', 'l2wire'])).to.include('elements')
    })
  })

  describe('a daemon of the node', () => {
    for (const daemon of ['kubelet', 'containerd'] as const)
      it(`restarted, ${daemon}, loses no ping; pods that were made meanwhile come up`, async () => {
        const { victim } = scene
        const name = `late-${daemon}`
        await expectUndisturbed([...far, near], async () => {
          await victim.stop(daemon)
          const start = async (): Promise<void> => {
            await place.kubectl('wait', `pod/${name}-2`, '--for=create', '--timeout=60s')
            await victim.start(daemon)
          }
          await Promise.all([addPair(name), start()])
        })
        await expectWired(place, [...WIRES, name])
        await place.kubectl('delete', 'pod', `${name}-1`, `${name}-2`)
      })
  })

  describe('a node', () => {
    it('without power: far ends stay as they are, pods move; on again, all is plugged in again', async () => {
      const { victim, home, cluster } = scene
      await addPair('moved')
      await addPair('ended', { restartPolicy: 'Never' })
      const inMoved = await watchPings(place, { node: home, pod: 'moved-1' }, '10.9.9.2')
      const before = await Promise.all(far.map(async (watch) => watch.readCarrierLosses()))
      const vm = { wires: VM_WIRES, holder: 'vm/r1' }
      const container = { wires: ['far'], holder: 'pod/h2' }
      await expectNewEnd(place, vm, async () => {
        await expectNewEnd(place, container, async () => {
          await victim.powerOff()
          try {
            await deleteByForce(place, 'moved-2')
            const plug = { name: 'moved', ips: ['10.9.9.2/24'] }
            await place.addPod('moved-2', home.name, [plug])
            await place.waitUntilConnected('moved')
            await inMoved.waitForAnswer()
            for (const pod of ['h1', 'ended-1'])
              expect(await readCarrier(pod, 'eth1'), `carrier of ${pod}`).to.equal('1')
          } finally {
            await expectUndisturbed([inMoved], async () => victim.powerOn())
          }
        })
      })
      await waitUntilAllRun(cluster, [place.namespace, 'l2wire', 'kubevirt'])
      await expectWired(place, [...WIRES, 'moved'])
      for (const [at, watch] of far.entries()) {
        await watch.waitForAnswer()
        expect(await watch.readCarrierLosses()).to.be.greaterThan(before[at] ?? NaN)
      }
      // Its pod does not come back.
      expect(await findEnd(place, 'ended', 'pod/ended-2')).to.equal(undefined)
      expect(await readCarrier('ended-1', 'eth1')).to.equal('0')
      near = await watchNear(scene)
      await place.kubectl('delete', 'pod', 'moved-1', 'moved-2', 'ended-1', 'ended-2')
    })

    it('that was cut off while an end of it moved finds itself released', async () => {
      const { victim, home, cluster } = scene
      await addPair('taken')
      const inTaken = await watchPings(place, { node: home, pod: 'taken-1' }, '10.9.9.2')
      await victim.unplug()
      try {
        await deleteByForce(place, 'taken-2')
        await place.addPod('taken-2', home.name, [{ name: 'taken', ips: ['10.9.9.2/24'] }])
        await place.waitUntilConnected('taken')
        await inTaken.waitForAnswer()
      } finally {
        await expectUndisturbed([inTaken], async () => victim.plugIn())
      }
      await expectUndisturbed([inTaken], async () => expectWired(place, [...WIRES, 'taken']))
      await waitUntilAllRun(cluster, [place.namespace, 'l2wire', 'kubevirt'])
      for (const watch of [...far, near]) await watch.waitForAnswer()
      await place.kubectl('delete', 'pod', 'taken-1', 'taken-2')
    })
  })

  describe('an API server', () => {
    it('away for a minute loses no ping; what dies meanwhile is plugged in after', async () => {
      const { victim, home, cluster } = scene
      await addPair('remade')
      const inRemade = await watchPings(place, { node: home, pod: 'remade-1' }, '10.9.9.2')
      const agent = await readAgent(scene, victim)
      const [old] = await listContainers(agent.place)
      await expectUndisturbed([...far, near], async () => {
        await expectNewEnd(place, { wires: ['remade'], holder: 'pod/remade-2' }, async () => {
          await cluster.fabric.stop('kube-apiserver', 'SIGKILL')
          try {
            await killContainer(agent.place)
            await killContainer(toContainer('remade-2'))
            const isStarted = async (): Promise<boolean> =>
              (await listContainers(agent.place)).some(({ id }) => id !== old?.id)
            await waitFor('the agent is started again', isStarted)
            const started = await listContainers(agent.place)
            await near.waitForAnswer(PINGS_OF_A_MINUTE)
            expect(await listContainers(agent.place), 'the agent that was started').to.deep.equal(
              started,
            )
          } finally {
            await cluster.startControlPlane()
          }
        })
      })
      await waitForAgent(scene, victim, ({ restarts }) => restarts === agent.restarts + 1)
      await inRemade.waitForAnswer()
      await waitUntilAllRun(cluster, [place.namespace, 'l2wire', 'kubevirt'])
      await expectWired(place, [...WIRES, 'remade'])
      await place.kubectl('delete', 'pod', 'remade-1', 'remade-2')
    })
  })
})

async function deleteByForce(place: Place, pod: string): Promise<void> {
  await place.kubectl('delete', 'pod', pod, '--force', '--grace-period=0')
}
