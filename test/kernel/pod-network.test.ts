// A VM straight on a pod link with addresses, made by Debian's CNI plugins and host-local: what a stock
// DHCP client behind the tap is told, and by whom it is heard.
import { expect } from 'chai'
import { after, before, describe, it } from 'mocha'

import { newLabNode, type LabNode } from '../../lab/node.ts'
import { listTraces } from '../../lab/traces.ts'
import { newPodNetwork, RANGES } from './fixture-pod-network.ts'

const DNS = { nameservers: ['10.96.0.10', 'fd00::10'], search: ['svc.test', 'test'] }

describe('a VM on a pod network', function () {
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

  for (const [plugin, mask, routes] of [
    ['bridge', '24', `0.0.0.0/0 ${RANGES[4].gateway}`],
    ['ptp', '32', `198.51.100.1/32 0.0.0.0 0.0.0.0/0 198.51.100.1 198.51.100.0/24 198.51.100.1`],
  ] as const)
    it(`is told the pod's address on a link of ${plugin}`, async () => {
      await using network = await newPodNetwork(node, { plugin, families: [4, 6] })
      expect((await network.bind('ADD', { dns: DNS })).stdout).to.include('cniVersion')
      for (const answer of [await network.bind('CHECK'), await network.checkPrimary()])
        expect(answer, answer.stdout).to.include({ exitCode: 0 })
      await using _ = await network.open()
      expect(Object.fromEntries(await network.askIpv4())).to.include({
        ip: network.addresses[0]?.split('/')[0],
        mask,
        router: RANGES[4].gateway,
        staticroutes: routes,
        mtu: '1450',
        dns: '10.96.0.10',
        search: 'svc.test test',
        domain: 'svc.test',
        hostname: 'r1-launcher',
        lease: '4294967295',
      })
      expect(await network.readRouter()).to.deep.equal(await network.readGateway())
      expect(Object.fromEntries(await network.askIpv6('LL'))).to.include({
        reason: 'BOUND6',
        new_ip6_address: network.addresses[1]?.split('/')[0],
        new_dhcp6_name_servers: 'fd00::10',
        new_dhcp6_domain_search: 'svc.test. test.',
        new_fqdn_fqdn: 'r1-launcher',
      })
      // As a system does that a boot loader has loaded, which had the address before.
      expect((await network.askIpv6('LLT')).get('new_ip6_address')).to.equal(
        network.addresses[1]?.split('/')[0],
      )
    })
})
