// What a VM's DHCP server knows of a lease that an earlier one gave: the agent's before, another pod's.
import { readdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'

import { expect } from 'chai'
import { describe, it } from 'mocha'

import { fromHex } from '../../core/tester/bytes.ts'
import { newLabNode, type LabNode } from '../../lab/node.ts'
import { expectSoon } from '../expect-soon.ts'
import { leavesNothing } from '../nothing-left.ts'
import { sumUp, toHex6 } from './fixture-checksum.ts'
import { CONTAINER, newPodNetwork, type PodNetwork } from './fixture-pod-network.ts'

/** All DHCP servers and relays. */
const SERVERS = 'ff02::1:2'
/** RFC 8415: message types, options, a status. */
const [RENEW, REPLY] = ['05', '07']
const [CLIENT_ID, SERVER_ID, IA_NA, IA_ADDRESS, STATUS] = ['0001', '0002', '0003', '0005', '000d']
const TRANSACTION = '6c3277'
/** Of UDP: the ports, then behind length and checksum the answer. */
const ANSWER = new RegExp(`^02230222.{8}${REPLY}${TRANSACTION}`)

function toOption(code: string, hex: string): string {
  return `${code}${(hex.length / 2).toString(16).padStart(4, '0')}${hex}`
}

const toDigits = (colons = ''): string =>
  colons
    .split(':')
    .map((byte) => byte.padStart(2, '0'))
    .join('')

/** The question of a client whose script was told this, as RFC 8415 has it for the first half of a lease. */
function newRenewal(mac: string, from: string, told: ReadonlyMap<string, string>): Uint8Array {
  const address = toHex6(told.get('new_ip6_address') ?? '')
  const asked = toOption(IA_ADDRESS, `${address}0000000000000000`)
  const iaid = toDigits(told.get('new_iaid'))
  const message = [
    `${RENEW}${TRANSACTION}`,
    toOption(CLIENT_ID, toDigits(told.get('new_dhcp6_client_id'))),
    toOption(SERVER_ID, toDigits(told.get('new_dhcp6_server_id'))),
    toOption(IA_NA, `${iaid}0000000000000000${asked}`),
  ].join('')
  const length = (8 + message.length / 2).toString(16).padStart(4, '0')
  const [source, target] = [toHex6(from), toHex6(SERVERS)]
  const sum = sumUp(source, target, '11', `02220223${length}0000${message}`)
  const udp = `02220223${length}${sum}${message}`
  return fromHex(`333300010002 ${mac} 86dd 60000000 ${length} 11 ff ${source}${target}${udp}`)
}

/** What a server says to it: the association's options, in hex. */
async function renew(
  { guest, nic, mac }: PodNetwork,
  told: ReadonlyMap<string, string>,
): Promise<string> {
  const shown = await guest.run('ip -6 -br address show dev nic0 scope link'.split(' '))
  const from = /fe80:[^/]*/.exec(shown)?.[0] ?? ''
  const renewal = newRenewal(mac, from, told)
  await nic.send([renewal])
  let answer: string | undefined
  await expectSoon('the server answers', async () => {
    await using meanwhile = await nic.startCapture()
    await nic.send([renewal])
    await guest.run(['sleep', '0.3'])
    const frames = (await meanwhile.stop()).map((frame) => Buffer.from(frame).toString('hex'))
    answer = frames.find((hex) => ANSWER.test(hex.slice(108)))
    return answer !== undefined
  })
  return answer?.slice(124) ?? ''
}

describe("a VM's lease", function () {
  this.timeout(90_000)
  let node: LabNode
  leavesNothing(async (made) => {
    node = made.use(await newLabNode())
  })

  it('of IPv6 is renewed by the server of the next agent, and forgotten with the VM', async () => {
    await using network = await newPodNetwork(node, { plugin: 'bridge', families: [6] })
    await network.add()
    await using _ = await network.open()
    const told = await network.askIpv6('LL')
    const address = toHex6(told.get('new_ip6_address') ?? '')
    const folder = join(node.stateDir, 'leases')
    for (const signal of ['SIGKILL', 'SIGTERM'] as const) {
      await node.stopAgent(signal)
      // Of a sandbox that went while no agent was there.
      await writeFile(join(folder, 'c0@net1'), 'duid 00:00:6c:32\n')
      await node.startAgent()
      await expectSoon('CHECK says so', async () => (await network.bind('CHECK')).exitCode === 0)
      const answer = await renew(network, told)
      expect(answer).to.include(`${IA_ADDRESS}0018${address}`)
      expect(answer, 'NoBinding').to.not.match(new RegExp(`${STATUS}00..0003`))
    }
    // Another client that the first one's lease stands in the way of, as a system after its boot loader.
    expect((await network.askIpv6('LLT')).get('new_ip6_address')).to.equal(
      told.get('new_ip6_address'),
    )
    expect(await readdir(folder)).to.deep.equal([`${CONTAINER}@net1`])
    expect((await network.bind('DEL')).exitCode).to.equal(0)
    expect(await readdir(folder)).to.deep.equal([])
  })

  it('is given all the same where it cannot be kept, and its VM is let go', async () => {
    await using other = await newLabNode()
    await using network = await newPodNetwork(other, { plugin: 'bridge', families: [6] })
    await writeFile(join(other.stateDir, 'leases'), 'no folder')
    await network.add()
    expect(other.readLog()).to.include('cannot keep its leases on disk')
    await using _ = await network.open()
    const address = network.addresses[0]?.split('/')[0]
    expect((await network.askIpv6('LL')).get('new_ip6_address')).to.equal(address)
    expect((await network.bind('DEL')).exitCode).to.equal(0)
  })

  it('of another pod is refused, and the client asks anew, as dhclient does with what is on its disk', async () => {
    await using network = await newPodNetwork(node, { plugin: 'bridge', families: [4] })
    await network.add()
    await using _ = await network.open()
    const said = await network.askWithOldLease('198.51.100.77')
    const ip = network.addresses[0]?.split('/')[0] ?? ''
    expect(said).to.match(/DHCPREQUEST for 198\.51\.100\.77 [^]*DHCPNAK from [^]*DHCPDISCOVER on/)
    expect(said).to.include(`\nnew_ip_address=${ip}\n`).and.include('\nreason=BOUND\n')
  })
})
