// What a VM's DHCP server is made to say: more than fits, of networks of two addresses, and host names
// that are words of its own.
import { readFile } from 'node:fs/promises'

import { expect } from 'chai'
import { describe, it } from 'mocha'

import { newLabNode, type LabNode } from '../../../lab/node.ts'
import { writeJsonFile } from '../../../store/json-file.ts'
import { expectLogged } from '../../expect-logged.ts'
import { leavesNothing } from '../../nothing-left.ts'
import { CONTAINER, newPodNetwork } from '../fixture-pod-network.ts'

const DNS = { nameservers: ['10.96.0.10', '10.96.0.11', '10.96.0.12'] }
const SEARCH = Array.from({ length: 25 }, (_, at) => `zone-${at}.department.corp.example.com`)

describe("what a VM's DHCP server says", function () {
  this.timeout(90_000)
  let node: LabNode
  leavesNothing(async (made) => {
    node = made.use(await newLabNode())
  })

  it('is what there is room for, the first ones, and a log line names the rest', async () => {
    await using network = await newPodNetwork(node, { plugin: 'bridge', families: [4, 6] })
    await network.add({ dns: { ...DNS, search: SEARCH } })
    await using _ = await network.open()
    const told = await network.askIpv4()
    expect(told.get('search')?.split(' ')).to.deep.equal(SEARCH.slice(0, 7))
    expect(told.get('mtu')).to.equal('1450')
    const told6 = (await network.askIpv6('LL')).get('new_dhcp6_domain_search')
    expect(told6?.split(' ')).to.deep.equal(SEARCH.slice(0, 25).map((one) => `${one}.`))
    await expectLogged(node, /zone-7\.department\.corp\.example\.com \(IPv4\).*has no room/)
  })

  it('is routes before all, which nothing is reached without', async () => {
    const dsts = Array.from({ length: 60 }, (_, at) => `203.${at}.0.0/16`)
    await using network = await newPodNetwork(node, {
      plugin: 'bridge',
      families: [4],
      routes: dsts.map((dst) => ({ dst })),
      podName: `${'x'.repeat(55)}-${'y'.repeat(7)}`,
    })
    await network.add({ dns: { ...DNS, search: SEARCH } })
    await using _ = await network.open()
    const told = await network.askIpv4()
    const routes = told.get('staticroutes')?.split(' ') ?? []
    expect(routes.slice(0, 2)).to.deep.equal(['0.0.0.0/0', '198.51.100.1'])
    expect(routes).to.have.length(2 * (1 + 35))
    expect(Object.fromEntries(told)).to.include({
      mtu: '1450',
      dns: DNS.nameservers.join(' '),
      domain: SEARCH[0],
      hostname: `${'x'.repeat(55)}-${'y'.repeat(7)}`,
    })
    await expectLogged(node, /203\.59\.0\.0\/16,198\.51\.100\.1.*has no room/)
  })

  it("is no broadcast address that is a neighbour's", async () => {
    await using network = await newPodNetwork(node, { plugin: 'bridge', families: [4] })
    for (const words of [
      'address flush dev eth0',
      'address add 198.51.100.2/31 dev eth0',
      'route add default via 198.51.100.3 dev eth0',
    ])
      await network.pod.run(['ip', ...words.split(' ')])
    await network.add()
    await using _ = await network.open()
    const told = await network.askIpv4()
    expect(Object.fromEntries(told)).to.include({
      ip: '198.51.100.2',
      mask: '31',
      router: '198.51.100.3',
    })
    expect(told.has('broadcast')).to.equal(false)
  })

  it('is the options that its VMI asks for, letter by letter, and none that would break it', async () => {
    const texts = [String.raw`say "no", \n\t`, '1', '10.0.0.1,10.0.0.2', '# é']
    const privateOptions = texts.map((text, at) => ({ code: 224 + at, text }))
    const dhcpOptions = [
      { code: 66, text: 'tftp.example' },
      { code: 67, text: 'pxe/router.0' },
      { code: 42, addresses: ['192.0.2.1', '192.0.2.2'] },
      ...privateOptions,
      // There is no room for it in an answer to this client.
      { code: 248, text: 'x'.repeat(255) },
      { code: 250, text: 'two\nlines' },
      { code: 251, text: 'y'.repeat(256) },
    ]
    await using network = await newPodNetwork(node, { plugin: 'bridge', families: [4] })
    await network.add()
    // As an ADD writes it that has found them in a VMI; test/cluster/launcher.test.ts has one.
    await node.stopAgent('SIGTERM')
    const file = `${node.stateDir}/attachments/${CONTAINER}@net1.json`
    const document = JSON.parse(await readFile(file, 'utf8')) as { readonly lease: object }
    await writeJsonFile(file, { ...document, lease: { ...document.lease, dhcpOptions } })
    await node.startAgent()
    await using _ = await network.open()
    const told = await network.askIpv4()
    expect(Object.fromEntries(told)).to.include({
      ip: network.addresses[0]?.split('/')[0],
      sname: 'tftp.example',
      boot_file: 'pxe/router.0',
      ntpsrv: '192.0.2.1 192.0.2.2',
    })
    for (const { code, text } of privateOptions)
      expect(told.get(`opt${code}`), text).to.equal(Buffer.from(text).toString('hex'))
    for (const code of [250, 251]) expect(told.has(`opt${code}`)).to.equal(false)
  })

  for (const podName of ['ignore', '3600', '1h'])
    it(`is its host name, "${podName}", too`, async () => {
      await using network = await newPodNetwork(node, {
        plugin: 'bridge',
        families: [4, 6],
        podName,
      })
      await network.add()
      await using _ = await network.open()
      expect(Object.fromEntries(await network.askIpv4())).to.include({
        ip: network.addresses[0]?.split('/')[0],
        lease: '4294967295',
        hostname: podName,
      })
      expect((await network.askIpv6('LL')).get('new_ip6_address')).to.equal(
        network.addresses[1]?.split('/')[0],
      )
    })
})
