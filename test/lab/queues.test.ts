// VMs whose NIC has several queues, and those whose tap, VMI and domain do not say the same: the tap is what the kernel
// goes by, the sidecar makes the domain fit it, and every VM starts.
import { expect } from 'chai'
import { after, before, describe, it } from 'mocha'

import { concatBytes, fromHex } from '../../core/tester/bytes.ts'
import { FRAME_ROWS } from '../../core/tester/frames.ts'
import { testCable, type Ends } from '../../kernel/tester/cable-test.ts'
import { readVm, plugContainer, readWireConfig } from '../../lab/demo-scene.ts'
import { getMapping, type Manifest } from '../../lab/manifests.ts'
import { newLabNetns, type LabNetns } from '../../lab/netns.ts'
import { newLabNode, type LabNode } from '../../lab/node.ts'
import { newVmPod, type VmPod, type VmPodOptions } from '../../lab/vm-pod.ts'
import { leavesNothing } from '../nothing-left.ts'
const NETWORK = 'ge0'
const FLOWS = 8
const FRAMES_PER_FLOW = 100
const MACS = fromHex('02000000000b 02000000000a 0800')
const IPV4 = fromHex('4500 002e 0000 4000 40 11 0000 0a000001 0a000002')
const UDP_REST = fromHex('0007 001a 0000')

/** UDP of several source ports in turn, numbered. */
function newFlows(): readonly Uint8Array[] {
  return Array.from({ length: FLOWS * FRAMES_PER_FLOW }, (_, at) => {
    const flow = at % FLOWS
    const number = Math.floor(at / FLOWS)
    const payload = Uint8Array.of(number, ...Array.from({ length: 17 }, () => 0))
    return concatBytes(MACS, IPV4, Uint8Array.of(0x40, flow), UDP_REST, payload)
  })
}

/** The flow, and the frame's number in it. */
function readFlow(frame: Uint8Array): readonly number[] {
  return [frame[35] ?? 0, frame[42] ?? 0]
}

interface VmWish {
  readonly vcpus: number
  readonly asks: boolean
  readonly model?: string
}

async function newManifest(name: string, wire: string, wish: VmWish): Promise<Manifest> {
  const vm = await readVm(name, { [NETWORK]: wire })
  const spec = getMapping(vm, 'spec', 'template', 'spec')
  const devices = getMapping(spec, 'domain', 'devices')
  const interfaces = (devices['interfaces'] as Manifest[]).map((nic) =>
    nic['name'] === NETWORK && wish.model !== undefined ? { ...nic, model: wish.model } : nic,
  )
  const domain = {
    ...getMapping(spec, 'domain'),
    cpu: { sockets: wish.vcpus },
    devices: { ...devices, interfaces, networkInterfaceMultiqueue: wish.asks },
  }
  const template = { ...getMapping(vm, 'spec', 'template'), spec: { ...spec, domain } }
  return { ...vm, spec: { ...getMapping(vm, 'spec'), template } }
}

/** What the guest's driver has in use of the last NIC, and what the domain says. */
async function countQueues(vm: VmPod): Promise<{ guest: number; domain: number }> {
  const guest = await vm.getGuest()
  const nic = (await guest.nics()).at(-1)
  const queues = await guest.run(`ls -d /sys/class/net/${nic?.name ?? ''}/queues/rx-* | wc -l`)
  const xml = vm.launcher.definedXml
  const [, own = ''] = /<alias name=.ua-ge0.([^]*?)<\/interface>/.exec(xml) ?? []
  return { guest: Number(queues), domain: Number(/queues="(\d+)"/.exec(own)?.[1] ?? 1) }
}

describe('VMs with several queues', function () {
  this.timeout(300_000)
  let node: LabNode

  leavesNothing(async (made) => {
    node = made.use(await newLabNode())
  })

  const newVm = async (
    name: string,
    wish: VmWish,
    multiQueue: boolean,
    more: Partial<VmPodOptions> = {},
  ): Promise<VmPod> => {
    const networks = { [name]: { ...(await readWireConfig()), name } }
    const vm = await newManifest(name, name, wish)
    return newVmPod({ node, vm, networks, bindKeys: { multiQueue }, ...more })
  }

  describe('of four vCPUs', () => {
    let vm: VmPod
    let far: LabNetns
    let ends: Ends

    before(async () => {
      vm = await newVm('q4', { vcpus: 4, asks: true }, true)
      far = await newLabNetns('far', { ipv6: false })
      const config = { ...(await readWireConfig()), name: 'q4', mtu: 9216 }
      const b = await plugContainer(node, far, 'h1', config)
      ends = { a: await vm.getStation(NETWORK), b }
    })
    after(async () => {
      await far[Symbol.asyncDispose]()
      await vm[Symbol.asyncDispose]()
    })

    it('have four queues', async () => {
      expect(await countQueues(vm)).to.deep.equal({ guest: 4, domain: 4 })
    })

    it('get and send every frame class, each frame once; only those of different flows overtake each other', async () => {
      const columns = await testCable(ends, FRAME_ROWS)
      const faults = columns.flatMap(({ verdicts }) =>
        verdicts.flatMap(({ fault }) => fault.split('; ')),
      )
      expect(
        faults.filter((fault) => fault !== '' && !fault.endsWith('out of order')),
      ).to.deep.equal([])
    })

    for (const way of ['to', 'from'] as const)
      it(`keep the order of each flow, ${way} the VM`, async () => {
        const [from, to] = way === 'to' ? [ends.b, ends.a] : [ends.a, ends.b]
        await using capture = await to.startCapture()
        await from.send(newFlows())
        const seen = new Map<number, number[]>()
        for (const frame of await capture.stop()) {
          const [flow = 0, at = 0] = readFlow(frame)
          seen.set(flow, [...(seen.get(flow) ?? []), at])
        }
        const numbers = Array.from({ length: FRAMES_PER_FLOW }, (_, at) => at)
        for (let flow = 0; flow < FLOWS; flow += 1)
          expect(seen.get(flow), `flow ${flow}`).to.deep.equal(numbers)
      })
  })

  const rows: readonly {
    name: string
    wish: VmWish
    multiQueue: boolean
    want: { guest: number; domain: number }
  }[] = [
    {
      name: 'the VMI asks, the tap has one',
      wish: { vcpus: 2, asks: true },
      multiQueue: false,
      want: { guest: 1, domain: 1 },
    },
    {
      name: 'the VMI does not ask, the tap has several',
      wish: { vcpus: 2, asks: false },
      multiQueue: true,
      want: { guest: 2, domain: 2 },
    },
    {
      name: 'the VMI asks with one vCPU, the tap has several',
      wish: { vcpus: 1, asks: true },
      multiQueue: true,
      want: { guest: 1, domain: 2 },
    },
  ]
  for (const [at, { name, wish, multiQueue, want }] of rows.entries())
    it(`starts where ${name}`, async () => {
      await using vm = await newVm(`q${at}`, wish, multiQueue)
      expect(await countQueues(vm)).to.deep.equal(want)
    })
  it('have as many as the VMI asks for where no sidecar is', async () => {
    const bindings = { l2wire: { domainAttachmentType: 'tap' as const } }
    await using vm = await newVm('q8', { vcpus: 2, asks: true }, true, { bindings })
    expect(await countQueues(vm)).to.deep.equal({ guest: 2, domain: 2 })
  })

  it('are told why a model that opens one queue does not start on a tap for several', async () => {
    const said = await newVm('q9', { vcpus: 2, asks: true, model: 'e1000' }, true).then(
      async (vm) => vm[Symbol.asyncDispose](),
      String,
    )
    expect(said).to.match(/interface "ge0" of model e1000: "tap\w+" is made for several/)
  })
})
