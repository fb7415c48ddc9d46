// What of a VM's questions reaches the stack of its launcher, where its server is.
import { expect } from 'chai'
import { describe, it } from 'mocha'

import { newNetnsStation } from '../../../kernel/tester/netns-station.ts'
import { run } from '../../../kernel/run.ts'
import { concatBytes, fromHex } from '../../../core/tester/bytes.ts'
import { describeFrame } from '../../../core/tester/verdict.ts'
import { newLabNetns, type LabNetns } from '../../../lab/netns.ts'
import { newLabNode, type LabNode } from '../../../lab/node.ts'
import { GUEST_NIC } from '../../../lab/tap-opener.ts'
import { expectSoon } from '../../expect-soon.ts'
import { startListening } from '../../listening.ts'
import { leavesNothing } from '../../nothing-left.ts'
import { sumUp, sumWords, toHex6 } from '../fixture-checksum.ts'
import { newParent, newPodNetwork } from '../fixture-pod-network.ts'

const ELSEWHERE_MAC = '02:00:5e:00:53:77'
const PAYLOAD = fromHex('6c'.repeat(20))

/** A DHCP client's datagram from 198.51.100.77, without words of DHCP. */
function newQuestion(from: string, to: string): Uint8Array {
  const hex = `4500 0030 0001 0000 4011 0000 c633644d ${toHex(to)}`
  const header = fromHex(hex)
  header.set(fromHex(sumWords(header)), 10)
  return concatBytes(
    fromHex(`020000000001 ${from} 0800`),
    header,
    fromHex('0044 0043 001c 0000'),
    PAYLOAD,
  )
}

function toHex(address: string): string {
  return address
    .split('.')
    .map((byte) => Number(byte).toString(16).padStart(2, '0'))
    .join('')
}

/** The same of DHCPv6, from fd00:9::77 to an address in hex. */
function newQuestion6(from: string, to: string): Uint8Array {
  const hosts = `fd000009${'0'.repeat(22)}77 ${to}`
  return concatBytes(
    fromHex(`020000000001 ${from} 86dd 60000000 001c 11 40 ${hosts} 0222 0223 001c 0000`),
    PAYLOAD,
  )
}

/** IPv4 datagrams that the stack of a namespace has been handed. */
async function readReceived({ path }: LabNetns): Promise<number> {
  const said = await run(['nsenter', `--net=${path}`, 'cat', '/proc/net/snmp'])
  const [names = [], values = []] = said
    .split('\n')
    .filter((line) => line.startsWith('Ip:'))
    .map((line) => line.split(' '))
  return Number(values[names.indexOf('InReceives')])
}

describe("a VM's questions", function () {
  this.timeout(90_000)
  let node: LabNode
  leavesNothing(async (made) => {
    node = made.use(await newLabNode())
  })

  it('reach the server, and nothing else of the launcher or behind it', async () => {
    await using network = await newPodNetwork(node, {
      plugin: 'bridge',
      families: [4, 6],
      isQuiet: true,
    })
    await using elsewhere = await newLabNetns('elsewhere')
    const { pod, mac, nic } = network
    // As KubeVirt has it for a masquerade NIC.
    for (const key of ['net.ipv4.ip_forward', 'net.ipv6.conf.all.forwarding'])
      await pod.run(['sysctl', '-qw', `${key}=1`])
    await pod.run(`ip link add out0 type veth peer name in0 netns ${elsewhere.name}`.split(' '))
    await elsewhere.run(['ip', 'link', 'set', 'dev', 'in0', 'up'])
    for (const words of [
      'link set dev out0 addrgenmode none up',
      'route add 203.0.113.9 dev out0',
      'route add fd00:77::9 dev out0',
      `neigh replace 203.0.113.9 lladdr ${ELSEWHERE_MAC} dev out0 nud permanent`,
      `neigh replace fd00:77::9 lladdr ${ELSEWHERE_MAC} dev out0 nud permanent`,
    ])
      await pod.run(['ip', ...words.split(' ')])
    await network.add()
    await using _ = await network.open()
    const far = newNetnsStation(run, { label: 'elsewhere', netns: elsewhere.path, ifname: 'in0' })
    await using capture = await far.startCapture()
    const atFirst = await readReceived(pod)
    // To a host behind another link, to the pod itself, and to all at the server.
    await nic.send(['203.0.113.9', '198.51.100.2', '127.0.0.1'].map((to) => newQuestion(mac, to)))
    await nic.send([newQuestion6(mac, `fd000077${'0'.repeat(23)}9`)])
    // Nothing overtakes: what these two find there is all that there is.
    await nic.send([newQuestion(mac, '169.254.75.10'), newQuestion(mac, '255.255.255.255')])
    await expectSoon('the server is asked', async () => (await readReceived(pod)) >= atFirst + 2)
    expect(await readReceived(pod)).to.equal(atFirst + 2)
    const forwarded = (await capture.stop()).map(describeFrame)
    expect(forwarded.filter((frame) => frame.includes('> 02005e005377'))).to.deep.equal([])
  })

  it('are answered where nothing but neighbour discovery tells who asks', async () => {
    await using network = await newPodNetwork(node, {
      plugin: 'bridge',
      families: [6],
      isQuiet: true,
    })
    await network.add()
    await using _ = await network.open()
    const { mac, nic, guest, listenAtFar } = network
    const router = (await network.readGateway()).address
    const routerHex = toHex6(router)
    await using heard = await startListening(guest.path, GUEST_NIC)
    await using heardFar = await listenAtFar()
    const solicitation = fromHex(
      `333300000002 ${mac} 86dd 60000000 0008 3a ff ${PRIVATE_HEX} ${ALL_ROUTERS} ` +
        withChecksum(PRIVATE_HEX, ALL_ROUTERS, '8500 0000 00000000'),
    )
    const isQuestion = ({ type, source }: Icmpv6): boolean => type === 135 && source === routerHex
    const isAnswer = ({ type, destination }: Icmpv6): boolean =>
      type === 134 && destination === PRIVATE_HEX
    const hears = async (what: string, isIt: (message: Icmpv6) => boolean): Promise<void> =>
      expectSoon(what, async () => (await heard.read()).map(toIcmpv6).some(isIt))
    await nic.send([solicitation])
    await hears('the server asks who this is', isQuestion)
    const answer = fromHex(
      `020000000009 ${mac} 86dd 60000000 0020 3a ff ${PRIVATE_HEX} ${routerHex} ` +
        withChecksum(
          PRIVATE_HEX,
          routerHex,
          `8800 0000 60000000 ${PRIVATE_HEX} 0201 ${mac.replaceAll(':', '')}`,
        ),
    )
    await nic.send([answer])
    await hears('the router answers', isAnswer)
    const question = (await heard.read()).map(toIcmpv6).find(isQuestion)
    expect(question?.body).to.include(PRIVATE_HEX)
    // The real gateway may have asked the same.
    await expectSoon('the answer is carried, too', async () =>
      (await heardFar.read()).some((frame) => Buffer.compare(frame, answer) === 0),
    )
    const carried = (await heardFar.read()).filter((frame) => Buffer.compare(frame, answer) === 0)
    expect(carried).to.have.length(1)
  })

  for (const [plugin, router] of [
    ['bridge', 'known'],
    ['macvlan', 'unknown'],
  ] as const)
    it(`of DHCPv6 are answered where the VM shows no MAC, its router ${router}`, async () => {
      await using made = new AsyncDisposableStack()
      if (plugin === 'macvlan') made.use(await newParent())
      await using network = await newPodNetwork(node, { plugin, families: [6] })
      const { guest } = network
      // A question for routers would name its sender's MAC.
      await guest.run(['sysctl', '-qw', 'net.ipv6.conf.default.router_solicitations=0'])
      await guest.run(['sysctl', '-qw', 'net.ipv6.conf.default.addr_gen_mode=1'])
      await network.add()
      await using _ = await network.open()
      await guest.run('ip address add fe80::1c3d:5a79:9ab1:d3f5/64 dev nic0'.split(' '))
      expect((await network.askIpv6('LL')).get('new_ip6_address')).to.equal(
        network.addresses[0]?.split('/')[0],
      )
    })
})

/** No MAC is in it. */
const PRIVATE_HEX = 'fe800000000000001c3d5a799ab1d3f5'
const ALL_ROUTERS = `ff02${'0'.repeat(24)}0002`

/** An ICMPv6 message in hex whose own checksum is zero, with the right one. */
function withChecksum(from: string, to: string, message: string): string {
  const bytes = message.replaceAll(' ', '')
  return `${bytes.slice(0, 4)}${sumUp(from, to, '3a', bytes)}${bytes.slice(8)}`
}

interface Icmpv6 {
  readonly type: number | undefined
  readonly source: string
  readonly destination: string
  readonly body: string
}

function toIcmpv6(frame: Uint8Array): Icmpv6 {
  const hex = Buffer.from(frame).toString('hex')
  return {
    type: frame[54],
    source: hex.slice(44, 76),
    destination: hex.slice(76, 108),
    body: hex.slice(108),
  }
}
