// Who calls our plugin where there is no Multus: the CNI project's own library by cnitool, and containerd.
// Behind it in the list stand the reference plugins tuning and bandwidth.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { expect } from 'chai'
import { after, afterEach, before, describe, it } from 'mocha'

import { SOCKET_VARIABLE } from '../../core/cni/socket.ts'
import { ensureClusterBinary } from '../../lab/cluster-binaries.ts'
import { newLabContainerd } from '../../lab/containerd.ts'
import { ROOT, type Manifest } from '../../lab/manifests.ts'
import { newLabNetns, type LabNetns } from '../../lab/netns.ts'
import { newLabNode, type LabNode } from '../../lab/node.ts'
import { newNetnsStation } from '../../kernel/tester/netns-station.ts'
import { run } from '../../kernel/run.ts'
import type { Station } from '../../kernel/tester/station.ts'
import { expectTransparent } from '../expect-transparent.ts'
import { leavesNothing } from '../nothing-left.ts'

/** Room for the tester's longest frame. */
const MTU = 9216
const RATES = { ingressRate: 100_000_000, ingressBurst: 8_000_000 }

function toStation(netns: string, ifname: string): Station {
  return newNetnsStation(run, { label: netns, netns, ifname })
}

function toList(cniVersion: string, ...behind: readonly Manifest[]): Manifest {
  return { cniVersion, name: 'w', plugins: [{ type: 'l2wire', mtu: MTU }, ...behind] }
}

describe('without Multus', function () {
  this.timeout(90_000)
  let node: LabNode

  leavesNothing(async (made) => {
    node = made.use(await newLabNode())
  })
  afterEach('leaves nothing', async () => {
    expect(await node.listDocuments()).to.deep.equal([])
  })

  describe('cnitool', () => {
    let folder: string
    let a: LabNetns
    let b: LabNetns

    before(async () => {
      folder = await mkdtemp(join(tmpdir(), 'l2w-cnitool-'))
      for (const name of ['bin', 'net', 'var']) await mkdir(join(folder, name))
      await symlink(join(ROOT, 'dist/bin/l2wire'), join(folder, 'bin/l2wire'))
      for (const name of ['tuning', 'bandwidth'] as const)
        await symlink(await ensureClusterBinary(name), join(folder, 'bin', name))
      const tuning = { type: 'tuning', sysctl: { 'net.ipv4.conf.eth1.log_martians': '1' } }
      const list = toList('1.1.0', tuning, { type: 'bandwidth', ...RATES })
      await writeFile(join(folder, 'net/w.conflist'), JSON.stringify(list))
      a = await newLabNetns('a', { ipv6: false })
      b = await newLabNetns('b', { ipv6: false })
    })
    after(async () => {
      await a[Symbol.asyncDispose]()
      await b[Symbol.asyncDispose]()
      await rm(folder, { recursive: true })
    })

    /** What it says when it fails; empty when it does not. */
    const call = async (verb: string, netns: LabNetns): Promise<string> => {
      const executable = await ensureClusterBinary('cnitool')
      // The library keeps results in /var/lib/cni, wherever that is.
      const script = 'mount --bind "$0" /var/lib && exec "$@"'
      const argv = ['--mount', 'sh', '-c', script, join(folder, 'var'), executable]
      const child = spawn('unshare', [...argv, verb, 'w', netns.path], {
        env: {
          ...process.env,
          NETCONFPATH: join(folder, 'net'),
          CNI_PATH: join(folder, 'bin'),
          CNI_IFNAME: 'eth1',
          [SOCKET_VARIABLE]: node.socket,
        },
        stdio: ['ignore', 'ignore', 'pipe'],
      })
      let said = ''
      child.stderr.setEncoding('utf8').on('data', (text: string) => (said += text))
      const [code] = (await once(child, 'close')) as [number | null]
      return code === 0 ? '' : `exit code ${code}: ${said}`
    }

    it('adds, checks and deletes, with tuning and bandwidth behind', async () => {
      expect(await call('status', a)).to.equal('')
      for (const netns of [a, b]) expect(await call('add', netns)).to.equal('')
      for (const netns of [a, b]) expect(await call('check', netns)).to.equal('')
      const martians = ['sysctl', '-n', 'net.ipv4.conf.eth1.log_martians']
      expect(await a.run(martians), 'tuning did its part').to.equal('1\n')
      const qdiscs = (await run(['tc', 'qdisc', 'show'])).split('\n')
      const limited = qdiscs.filter((line) => /^qdisc tbf .* dev lw/.test(line))
      expect(limited, 'so did bandwidth').to.have.length(2)
      await expectTransparent(toStation(a.path, 'eth1'), toStation(b.path, 'eth1'))
      for (const netns of [a, b, a]) expect(await call('del', netns)).to.equal('')
    })

    it('says so when the agent is away: not ready, try again', async () => {
      await node.stopAgent('SIGTERM')
      expect(await call('status', a)).to.include('agent')
      expect(await call('add', a)).to.include('agent')
      await node.startAgent()
      expect(await call('status', a)).to.equal('')
    })

    it('collects garbage: the library deletes what it knows of, and then says GC', async () => {
      for (const netns of [a, b]) expect(await call('add', netns)).to.equal('')
      expect(await node.listDocuments()).to.not.deep.equal([])
      expect(await call('gc', a)).to.equal('')
      expect(await node.listDocuments()).to.deep.equal([])
    })

    it("collects no other runtime's: cnitool has no list; a runtime's list says what stays", async () => {
      const config = { cniVersion: '1.1.0', name: 'w', type: 'l2wire' }
      const eth1 = { containerID: 'other', ifname: 'eth1' }
      await node.mustCall(config, { command: 'ADD', netns: b.path, ...eth1 })
      expect(await call('add', a)).to.equal('')
      expect(await call('gc', a)).to.equal('')
      const left = ['default.w.json', 'other@eth1.json']
      expect(await node.listDocuments()).to.deep.equal(left)
      // As the library writes it, under both names.
      const collect = async (list: readonly object[]): Promise<Manifest> => {
        const lists = { 'cni.dev/valid-attachments': list, 'cni.dev/attachments': list }
        return node.mustCall({ ...config, ...lists }, { command: 'GC' })
      }
      await collect([eth1])
      expect(await node.listDocuments()).to.deep.equal(left)
      await collect([])
      expect(await node.listDocuments()).to.deep.equal([])
    })
  })

  it("containerd's ctr plugs its containers in, and unplugs those that end", async () => {
    // A container's own stack is to be quiet, as the cable tester wants it.
    const sysctl = { 'net.ipv6.conf.eth0.disable_ipv6': '1' }
    const list = toList('1.0.0', { type: 'tuning', sysctl }, { type: 'bandwidth', ...RATES })
    await using containerd = await newLabContainerd(list, node.socket)
    // LOWER_UP goes at once, and NO-CARRIER comes when the kernel finds the time.
    const hasCarrier = async (name: string): Promise<boolean> => {
      const shown = await containerd.exec(name, ['/bin/ip', 'link', 'show', 'dev', 'eth0'])
      return shown.includes('LOWER_UP')
    }
    const a = await containerd.start('a')
    expect(await hasCarrier('a'), 'alone').to.equal(false)
    const b = await containerd.start('b')
    await expectTransparent(toStation(a, 'eth0'), toStation(b, 'eth0'))
    expect(await hasCarrier('b'), 'with the other').to.equal(true)
    await containerd.remove('a')
    expect(await hasCarrier('b'), 'alone again').to.equal(false)
    expect(await node.listDocuments()).to.deep.equal(['default.w.json', 'default-b@eth0.json'])
  })
})
