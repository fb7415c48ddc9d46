// Addresses that a pod asks for by itself, and a wire in a chain of plugins.
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { expect } from 'chai'
import { after, afterEach, before, describe, it } from 'mocha'

import { toHostEndName } from '../../../core/name.ts'
import { run } from '../../../kernel/run.ts'
import { callPlugin, type CniAnswer, type CniCall } from '../../../lab/cni.ts'
import type { Manifest } from '../../../lab/manifests.ts'
import { newLabNetns, type LabNetns } from '../../../lab/netns.ts'
import { newLabNode, type LabNode } from '../../../lab/node.ts'
import { expectNoLinks, leavesNothing } from '../../nothing-left.ts'

const CONFIG = {
  cniVersion: '1.0.0',
  name: 'w',
  type: 'l2wire',
  capabilities: { ips: true, mac: true },
}

function toCall(command: string, netns: LabNetns, id: string, ifname = 'eth1'): CniCall {
  return {
    command,
    containerID: id,
    netns: netns.path,
    ifname,
    args: `IgnoreUnknown=1;K8S_POD_NAMESPACE=lab;K8S_POD_NAME=${id}`,
  }
}

interface Address {
  readonly local: string
  readonly prefixlen: number
  readonly tentative?: boolean
}

async function readAddresses(netns: LabNetns, ifname = 'eth1'): Promise<readonly Address[]> {
  const json = await netns.run(['ip', '-j', 'address', 'show', 'dev', ifname])
  const [link] = JSON.parse(json) as { addr_info: readonly Address[] }[]
  return link?.addr_info ?? []
}

async function listAddresses(netns: LabNetns, ifname?: string): Promise<readonly string[]> {
  const addresses = await readAddresses(netns, ifname)
  return addresses
    .map(({ local, prefixlen }) => `${local}/${prefixlen}`)
    .filter((text) => !text.startsWith('fe80:'))
}

/** The configuration's part that Multus makes of a pod's "ips". */
function ask(...ips: readonly string[]): object {
  return { runtimeConfig: { ips } }
}

async function ping(netns: LabNetns, address: string): Promise<void> {
  await netns.run(['busybox', 'ping', '-c', '1', '-W', '3', address])
}

async function callDebian(config: Manifest, call: CniCall): Promise<Manifest> {
  const plugin = join('/usr/lib/cni', String(config['type']))
  const answer = await callPlugin(plugin, call, JSON.stringify(config))
  expect(answer.exitCode, answer.stdout).to.equal(0)
  return answer.output ?? {}
}

describe('addresses', function () {
  this.timeout(90_000)
  let node: LabNode
  let a: LabNetns
  let b: LabNetns

  leavesNothing(async (made) => {
    node = made.use(await newLabNode())
    // Their stacks have IPv6 switched off for new interfaces: who asks for an address gets it all the same.
    a = made.use(await newLabNetns('a'))
    b = made.use(await newLabNetns('b'))
  })
  afterEach('leaves nothing', async () => {
    await expectNoLinks()
    expect(await node.listDocuments()).to.deep.equal([])
  })

  const add = async (netns: LabNetns, id: string, config: object): Promise<Manifest> =>
    node.mustCall({ ...CONFIG, ...config }, toCall('ADD', netns, id))
  const del = async (netns: LabNetns, id: string): Promise<Manifest> =>
    node.mustCall(CONFIG, toCall('DEL', netns, id))
  const check = async (netns: LabNetns, id: string, prevResult: Manifest): Promise<CniAnswer> =>
    node.call({ ...CONFIG, prevResult }, toCall('CHECK', netns, id))
  it('are there and answer when ADD is done, IPv4 and IPv6', async () => {
    const result = await add(a, 'c1', ask('10.0.0.1/24', 'fd00::1/64'))
    expect(result['ips']).to.deep.equal([
      { address: '10.0.0.1/24', interface: 1 },
      { address: 'fd00::1/64', interface: 1 },
    ])
    expect(result['interfaces']).to.deep.equal([
      { name: toHostEndName('c1', 'eth1') },
      { name: 'eth1', mac: (result['interfaces'] as Manifest[])[1]?.['mac'], sandbox: a.path },
    ])
    // Without a far end, too: no address waits for a cable.
    const set = (await readAddresses(a)).filter(({ local }) => !local.startsWith('fe80:'))
    expect(set.map(({ tentative }) => tentative)).to.deep.equal([undefined, undefined])
    await add(b, 'c2', ask('10.0.0.2/24', 'fd00::2/64'))
    await Promise.all([ping(b, 'fd00::1'), ping(a, '10.0.0.2')])
    expect((await check(a, 'c1', result)).exitCode).to.equal(0)
    await del(a, 'c1')
    await del(b, 'c2')
  })

  it('outlive a link that goes down and up', async () => {
    await add(a, 'c1', ask('fd00::1/64'))
    await a.run(['ip', 'link', 'set', 'dev', 'eth1', 'down'])
    await a.run(['ip', 'link', 'set', 'dev', 'eth1', 'up'])
    expect(await listAddresses(a)).to.deep.equal(['fd00::1/64'])
    await del(a, 'c1')
  })

  it('come from IP= in CNI_ARGS, which Multus sends without the capability', async () => {
    const call = toCall('ADD', a, 'c1')
    const result = await node.mustCall(CONFIG, { ...call, args: `${call.args};IP=10.0.0.1/24` })
    expect(result['ips']).to.deep.equal([{ address: '10.0.0.1/24', interface: 1 }])
    expect(await listAddresses(a)).to.deep.equal(['10.0.0.1/24'])
    await del(a, 'c1')
  })

  it('are none unless asked for', async () => {
    const result = await add(a, 'c1', {})
    expect(result).to.not.have.any.keys('ips', 'routes', 'dns')
    expect(await readAddresses(a)).to.deep.equal([])
    await del(a, 'c1')
  })

  it("stay on a VM's pod link under its tap", async () => {
    const config = { ...CONFIG, ...ask('10.0.0.1/24') }
    await node.mustCall(config, toCall('ADD', a, 'c1', 'eth0'))
    const bind = { ...CONFIG, name: 'bind', type: 'l2wire-bind' }
    const binding = { ...bind, args: { cni: { logicNetworkName: 'default' } } }
    expect(await node.mustCall(binding, toCall('ADD', a, 'c1', 'net1'))).to.deep.equal({
      cniVersion: '1.0.0',
    })
    expect(await listAddresses(a, 'eth0')).to.deep.equal(['10.0.0.1/24'])
    await node.mustCall(binding, toCall('DEL', a, 'c1', 'net1'))
    await node.mustCall(CONFIG, toCall('DEL', a, 'c1', 'eth0'))
  })

  it('that the kernel refuses take everything back, and an older sandbox has its cable again', async () => {
    await add(a, 'c1', {})
    await add(b, 'c2', {})
    await using newer = await newLabNetns('newer')
    const call = { ...toCall('ADD', newer, 'c3'), args: toCall('ADD', a, 'c1').args ?? '' }
    // No other interface may have what is lo's.
    const answer = await node.call({ ...CONFIG, ...ask('::1/128') }, call)
    expect(answer.output).to.include({ code: 100 })
    expect(answer.output?.['msg']).to.include('addresses and routes').and.include(newer.path)
    expect(answer.output?.['details']).to.include('::1/128')
    expect(await newer.run(['ip', '-br', 'link', 'show'])).to.not.include('eth1')
    expect(await b.run(['ip', '-br', 'link', 'show', 'dev', 'eth1'])).to.include('LOWER_UP')
    await del(a, 'c1')
    await del(b, 'c2')
  })

  it('CHECK misses what is gone, and leaves the owner what is theirs', async () => {
    const result = await add(a, 'c1', ask('10.0.0.1/24', 'fd00::1/64'))
    await a.run(['ip', 'address', 'add', '10.5.0.1/24', 'dev', 'eth1'])
    expect((await check(a, 'c1', result)).exitCode).to.equal(0)
    await a.run(['ip', 'address', 'del', 'fd00::1/64', 'dev', 'eth1'])
    const answer = await check(a, 'c1', result)
    expect(answer.output).to.include({ code: 105 })
    expect(answer.output?.['msg']).to.include('fd00::1/64 is gone')
    // A later plugin of the chain took it out of the result.
    const ips = (result['ips'] as Manifest[]).slice(0, 1)
    expect((await check(a, 'c1', { ...result, ips })).exitCode).to.equal(0)
    await del(a, 'c1')
  })

  describe('in a chain', () => {
    let dataDir: string
    before(async () => {
      dataDir = await mkdtemp(join(tmpdir(), 'l2w-tuning-'))
    })
    after(async () => {
      await rm(dataDir, { recursive: true })
    })
    for (const cniVersion of ['0.3.1', '0.4.0', '1.0.0'])
      it(`of ${cniVersion}, before tuning and bandwidth`, async () => {
        const wire = { ...CONFIG, ...ask('10.0.0.1/24'), cniVersion }
        const mac = '02:00:00:00:00:77'
        const tuning = { cniVersion, name: 'w', type: 'tuning', mac, dataDir }
        const rates = { ingressRate: 8_000_000, ingressBurst: 8_000_000 }
        const bandwidth = { cniVersion, name: 'w', type: 'bandwidth', ...rates }
        const call = toCall('ADD', a, 'c1')
        const first = await node.mustCall(wire, call)
        const second = await callDebian({ ...tuning, prevResult: first }, call)
        const result = await callDebian({ ...bandwidth, prevResult: second }, call)
        expect(result['interfaces']).to.deep.include({ name: 'eth1', mac, sandbox: a.path })
        expect((result['ips'] as Manifest[])[0]).to.include({
          address: '10.0.0.1/24',
          interface: 1,
        })
        const host = toHostEndName('c1', 'eth1')
        expect(await run(['tc', 'qdisc', 'show', 'dev', host])).to.include('tbf')

        await add(b, 'c2', ask('10.0.0.2/24'))
        await ping(b, '10.0.0.1')
        expect(await run(['tc', 'qdisc', 'show', 'dev', host])).to.include('tbf')
        if (cniVersion !== '0.3.1') {
          const checking = { ...call, command: 'CHECK' }
          await node.mustCall({ ...wire, prevResult: result }, checking)
          await callDebian({ ...tuning, prevResult: result }, checking)
          await callDebian({ ...bandwidth, prevResult: result }, checking)
        }
        const deleting = { ...call, command: 'DEL' }
        await callDebian({ ...bandwidth, prevResult: result }, deleting)
        await callDebian({ ...tuning, prevResult: result }, deleting)
        await node.mustCall({ ...wire, prevResult: result }, deleting)
        await del(b, 'c2')
      })

    it('that limits what a container sends is refused, and the wire goes on', async () => {
      const call = toCall('ADD', a, 'c1')
      const prevResult = await node.mustCall({ ...CONFIG, ...ask('10.0.0.1/24') }, call)
      const rates = { egressRate: 8_000_000, egressBurst: 8_000_000 }
      const bandwidth = { cniVersion: '1.0.0', name: 'w', type: 'bandwidth', ...rates, prevResult }
      const answer = await callPlugin('/usr/lib/cni/bandwidth', call, JSON.stringify(bandwidth))
      expect(answer.exitCode).to.equal(1)
      expect(answer.output?.['msg']).to.include('ingress qdisc')
      await add(b, 'c2', ask('10.0.0.2/24'))
      await ping(b, '10.0.0.1')
      await callDebian(bandwidth, { ...call, command: 'DEL' })
      await del(a, 'c1')
      await del(b, 'c2')
    })

    it('behind another plugin keeps its result, and counts on from it', async () => {
      const loopback = { cniVersion: '1.0.0', name: 'w', type: 'loopback' }
      const prevResult = await callDebian(loopback, toCall('ADD', a, 'c1', 'lo'))
      const result = await add(a, 'c1', { ...ask('10.0.0.1/24'), prevResult })
      const interfaces = result['interfaces'] as Manifest[]
      expect(interfaces.map(({ name }) => name)).to.deep.equal([
        'lo',
        toHostEndName('c1', 'eth1'),
        'eth1',
      ])
      expect(result['ips']).to.deep.equal([
        ...(prevResult['ips'] as Manifest[]),
        { address: '10.0.0.1/24', interface: 2 },
      ])
      expect((await check(a, 'c1', result)).exitCode).to.equal(0)
      await del(a, 'c1')
      await a.run(['ip', 'link', 'set', 'dev', 'lo', 'up'])
    })
  })
})
