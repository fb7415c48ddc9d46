// What of a VM's questions reaches the stack of its launcher, where its server is.
import { setTimeout as sleep } from 'node:timers/promises'

import { expect } from 'chai'
import { after, before, describe, it } from 'mocha'

import { newNetnsStation } from '../../kernel/netns-station.ts'
import { run } from '../../kernel/run.ts'
import { concatBytes, fromHex } from '../../core/tester/bytes.ts'
import { describeFrame } from '../../core/tester/verdict.ts'
import { newLabNetns, type LabNetns } from '../../lab/netns.ts'
import { newLabNode, type LabNode } from '../../lab/node.ts'
import { listTraces } from '../../lab/traces.ts'
import { newPodNetwork } from './fixture-pod-network.ts'

const ELSEWHERE_MAC = '02:00:5e:00:53:77'
const PAYLOAD = fromHex('6c'.repeat(20))

/** A DHCP client's datagram from 198.51.100.77, without words of DHCP. */
function newQuestion(from: string, to: string): Uint8Array {
  const hex = `4500 0030 0001 0000 4011 0000 c633644d ${toHex(to)}`
  const header = fromHex(hex)
  const sum = header.reduce((all, byte, at) => all + (at % 2 === 0 ? byte * 256 : byte), 0)
  const folded = (sum & 0xffff) + (sum >> 16)
  const checksum = (~((folded & 0xffff) + (folded >> 16)) & 0xffff).toString(16).padStart(4, '0')
  header.set(fromHex(checksum), 10)
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
  this.timeout(60_000)
  let node: LabNode
  let traces: readonly string[]

  before(async () => {
    traces = await listTraces()
    node = await newLabNode()
  })
  after(async () => {
    await node[Symbol.asyncDispose]()
    expect(await listTraces()).to.deep.equal(traces)
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
    await sleep(300)
    expect(await readReceived(pod)).to.equal(atFirst)
    await nic.send([newQuestion(mac, '169.254.75.10'), newQuestion(mac, '255.255.255.255')])
    await sleep(300)
    expect(await readReceived(pod)).to.equal(atFirst + 2)
    const forwarded = (await capture.stop()).map(describeFrame)
    expect(forwarded.filter((frame) => frame.includes('> 02005e005377'))).to.deep.equal([])
  })
})
