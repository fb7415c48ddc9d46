// Who speaks on a pod link that a VM took over: the VM alone, whatever the launcher's own stack tries; and
// what the VM says is heard there, but for what its own server answers.
import { expect } from 'chai'
import { describe, it } from 'mocha'

import { concatBytes, fromHex } from '../../../core/tester/bytes.ts'
import { FRAME_ROWS } from '../../../core/tester/frames.ts'
import { describeFrame, NOTHING_ELSE } from '../../../core/tester/verdict.ts'
import { testCable } from '../../../kernel/tester/cable-test.ts'
import { run } from '../../../kernel/run.ts'
import { newCountedFrames } from '../../../lab/counted-frames.ts'
import { newLabNode, type LabNode } from '../../../lab/node.ts'
import { expectSoon } from '../../expect-soon.ts'
import { leavesNothing } from '../../nothing-left.ts'
import { newParent, newPodNetwork, type PodNetwork } from '../fixture-pod-network.ts'

const STRANGER = '02:00:5e:00:53:99'
/** 802.1Q, VLAN 7. */
const TAG = '8100 0007'
const FRAGMENT = '2000'

interface Datagram {
  readonly from: string
  readonly tag?: string
  /** Flags and offset of the IPv4 header, in hex. */
  readonly fragment?: string
  readonly ports: readonly [number, number]
}

function toHex(value: number): string {
  return value.toString(16).padStart(4, '0')
}

/** To everybody, over IPv4; of DHCP it has the ports. */
function newDatagram({ from, tag = '', fragment = '0000', ports }: Datagram): Uint8Array {
  const ipv4 = `4500 0030 0001 ${fragment} 4011 0000 00000000 ffffffff`
  const udp = `${ports.map(toHex).join('')} 001c 0000`
  return concatBytes(
    fromHex(`ffffffffffff ${from} ${tag} 0800 ${ipv4} ${udp}`),
    fromHex('6c'.repeat(20)),
  )
}

/** From a made-up host of the link, over IPv6: UDP between these ports. */
function newDatagram6(from: string, ports: readonly [number, number]): Uint8Array {
  const hosts = `fe80${'0'.repeat(24)}0099 ff02${'0'.repeat(20)}00010002`
  const udp = `${ports.map(toHex).join('')} 001c 0000`
  return concatBytes(
    fromHex(`333300010002 ${from} 86dd 60000000 001c 11 01 ${hosts} ${udp}`),
    fromHex('6c'.repeat(20)),
  )
}

function newSolicitation(from: string): Uint8Array {
  const hosts = `fe80${'0'.repeat(24)}0099 ff02${'0'.repeat(24)}0002`
  return fromHex(`333300000002 ${from} 86dd 60000000 0008 3a ff ${hosts} 8500 0000 00000000`)
}

/** What of these frames of the VM arrives. */
async function deliver(
  { listenAtFar, nic }: PodNetwork,
  frames: readonly Uint8Array[],
): Promise<readonly Uint8Array[]> {
  await using capture = await listenAtFar()
  // It passes in any case, and nothing overtakes.
  const [last = Uint8Array.of()] = newCountedFrames(1)
  await nic.send([...frames, last])
  let heard: readonly Uint8Array[] = []
  const hasHeard = (frame: Uint8Array): boolean =>
    heard.some((one) => Buffer.compare(one, frame) === 0)
  await expectSoon('the last one arrives', async () => {
    heard = await capture.read()
    return hasHeard(last)
  })
  return frames.filter(hasHeard)
}

// Each says or asks something of its own accord.
const ATTEMPTS = [
  'busybox ping -c 2 -W 1 198.51.100.77',
  'busybox ping -c 1 -W 1 198.51.100.255',
  'busybox ping6 -c 2 -W 1 fd00:9::77',
  'busybox ping6 -c 1 -W 1 ff02::1%eth0',
  'busybox arping -c 1 -w 1 -I eth0 198.51.100.1',
  'busybox arping -U -c 1 -w 1 -I eth0 198.51.100.2',
  'echo x | busybox nc -u -w 1 198.51.100.1 9',
  // Duplicate address detection.
  'ip address add fd00:9::88/64 dev eth0; sleep 2; ip address del fd00:9::88/64 dev eth0',
  'ip link set dev eth0 allmulticast on; ip link set dev eth0 allmulticast off',
]

async function speak({ pod }: PodNetwork): Promise<void> {
  const argv = ['nsenter', `--net=${pod.path}`, 'sh', '-c']
  await Promise.all(ATTEMPTS.map(async (attempt) => run([...argv, `{ ${attempt}; } 2>&1 || :`])))
}

describe('a pod link that a VM took over', function () {
  this.timeout(90_000)
  let node: LabNode
  leavesNothing(async (made) => {
    node = made.use(await newLabNode())
  })

  for (const [plugin, dhcp] of [
    ['bridge', true],
    ['bridge', false],
    ['ptp', true],
    ['macvlan', true],
  ] as const)
    it(`is the VM's alone on ${plugin} where it is told ${dhcp ? 'its addresses' : 'nothing'}`, async () => {
      await using parent = plugin === 'macvlan' ? await newParent() : undefined
      await using network = await newPodNetwork(node, { plugin, families: [4, 6], isQuiet: true })
      const far = parent?.station ?? network.far
      {
        await using capture = await far.startCapture()
        await speak(network)
        expect(await capture.stop(), 'a stack that is not mute is heard').to.not.be.empty
      }
      await network.add({ dhcp })
      await using _ = await network.open()
      await using capture = await far.startCapture()
      await speak(network)
      expect((await capture.stop()).map(describeFrame)).to.deep.equal([])
      expect((await network.checkPrimary()).exitCode).to.equal(0)
      // One of the attempts took it away, and a VM on a shared link misses its multicasts then.
      if (plugin === 'macvlan')
        await network.pod.run(['ip', 'link', 'set', 'dev', 'eth0', 'allmulticast', 'on'])
      expect((await network.bind('CHECK')).exitCode).to.equal(0)
    })

  it('carries all that a wire carries', async () => {
    await using network = await newPodNetwork(node, {
      plugin: 'bridge',
      families: [4, 6],
      more: { mtu: 9216 },
      isQuiet: true,
    })
    await network.add()
    await using _ = await network.open()
    await network.guest.run(['ip', 'link', 'set', 'dev', 'nic0', 'mtu', '9216'])
    // The opener pads runts, and the node's end of the pod's veth has a stack that speaks.
    const rows = FRAME_ROWS.filter(({ name }) => !name.startsWith('runts'))
    const columns = await testCable({ a: network.nic, b: network.far }, rows)
    for (const { title, verdicts } of columns)
      for (const { name, outcome, fault } of verdicts)
        if (name !== NOTHING_ELSE)
          expect(outcome, `${title} ${name} ${fault}`).to.equal('delivered')
  })

  it('gives the server its own questions and no others', async () => {
    await using network = await newPodNetwork(node, {
      plugin: 'bridge',
      families: [4, 6],
      isQuiet: true,
    })
    await network.add()
    await using _ = await network.open()
    const { mac } = network
    const kept = [
      newDatagram({ from: mac, ports: [68, 67] }),
      newDatagram6(mac, [546, 547]),
      newSolicitation(mac),
    ]
    const passed = [
      newDatagram({ from: STRANGER, ports: [68, 67] }),
      newDatagram({ from: mac, tag: TAG, ports: [68, 67] }),
      newDatagram({ from: mac, fragment: FRAGMENT, ports: [68, 67] }),
      // A relay's, a server's.
      newDatagram({ from: mac, ports: [67, 67] }),
      newDatagram({ from: mac, ports: [67, 68] }),
      newDatagram6(STRANGER, [546, 547]),
      newDatagram6(mac, [547, 547]),
      newDatagram6(mac, [547, 546]),
      newSolicitation(STRANGER),
    ]
    expect(await deliver(network, [...kept, ...passed])).to.deep.equal(passed)
  })

  for (const family of [4, 6] as const)
    it(`asks far servers for what it has no address of, with IPv${family} alone`, async () => {
      await using network = await newPodNetwork(node, {
        plugin: 'bridge',
        families: [family],
        isQuiet: true,
      })
      await network.add()
      await using _ = await network.open()
      const { mac } = network
      const ipv4 = [newDatagram({ from: mac, ports: [68, 67] })]
      const ipv6 = [newDatagram6(mac, [546, 547]), newSolicitation(mac)]
      const passed = family === 4 ? ipv6 : ipv4
      expect(await deliver(network, [...ipv4, ...ipv6])).to.deep.equal(passed)
    })
})
