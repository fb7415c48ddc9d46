// A pod link in the shape that AWS VPC CNI gives it: an address alone, a gateway that is nobody's address and
// that nobody answers for. The pod knows its MAC by a permanent neighbour.
import { expect } from 'chai'
import { describe, it } from 'mocha'

import { newLabNode, type LabNode } from '../../../lab/node.ts'
import { run } from '../../../kernel/run.ts'
import { expectSoon } from '../../expect-soon.ts'
import { newPodNetwork, type PodNetwork } from '../fixture-pod-network.ts'
import { leavesNothing } from '../../nothing-left.ts'

const GATEWAYS = { 4: '169.254.1.1', 6: 'fe80::1' } as const
/** Of the node, on no link of the pod's. */
const NODE = { 4: '203.0.113.77', 6: 'fd00:77::77' } as const

interface SilentLink extends AsyncDisposable {
  /** Of the node's end. */
  readonly mac: string
}

/** Makes a ptp link such a one. */
async function silence({ pod, addresses }: PodNetwork): Promise<SilentLink> {
  const [four = '', six = ''] = addresses.map((address) => address.split('/')[0])
  const script = `
    dev=$(ip -o route get "$1" | sed 's/.* dev \\([^ ]*\\).*/\\1/')
    sysctl -qw "net.ipv4.conf.$dev.proxy_arp=0" net.ipv4.ip_forward=1
    ip address flush dev "$dev" scope global
    ip route replace "$1/32" dev "$dev"
    ip route replace "$2/128" dev "$dev"
    ip address add ${NODE[4]}/32 dev lo
    ip address add ${NODE[6]}/128 dev lo nodad
    cat "/sys/class/net/$dev/address"`
  const mac = (await run(['sh', '-euc', script, 'sh', four, six])).trim()
  for (const words of [
    'address flush dev eth0 scope global',
    `address add ${four}/32 dev eth0`,
    `address add ${six}/128 dev eth0 nodad`,
    `route add ${GATEWAYS[4]} dev eth0 scope link`,
    `route replace default via ${GATEWAYS[4]} dev eth0`,
    `-6 route replace default via ${GATEWAYS[6]} dev eth0`,
    `neigh replace ${GATEWAYS[4]} lladdr ${mac} dev eth0 nud permanent`,
    `neigh replace ${GATEWAYS[6]} lladdr ${mac} dev eth0 nud permanent`,
  ])
    await pod.run(['ip', ...words.split(' ')])
  return { mac, [Symbol.asyncDispose]: forgetNode }
}

/** Who an ARP request is for. */
function toAskedFor(bytes: Uint8Array): readonly string[] {
  const frame = Buffer.from(bytes)
  const isRequest = frame.readUInt16BE(12) === 0x0806 && frame.readUInt16BE(20) === 1
  return isRequest ? [[...frame.subarray(38, 42)].join('.')] : []
}

async function forgetNode(): Promise<void> {
  for (const address of [`${NODE[4]}/32`, `${NODE[6]}/128`])
    await run(['ip', 'address', 'del', address, 'dev', 'lo'])
}

describe('a VM whose gateway answers nobody', function () {
  this.timeout(90_000)
  let node: LabNode
  leavesNothing(async (made) => {
    node = made.use(await newLabNode())
  })

  it('is told its MAC, again and again, and reaches what is behind it', async () => {
    await using network = await newPodNetwork(node, { plugin: 'ptp', families: [4, 6] })
    await using link = await silence(network)
    await network.add()
    await using _ = await network.open()
    await using far = await network.listenAtFar()
    const { guest } = network
    const told = await network.askIpv4()
    expect(told.get('staticroutes')).to.include(GATEWAYS[4])
    const six = (await network.askIpv6('LL')).get('new_ip6_address') ?? ''
    for (const words of [
      `address add ${told.get('ip')}/32 dev nic0`,
      `address add ${six}/128 dev nic0 nodad`,
      `route add ${GATEWAYS[4]} dev nic0`,
      `route add default via ${GATEWAYS[4]} dev nic0`,
    ])
      await guest.run(['ip', ...words.split(' ')])
    expect(await network.readRouter()).to.include({ address: GATEWAYS[6] })
    for (const round of ['at first', 'when it has forgotten']) {
      for (const ping of [`ping -c 1 -W 5 ${NODE[4]}`, `ping6 -c 1 -W 5 ${NODE[6]}`])
        expect(await guest.run(['busybox', ...ping.split(' ')]), round).to.include('1 packets rec')
      const shown = await guest.run(['ip', 'neigh', 'show', 'dev', 'nic0'])
      for (const gateway of Object.values(GATEWAYS))
        expect(shown, round).to.match(new RegExp(`^${gateway} lladdr ${link.mac}`, 'm'))
      await guest.run(['ip', 'neigh', 'flush', 'all'])
    }
    // Only what is asked for those is kept from the link.
    await guest.run('ip route add 203.0.113.78 dev nic0'.split(' '))
    await guest.run(['busybox', 'ping', '-c', '1', '-W', '1', '203.0.113.78']).catch(() => '')
    const asked = async (): Promise<readonly string[]> => (await far.read()).flatMap(toAskedFor)
    await expectSoon('another question is carried', async () =>
      (await asked()).includes('203.0.113.78'),
    )
    expect(await asked()).not.to.include(GATEWAYS[4])
  })

  it('stays so where somebody takes that away', async () => {
    await using network = await newPodNetwork(node, { plugin: 'ptp', families: [4, 6] })
    await using _ = await silence(network)
    await network.add()
    const { pod } = network
    const show = async (): Promise<string> => pod.run('ip address show dev lws0'.split(' '))
    expect(await show()).to.include(`${GATEWAYS[4]}/32`)
    await pod.run(['ip', 'address', 'del', `${GATEWAYS[4]}/32`, 'dev', 'lws0'])
    await pod.run('tc filter del dev tap0 ingress pref 6'.split(' '))
    await node.stopAgent('SIGKILL')
    await node.startAgent()
    await expectSoon('the address is back', async () => (await show()).includes(GATEWAYS[4]))
    await expectSoon('CHECK says so', async () => (await network.bind('CHECK')).exitCode === 0)
  })
})
