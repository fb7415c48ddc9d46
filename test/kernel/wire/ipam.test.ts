// Addresses from IPAM plugins as they should be: Debian's own.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmod, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'

import { expect } from 'chai'
import { describe, it } from 'mocha'

import type { Manifest } from '../../../lab/manifests.ts'
import { expectSoon } from '../../expect-soon.ts'
import { CONFIG, useIpam } from '../fixture-ipam.ts'

const BIND = {
  cniVersion: '1.0.0',
  name: 'bind',
  type: 'l2wire-bind',
  args: { cni: { logicNetworkName: 'default' } },
}

describe('IPAM plugins', function () {
  this.timeout(90_000)
  const { place, toCall, hostLocal, listLeases, add, del } = useIpam()

  for (const cniVersion of ['0.3.1', '0.4.0', '1.0.0'])
    it(`static: addresses, routes and DNS, as ${cniVersion} says them`, async () => {
      const { node, a } = place()
      const addresses = [
        { address: '10.0.0.2/24', gateway: '10.0.0.1' },
        { address: 'fd00::2/64', gateway: 'fd00::1' },
      ]
      const routes = [{ dst: '0.0.0.0/0' }, { dst: '10.9.0.0/16', gw: '10.0.0.9' }, { dst: '::/0' }]
      const dns = { nameservers: ['10.0.0.1'], search: ['lab'] }
      const ipam = { type: 'static', addresses, routes, dns }
      const config = { ...CONFIG, cniVersion, ipam }
      const result = await add(a, 'c1', config)
      const isOld = cniVersion.startsWith('0.')
      expect(result).to.deep.include({
        cniVersion,
        ips: addresses.map((ip, at) => ({
          ...(isOld ? { version: at === 0 ? '4' : '6' } : {}),
          ...ip,
          interface: 1,
        })),
        routes,
        dns,
      })
      const shown = await a.run(['ip', 'route', 'show'])
      expect(shown).to.include('default via 10.0.0.1 dev eth1')
      expect(shown).to.include('10.9.0.0/16 via 10.0.0.9 dev eth1')
      expect(await a.run(['ip', '-6', 'route', 'show'])).to.include('default via fd00::1 dev eth1')
      if (cniVersion !== '0.3.1') {
        const checking = { ...config, prevResult: result }
        await node.mustCall(checking, toCall('CHECK', a, 'c1'))
        await a.run(['ip', 'route', 'del', '10.9.0.0/16'])
        const answer = await node.call(checking, toCall('CHECK', a, 'c1'))
        expect(answer.output).to.include({ code: 105 })
        expect(answer.output?.['msg']).to.include('10.9.0.0/16 via 10.0.0.9 is gone')
      }
      await del(a, 'c1', config)
    })

  it('host-local: an address for each end, checked, and given back', async () => {
    const { node, a, b, leases } = place()
    const config = hostLocal()
    const result = await add(a, 'c1', config)
    await add(b, 'c2', config)
    expect(await listLeases()).to.deep.equal(['10.0.0.10', '10.0.0.11'])
    await a.run(['busybox', 'ping', '-c', '1', '-W', '3', '10.0.0.11'])
    const checking = { ...config, prevResult: result }
    await node.mustCall(checking, toCall('CHECK', a, 'c1'))
    await rm(join(leases, 'w', '10.0.0.10'))
    const answer = await node.call(checking, toCall('CHECK', a, 'c1'))
    expect(answer.exitCode).to.equal(1)
    expect(answer.output?.['msg']).to.include('IPAM plugin "host-local"')
    await del(a, 'c1', config)
    await del(b, 'c2', config)
    await del(b, 'c2', config)
  })

  it('decides on the addresses that the pod asks for', async () => {
    const { a } = place()
    const config = { ...hostLocal(), runtimeConfig: { ips: ['10.0.0.77'] } }
    const result = await add(a, 'c1', config)
    expect((result['ips'] as Manifest[])[0]).to.include({ address: '10.0.0.77/24' })
    await del(a, 'c1', config)
  })

  it('a route to where another network leads does not take its place', async () => {
    const { a } = place()
    await a.run(['ip', 'link', 'add', 'name', 'l2wother', 'type', 'veth', 'peer', 'l2wpeer'])
    await a.run(['ip', 'address', 'add', '10.244.0.5/24', 'dev', 'l2wother'])
    await a.run(['ip', 'link', 'set', 'dev', 'l2wother', 'up'])
    await a.run(['ip', 'route', 'add', 'default', 'via', '10.244.0.1'])
    const config = hostLocal('host-local', { routes: [{ dst: '0.0.0.0/0' }] })
    await add(a, 'c1', config)
    const defaults = (await a.run(['ip', 'route', 'show', 'default'])).split('\n')
    expect(defaults[0]).to.include('dev l2wother')
    expect(defaults[1]).to.include('via 10.0.0.1 dev eth1')
    await del(a, 'c1', config)
    await a.run(['ip', 'link', 'del', 'dev', 'l2wother'])
  })

  it('is told of a GC, with what is still valid', async () => {
    const { node, folder } = place()
    const path = join(folder, 'bin', 'l2wgc')
    await writeFile(path, `#!/bin/sh\n[ $CNI_COMMAND = GC ] && cat >${folder}/gc\n`)
    await chmod(path, 0o755)
    const valid = { 'cni.dev/valid-attachments': [{ containerID: 'c1', ifname: 'eth1' }] }
    const config = { ...CONFIG, cniVersion: '1.1.0', ...valid }
    const call = { command: 'GC', path: join(folder, 'bin') }
    expect(await node.mustCall({ ...config, ipam: { type: 'l2wgc' } }, call)).to.deep.equal({})
    expect(JSON.parse(await readFile(join(folder, 'gc'), 'utf8'))).to.deep.include(valid)
    await rm(join(folder, 'gc'))
    expect(await node.mustCall(config, call)).to.deep.equal({})
  })

  it('says what its STATUS says', async () => {
    const { node, folder } = place()
    const path = join(folder, 'bin', 'l2wstatus')
    const words = '{"cniVersion":"1.1.0","code":50,"msg":"no addresses left"}'
    await writeFile(path, `#!/bin/sh\necho '${words}'\nexit 1\n`)
    await chmod(path, 0o755)
    const config = { ...CONFIG, cniVersion: '1.1.0', ipam: { type: 'l2wstatus' } }
    const answer = await node.call(config, { command: 'STATUS', path: join(folder, 'bin') })
    expect(answer.output).to.include({ code: 50 })
    expect(answer.output?.['msg']).to.include('l2wstatus').and.include('no addresses left')
  })

  it('dhcp: a lease over the wire, from dnsmasq at its far end', async () => {
    const { node, a, b, folder } = place()
    const server = { ...CONFIG, runtimeConfig: { ips: ['10.77.0.1/24'] } }
    await add(b, 'c2', server)
    const socket = join(folder, 'dhcp.sock')
    const log = join(folder, 'dnsmasq.log')
    const daemons = [
      spawn('/usr/lib/cni/dhcp', ['daemon', '-socketpath', socket], { stdio: 'ignore' }),
      spawn(
        'nsenter',
        [
          `--net=${b.path}`,
          'dnsmasq',
          '--keep-in-foreground',
          '--conf-file=/dev/null',
          '--port=0',
          '--user=root',
          '--interface=eth1',
          '--dhcp-range=10.77.0.100,10.77.0.150,255.255.255.0,1h',
          '--dhcp-authoritative',
          `--dhcp-leasefile=${join(folder, 'dnsmasq.leases')}`,
          `--pid-file=${join(folder, 'dnsmasq.pid')}`,
          `--log-facility=${log}`,
          '--log-dhcp',
        ],
        { stdio: 'ignore' },
      ),
    ]
    try {
      for (const file of ['dhcp.sock', 'dnsmasq.pid'])
        await expectSoon(`${file} is there`, async () => (await readdir(folder)).includes(file))
      const config = { ...CONFIG, ipam: { type: 'dhcp', daemonSocketPath: socket } }
      const result = await add(a, 'c1', config)
      const [ip] = result['ips'] as Manifest[]
      expect(ip?.['address']).to.match(/^10\.77\.0\.1\d\d\/24$/)
      expect(ip).to.include({ gateway: '10.77.0.1', interface: 1 })
      expect(await a.run(['ip', 'route', 'show', 'default'])).to.include('via 10.77.0.1 dev eth1')
      await a.run(['busybox', 'ping', '-c', '1', '-W', '3', '10.77.0.1'])
      await node.mustCall({ ...config, prevResult: result }, toCall('CHECK', a, 'c1'))
      const links = await a.run(['ip', '-br', 'link', 'show'])
      const vm = await node.call(BIND, { ...toCall('ADD', a, 'c1'), ifname: 'net1' })
      expect(vm.output).to.include({ code: 2 })
      expect(vm.output?.['msg']).to.include('"ipam.type" is "dhcp"')
      expect(await a.run(['ip', '-br', 'link', 'show'])).to.equal(links)
      await del(a, 'c1', config)
      const said = await a.run(['cat', log])
      expect(said).to.include('DHCPACK').and.include('DHCPRELEASE')
    } finally {
      for (const daemon of daemons) {
        const ended = daemon.exitCode === null ? once(daemon, 'exit') : undefined
        daemon.kill('SIGTERM')
        await ended
      }
      await del(b, 'c2', server)
    }
  })
})
