// Addresses from IPAM plugins: Debian's own, and scripts that fail as no plugin should. The address is
// given back whatever goes wrong, and nothing half-made is left.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmod, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { expect } from 'chai'
import { after, afterEach, before, beforeEach, describe, it } from 'mocha'

import { toHostDeviceName } from '../../core/name.ts'
import { PLUGIN_FOLDERS, type CniCall } from '../../lab/cni.ts'
import { ROOT, type Manifest } from '../../lab/manifests.ts'
import { newLabNetns, type LabNetns } from '../../lab/netns.ts'
import { newLabNode, type LabNode } from '../../lab/node.ts'
import { listTraces } from '../../lab/traces.ts'
import { expectSoon } from '../expect-soon.ts'

const CONFIG = { cniVersion: '1.0.0', name: 'w', type: 'l2wire' }
const BIND = {
  cniVersion: '1.0.0',
  name: 'bind',
  type: 'l2wire-bind',
  args: { cni: { logicNetworkName: 'default' } },
}
const HOST_LOCAL = '/usr/lib/cni/host-local'

describe('IPAM plugins', function () {
  this.timeout(90_000)
  let node: LabNode
  let a: LabNetns
  let b: LabNetns
  let folder: string
  let leases: string
  let traces: readonly string[]

  before(async () => {
    traces = await listTraces()
    folder = await mkdtemp(join(tmpdir(), 'l2w-ipam-'))
    leases = join(folder, 'leases')
    await mkdir(join(folder, 'bin'))
    node = await newLabNode()
    a = await newLabNetns('a')
    b = await newLabNetns('b')
  })
  after(async () => {
    await b[Symbol.asyncDispose]()
    await a[Symbol.asyncDispose]()
    await node[Symbol.asyncDispose]()
    await rm(folder, { recursive: true })
    expect(await listTraces()).to.deep.equal(traces)
  })
  afterEach('leaves nothing', async () => {
    expect((await listTraces()).filter((line) => line.startsWith('link'))).to.deep.equal([])
    expect(await node.listDocuments()).to.deep.equal([])
    expect(await listLeases()).to.deep.equal([])
    // host-local goes on from the last address it gave.
    await rm(leases, { recursive: true, force: true })
  })

  function toCall(command: string, netns: LabNetns, id: string): CniCall {
    return {
      command,
      containerID: id,
      netns: netns.path,
      ifname: 'eth1',
      args: `IgnoreUnknown=1;K8S_POD_NAMESPACE=lab;K8S_POD_NAME=${id}`,
      path: [join(folder, 'bin'), ...PLUGIN_FOLDERS].join(':'),
    }
  }
  /** A network of host-local, or of a script that runs it, with its leases in our folder. */
  function hostLocal(type = 'host-local', more: object = {}): Manifest {
    const ranges = [[{ subnet: '10.0.0.0/24', rangeStart: '10.0.0.10', gateway: '10.0.0.1' }]]
    return { ...CONFIG, ipam: { type, ranges, dataDir: leases, ...more } }
  }
  /** The addresses that host-local has given away. */
  async function listLeases(): Promise<readonly string[]> {
    const files = await readdir(join(leases, 'w')).catch(() => [])
    return files.filter((file) => /^\d+\./.test(file)).sort()
  }
  async function writePlugin(name: string, add: string): Promise<void> {
    const path = join(folder, 'bin', name)
    const rest = `exec ${HOST_LOCAL}`
    await writeFile(path, `#!/bin/sh\nif [ $CNI_COMMAND = ADD ]; then\n${add}\nfi\n${rest}\n`)
    await chmod(path, 0o755)
  }
  it('is told of a GC, with what is still valid', async () => {
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

  // What the plugin of "that take their time" goes by.
  const isAsked = async (): Promise<boolean> => (await readdir(folder)).includes('asked')
  const go = async (): Promise<void> => writeFile(join(folder, 'go'), '')
  const add = async (netns: LabNetns, id: string, config: Manifest): Promise<Manifest> =>
    node.mustCall(config, toCall('ADD', netns, id))
  const del = async (netns: LabNetns, id: string, config: Manifest): Promise<Manifest> =>
    node.mustCall(config, toCall('DEL', netns, id))

  for (const cniVersion of ['0.3.1', '0.4.0', '1.0.0'])
    it(`static: addresses, routes and DNS, as ${cniVersion} says them`, async () => {
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
    const config = { ...hostLocal(), runtimeConfig: { ips: ['10.0.0.77'] } }
    const result = await add(a, 'c1', config)
    expect((result['ips'] as Manifest[])[0]).to.include({ address: '10.0.0.77/24' })
    await del(a, 'c1', config)
  })

  it('a route to where another network leads does not take its place', async () => {
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

  const failures: readonly { name: string; add: string; code: number; words: readonly string[] }[] =
    [
      {
        name: 'says why',
        add: `${HOST_LOCAL} >/dev/null; echo '{"cniVersion":"1.0.0","code":11,"msg":"no lease","details":"later"}'; exit 1`,
        code: 11,
        words: ['no lease', 'later'],
      },
      {
        name: 'ends without a word',
        add: `${HOST_LOCAL} >/dev/null; exit 3`,
        code: 110,
        words: ['exit code 3'],
      },
      { name: 'dies', add: `${HOST_LOCAL} >/dev/null; kill -9 $$`, code: 110, words: ['SIGKILL'] },
      {
        name: 'prints garbage',
        add: `${HOST_LOCAL} >/dev/null; echo garbage; exit 0`,
        code: 110,
        words: ['garbage', 'a JSON object'],
      },
      {
        name: 'prints nothing',
        add: `${HOST_LOCAL} >/dev/null; exit 0`,
        code: 110,
        words: ['ips', 'at least one address'],
      },
      {
        name: 'prints an address that is none',
        add: `${HOST_LOCAL} >/dev/null; echo '{"cniVersion":"1.0.0","ips":[{"address":"10.0.0.1 dev lo"}]}'; exit 0`,
        code: 110,
        words: ['ips[0].address', '10.0.0.1 dev lo'],
      },
      {
        name: 'gives a next hop that is out of reach',
        add: `${HOST_LOCAL} >/dev/null; echo '{"ips":[{"address":"10.0.0.10/24"}],"routes":[{"dst":"0.0.0.0/0","gw":"192.168.7.7"}]}'; exit 0`,
        code: 100,
        words: ['addresses and routes', '192.168.7.7'],
      },
    ]
  for (const { name, add: script, code, words } of failures)
    it(`one that ${name}: error ${code}, and all is taken back`, async () => {
      await writePlugin('l2wfail', script)
      const answer = await node.call(hostLocal('l2wfail'), toCall('ADD', a, 'c1'))
      expect(answer.exitCode).to.equal(1)
      expect(answer.output, answer.stdout).to.include({ code })
      const text = JSON.stringify(answer.output)
      if (code !== 100) expect(text).to.include('l2wfail')
      for (const word of words) expect(text).to.include(word)
      expect(await a.run(['ip', '-br', 'link', 'show'])).to.not.include('eth1')
      expect(await listLeases()).to.deep.equal([])
    })

  it('one that fails for a newer sandbox costs the older one nothing', async () => {
    await writePlugin('l2wfail', 'exit 1')
    await add(a, 'c1', CONFIG)
    await add(b, 'c2', CONFIG)
    await using newer = await newLabNetns('newer')
    const call = { ...toCall('ADD', newer, 'c3'), args: toCall('ADD', a, 'c1').args ?? '' }
    expect((await node.call(hostLocal('l2wfail'), call)).output).to.include({ code: 110 })
    for (const netns of [a, b])
      expect(await netns.run(['ip', '-br', 'link', 'show', 'dev', 'eth1'])).to.include('LOWER_UP')
    await del(a, 'c1', CONFIG)
    await del(b, 'c2', CONFIG)
  })

  it('says what its STATUS says', async () => {
    const path = join(folder, 'bin', 'l2wstatus')
    const words = '{"cniVersion":"1.1.0","code":50,"msg":"no addresses left"}'
    await writeFile(path, `#!/bin/sh\necho '${words}'\nexit 1\n`)
    await chmod(path, 0o755)
    const config = { ...CONFIG, cniVersion: '1.1.0', ipam: { type: 'l2wstatus' } }
    const answer = await node.call(config, { command: 'STATUS', path: join(folder, 'bin') })
    expect(answer.output).to.include({ code: 50 })
    expect(answer.output?.['msg']).to.include('l2wstatus').and.include('no addresses left')
  })

  describe('that take their time', () => {
    const waiting = `${HOST_LOCAL} >FOLDER/result; touch FOLDER/asked; while [ ! -e FOLDER/go ]; do sleep 0.05; done; cat FOLDER/result; exit 0`
    beforeEach(async () => {
      await writePlugin('l2wslow', waiting.replaceAll('FOLDER', folder))
    })
    afterEach(async () => {
      for (const file of ['asked', 'go', 'result']) await rm(join(folder, file), { force: true })
    })

    it('have the wire joined, and keep no far end waiting', async () => {
      const config = hostLocal('l2wslow')
      const adding = add(a, 'c1', config)
      await expectSoon('the plugin is asked', isAsked)
      await add(b, 'c2', CONFIG)
      expect(await a.run(['ip', '-br', 'link', 'show', 'dev', 'eth1'])).to.include('LOWER_UP')
      await go()
      expect((await adding)['ips']).to.have.length(1)
      await del(a, 'c1', config)
      await del(b, 'c2', CONFIG)
    })

    it('do not outlive the agent: error 11, the address is given back', async () => {
      const adding = node.call(hostLocal('l2wslow'), toCall('ADD', a, 'c1'))
      await expectSoon('the plugin is asked', isAsked)
      await node.stopAgent('SIGKILL')
      await go()
      expect((await adding).output).to.include({ code: 11 })
      expect(await listLeases()).to.deep.equal([])
      await node.startAgent()
      expect(await a.run(['ip', '-br', 'link', 'show'])).to.not.include('eth1')
    })

    it('do not keep an agent from ending', async () => {
      const adding = node.call(hostLocal('l2wslow'), toCall('ADD', a, 'c1'))
      await expectSoon('the plugin is asked', isAsked)
      await node.stopAgent('SIGTERM')
      expect(await a.run(['ip', '-br', 'link', 'show'])).to.not.include('eth1')
      await go()
      expect((await adding).output).to.include({ code: 11 })
      await node.startAgent()
    })

    it('and whose shim is killed: the devices go at once, the address with the DEL', async () => {
      const config = { ...hostLocal('l2wslow'), socket: node.socket }
      const call = toCall('ADD', a, 'c1')
      const shim = spawn(join(ROOT, 'dist/bin/l2wire'), [], {
        env: {
          CNI_COMMAND: 'ADD',
          CNI_CONTAINERID: 'c1',
          CNI_NETNS: a.path,
          CNI_IFNAME: 'eth1',
          CNI_ARGS: call.args ?? '',
          CNI_PATH: call.path ?? '',
        },
        stdio: ['pipe', 'ignore', 'ignore'],
      })
      shim.stdin.end(JSON.stringify(config))
      await expectSoon('the plugin is asked', isAsked)
      const ended = once(shim, 'exit')
      shim.kill('SIGKILL')
      await ended
      const device = toHostDeviceName('c1', 'eth1')
      await expectSoon(
        'its devices are gone',
        async () => !(await listTraces()).some((line) => line.includes(device)),
      )
      await expectSoon(
        'its documents are gone',
        async () => (await node.listDocuments()).length === 0,
      )
      expect(await listLeases()).to.deep.equal(['10.0.0.10'])
      await go()
      await del(a, 'c1', config)
    })
  })

  describe('at a DEL', () => {
    it('get it also when the agent is away, which hears of it later', async () => {
      const config = hostLocal()
      await add(a, 'c1', config)
      await node.stopAgent('SIGTERM')
      await del(a, 'c1', config)
      expect(await listLeases()).to.deep.equal([])
      expect(await a.run(['ip', '-br', 'link', 'show'])).to.include('eth1')
      await node.startAgent()
    })

    it('get it also when the agent knows nothing of the end', async () => {
      const config = hostLocal()
      await add(a, 'c1', config)
      await del(a, 'c1', CONFIG)
      expect(await listLeases()).to.deep.equal(['10.0.0.10'])
      await del(a, 'c1', config)
    })

    it('that fail do not keep the devices, and are heard', async () => {
      await writePlugin('l2wfail', ':')
      const config = hostLocal('l2wfail')
      await add(a, 'c1', config)
      await writeFile(join(folder, 'bin', 'l2wfail'), '#!/bin/sh\nexit 9\n')
      const answer = await node.call(config, toCall('DEL', a, 'c1'))
      expect(answer.output).to.include({ code: 110 })
      expect(answer.output?.['msg']).to.include('DEL of the IPAM plugin "l2wfail"')
      expect(await node.listDocuments()).to.deep.equal([])
      await del(a, 'c1', hostLocal())
    })

    it('that are not there any more keep no pod', async () => {
      await writePlugin('l2wgone', ':')
      const config = hostLocal('l2wgone')
      await add(a, 'c1', config)
      await rm(join(folder, 'bin', 'l2wgone'))
      const answer = await node.call(config, toCall('DEL', a, 'c1'))
      expect(answer).to.include({ exitCode: 0 })
      expect(answer.stderr).to.include('l2wgone')
      await del(a, 'c1', hostLocal())
    })
  })

  it('dhcp: a lease over the wire, from dnsmasq at its far end', async () => {
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
