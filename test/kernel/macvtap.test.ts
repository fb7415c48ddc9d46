// VMs by macvtap on real pod links, without a kubelet: the agent numbers the devices itself.
// device-plugin.test.ts has the kubelet's side, test/vm has QEMU behind the device.
import {
  chmod,
  lstat,
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  readlink,
  rm,
  writeFile,
} from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { expect } from 'chai'
import { after, afterEach, before, beforeEach, describe, it } from 'mocha'

import { toPodLinkName, toTapName } from '../../core/name.ts'
import { run } from '../../kernel/run.ts'
import { callPlugin, type CniCall } from '../../lab/cni.ts'
import { getNadConfig, readManifest, type Manifest } from '../../lab/manifests.ts'
import { newLabNetns, type LabNetns } from '../../lab/netns.ts'
import { newLabNode, type LabNode } from '../../lab/node.ts'
import { listTraces } from '../../lab/traces.ts'
import { expectSoon } from '../expect-soon.ts'
import { readLinks } from './fixture-links.ts'

const NETWORK = 'ge0'
const POD_LINK = toPodLinkName(NETWORK)
const TAP = toTapName(POD_LINK)
const WIRE = { cniVersion: '1.1.0', name: 'w', type: 'l2wire', mtu: 1400 }
const FIRST = 70_000_001

/** A device that is as ADD left it. */
function toWhole(tap: string, index: number): string {
  return `107:107 660 ${tap}/macvtap/tap${index}`
}

describe('the binding plugin by macvtap', function () {
  this.timeout(90_000)
  let node: LabNode
  let pod: LabNetns
  let bind: Manifest
  let traces: readonly string[]
  const sandbox = (ifname: string): Omit<CniCall, 'command'> => ({
    containerID: 'c1',
    netns: pod.path,
    ifname,
  })
  const toDevice = (index: number): string => join(node.folder, 'macvtap', `tap${index}`)
  /** What a container runtime reads of a device: kind, owner, mode and where it leads. */
  const readDevice = async (index: number): Promise<string> => {
    const found = await lstat(toDevice(index)).catch(() => undefined)
    if (found === undefined) return 'none'
    if (!found.isCharacterDevice()) return 'no device'
    const number = await run(['stat', '-c', '%Hr:%Lr', toDevice(index)]).catch(() => 'gone')
    const target = await readlink(`/sys/dev/char/${number.trim()}`).catch(() => 'nothing')
    const mode = (found.mode & 0o777).toString(8)
    return `${found.uid}:${found.gid} ${mode} ${target.replace(/^.*\/net\//, '')}`
  }
  const bindTo = (name: string): Manifest => ({
    ...bind,
    args: { cni: { logicNetworkName: name } },
  })
  const check = async (): Promise<Manifest | undefined> =>
    (await node.call({ ...bind, prevResult: {} }, { command: 'CHECK', ...sandbox('net1') })).output

  before(async () => {
    traces = await listTraces()
    node = await newLabNode()
    pod = await newLabNetns('launcher')
    bind = {
      ...getNadConfig(await readManifest('deploy/base/binding-nad-macvtap.yaml')),
      args: { cni: { logicNetworkName: NETWORK } },
    }
  })
  after(async () => {
    await pod[Symbol.asyncDispose]()
    await node[Symbol.asyncDispose]()
    expect(await listTraces()).to.deep.equal(traces)
  })

  it('makes a macvtap on the end of a wire, and a device for QEMU', async () => {
    await node.mustCall(WIRE, { command: 'ADD', ...sandbox(POD_LINK) })
    const answer = await node.mustCall(bind, { command: 'ADD', ...sandbox('net1') })
    expect(answer).to.deep.equal({ cniVersion: '1.1.0' })
    const links = await readLinks(pod)
    expect([...links.keys()]).to.have.members(['lo', POD_LINK, TAP])
    const podLink = links.get(POD_LINK)
    const tap = links.get(TAP)
    expect(tap?.linkinfo?.info_kind).to.equal('macvtap')
    expect(tap?.linkinfo?.info_data).to.include({ mode: 'passthru' })
    expect(tap, 'told the advertised MTU, with the MAC of the pod link').to.include({
      ifindex: FIRST,
      mtu: 1400,
      inet6_addr_gen_mode: 'none',
      qdisc: 'noqueue',
      address: podLink?.address,
    })
    expect(tap?.flags).to.include.members(['NOARP', 'PROMISC', 'UP']).and.not.include('MULTICAST')
    expect(podLink).to.include({ mtu: 9216, inet6_addr_gen_mode: 'none' })
    expect(podLink?.flags).to.include.members(['NOARP', 'UP']).and.not.include('MULTICAST')
    expect(await readDevice(FIRST)).to.equal(toWhole(TAP, FIRST))
    expect(await check()).to.equal(undefined)
  })

  it('is opened by user 107 without capabilities, once for each queue, and by nobody else', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'l2w-dev-'))
    try {
      await chmod(folder, 0o755)
      // As a container runtime does, with owner and mode.
      await run(['cp', '-a', toDevice(FIRST), folder])
      const open = async (id: string): Promise<string> => {
        const script = `exec 3<>"$0" 4<>"$0" && echo opened`
        const user = ['--reuid', id, '--regid', id, '--clear-groups', '--inh-caps=-all']
        return pod.run(['setpriv', ...user, 'sh', '-c', script, join(folder, `tap${FIRST}`)])
      }
      expect(await open('107')).to.equal('opened\n')
      const refusal = await open('108').catch((error: unknown) => String(error))
      expect(refusal).to.include('Permission denied')
    } finally {
      await rm(folder, { recursive: true })
    }
  })

  it('a CHECK says what is missing', async () => {
    await pod.run(['ip', 'link', 'set', 'dev', TAP, 'down'])
    expect(await check()).to.include({ code: 105 })
    await pod.run(['ip', 'link', 'set', 'dev', TAP, 'up'])
    const filters = ['tc', 'filter', 'del', 'dev', POD_LINK, 'ingress']
    await pod.run(filters)
    expect((await check())?.['msg']).to.include(`"${POD_LINK}" leads to ""`)
    await node.stopAgent('SIGTERM')
    await pod.run(['ip', 'link', 'del', 'dev', POD_LINK])
    await node.startAgent()
    await expectSoon('it is made again', async () => (await check()) === undefined)
    await run(['mv', toDevice(FIRST), `${toDevice(FIRST)}.away`])
    const gone = await check()
    expect(gone).to.include({ code: 105 })
    expect(gone?.['msg']).to.include(toDevice(FIRST))
    await run(['mknod', toDevice(FIRST), 'c', '1', '3'])
    expect(await check(), 'another device').to.include({ code: 105 })
    await run(['mv', `${toDevice(FIRST)}.away`, toDevice(FIRST)])
    expect(await check()).to.equal(undefined)
  })

  it('a pod link that was deleted is made again with the same macvtap and device', async () => {
    await pod.run(['ip', 'link', 'del', 'dev', POD_LINK])
    await expectSoon('the device leads to a new macvtap', async () => {
      const links = await readLinks(pod)
      return (
        (await check()) === undefined &&
        links.get(TAP)?.ifindex === FIRST &&
        (await readDevice(FIRST)) === toWhole(TAP, FIRST)
      )
    })
  })

  it('each of two NICs of a launcher has a device of its own', async () => {
    const other = toPodLinkName('ge1')
    await node.mustCall({ ...WIRE, name: 'w2' }, { command: 'ADD', ...sandbox(other) })
    await node.mustCall(bindTo('ge1'), { command: 'ADD', ...sandbox('net2') })
    expect((await readLinks(pod)).get(toTapName(other))?.ifindex).to.equal(FIRST + 1)
    expect(await readDevice(FIRST + 1)).to.equal(toWhole(toTapName(other), FIRST + 1))
    expect(await readDevice(FIRST)).to.equal(toWhole(TAP, FIRST))
    await node.mustCall(bind, { command: 'DEL', ...sandbox('net2') })
    expect(await readDevice(FIRST + 1)).to.equal('none')
    expect(await readDevice(FIRST)).to.equal(toWhole(TAP, FIRST))
    await node.mustCall({ ...WIRE, name: 'w2' }, { command: 'DEL', ...sandbox(other) })
  })

  it('takes it away again, twice, and the agent between ADD and DEL may be another', async () => {
    await node.stopAgent('SIGKILL')
    await node.startAgent()
    expect(await check()).to.equal(undefined)
    for (const config of [bind, WIRE, bind, WIRE])
      await node.mustCall(config, {
        command: 'DEL',
        ...sandbox(config === bind ? 'net1' : POD_LINK),
      })
    expect([...(await readLinks(pod)).keys()]).to.deep.equal(['lo'])
    expect(await readDevice(FIRST)).to.equal('none')
  })

  it('uses the device that Multus names, and refuses what is no device of ours', async () => {
    await node.mustCall(WIRE, { command: 'ADD', ...sandbox(POD_LINK) })
    const deviceID = String(FIRST + 41)
    await node.mustCall({ ...bind, deviceID }, { command: 'ADD', ...sandbox('net1') })
    expect(await readDevice(FIRST + 41)).to.equal(toWhole(TAP, FIRST + 41))
    const other = toPodLinkName('ge1')
    await node.mustCall({ ...WIRE, name: 'w2' }, { command: 'ADD', ...sandbox(other) })
    for (const [id, code, words] of [
      [deviceID, 113, 'another NIC of this pod'],
      ['0000:03:02.0', 7, 'l2wire.dev/macvtap'],
      ['69999999', 7, 'from 70000001 to 70001000'],
    ] as const) {
      const config = { ...bindTo('ge1'), deviceID: id }
      const { output } = await node.call(config, { command: 'ADD', ...sandbox('net2') })
      expect(output, id).to.include({ code })
      expect(output?.['msg']).to.include(words).and.include(id)
      expect((await readLinks(pod)).has(toTapName(other))).to.equal(false)
    }
    for (const ifname of ['net1', POD_LINK, other])
      await node.mustCall(
        ifname === 'net1' ? bind : { ...WIRE, name: ifname === other ? 'w2' : 'w' },
        {
          command: 'DEL',
          ...sandbox(ifname),
        },
      )
  })

  it('a sandbox that lingers keeps its hands off the device that a newer one was given', async () => {
    await using newer = await newLabNetns('newer')
    const deviceID = String(FIRST)
    const at = (ifname: string) => ({ containerID: 'c2', netns: newer.path, ifname })
    await node.mustCall(WIRE, { command: 'ADD', ...sandbox(POD_LINK) })
    await node.mustCall({ ...bind, deviceID }, { command: 'ADD', ...sandbox('net1') })
    const before = await run(['stat', '-c', '%Hr:%Lr', toDevice(FIRST)])
    await node.mustCall({ ...WIRE, name: 'w2' }, { command: 'ADD', ...at(POD_LINK) })
    await node.mustCall({ ...bind, deviceID }, { command: 'ADD', ...at('net1') })
    const given = await run(['stat', '-c', '%Hr:%Lr', toDevice(FIRST)])
    expect(given).to.not.equal(before)
    await node.mustCall(bind, { command: 'DEL', ...sandbox('net1') })
    expect(await run(['stat', '-c', '%Hr:%Lr', toDevice(FIRST)])).to.equal(given)
    expect(await readDevice(FIRST)).to.equal(toWhole(TAP, FIRST))
    await node.mustCall(bind, { command: 'DEL', ...at('net1') })
    expect(await readDevice(FIRST)).to.equal('none')
    await node.mustCall({ ...WIRE, name: 'w2' }, { command: 'DEL', ...at(POD_LINK) })
    await node.mustCall(WIRE, { command: 'DEL', ...sandbox(POD_LINK) })
  })

  it('the file of a launcher that vanished goes with the next look', async () => {
    const gone = await newLabNetns('gone')
    const at = (ifname: string) => ({ containerID: 'c3', netns: gone.path, ifname })
    await node.mustCall(WIRE, { command: 'ADD', ...at(POD_LINK) })
    await node.mustCall(bind, { command: 'ADD', ...at('net1') })
    await gone[Symbol.asyncDispose]()
    await expectSoon('nothing of it is left', async () => {
      const left = await readFile(`${node.stateDir}/attachments/c3_net1.json`).catch(
        () => undefined,
      )
      return left === undefined && (await readDevice(FIRST)) === 'none'
    })
  })

  it('a device whose attachment is lost goes at the next start, one that is only handed out stays', async () => {
    await mkdir(join(node.folder, 'macvtap'), { recursive: true })
    await run(['mknod', toDevice(FIRST), 'c', '246', '1'])
    await run(['mknod', toDevice(FIRST + 1), 'c', '1', '3'])
    await writeFile(join(node.folder, 'macvtap', '.tap70000003.next'), '')
    await node.stopAgent('SIGTERM')
    await node.startAgent()
    expect(await readdir(join(node.folder, 'macvtap'))).to.deep.equal([`tap${FIRST + 1}`])
    await rm(toDevice(FIRST + 1))
  })

  it('an agent that is killed in the middle of it takes it back at its next start', async () => {
    const pathFirst = await mkdtemp(join(tmpdir(), 'l2w-path-'))
    const killer = join(pathFirst, 'mknod')
    // The link is made by then, and has not got its own name yet.
    await writeFile(killer, '#!/bin/sh\nkill -KILL $PPID\n')
    await chmod(killer, 0o755)
    {
      await using other = await newLabNode({ pathFirst })
      await using launcher = await newLabNetns('launcher')
      const at = (ifname: string) => ({ containerID: 'c9', netns: launcher.path, ifname })
      await other.mustCall(WIRE, { command: 'ADD', ...at(POD_LINK) })
      expect((await other.call(bind, { command: 'ADD', ...at('net1') })).output).to.include({
        code: 11,
      })
      const left = [...(await readLinks(launcher)).keys()]
      expect(left.some((name) => name.startsWith('lm'))).to.equal(true)
      await rm(killer)
      await other.stopAgent('SIGKILL')
      await other.startAgent()
      expect([...(await readLinks(launcher)).keys()]).to.have.members(['lo', POD_LINK])
      await other.mustCall(bind, { command: 'ADD', ...at('net1') })
      await other.mustCall({ ...bind, prevResult: {} }, { command: 'CHECK', ...at('net1') })
      await other.mustCall(bind, { command: 'DEL', ...at('net1') })
      await other.mustCall(WIRE, { command: 'DEL', ...at(POD_LINK) })
    }
    await rm(pathFirst, { recursive: true })
  })

  describe('on pod links of other CNI plugins', () => {
    const IPAM = { type: 'host-local', subnet: '198.51.100.0/24' }
    for (const plugin of [
      { type: 'bridge', bridge: 'l2wmvt0', mtu: 1450 },
      { type: 'ptp', mtu: 1450 },
    ])
      it(`${plugin.type}: MTU, MAC and CHECK stay as they are`, async () => {
        const ipam = { ...IPAM, dataDir: `${node.folder}/ipam` }
        const other = { cniVersion: '1.0.0', name: 'other', ...plugin, ipam }
        const call = async (command: string, config: object): ReturnType<typeof callPlugin> =>
          callPlugin(
            `/usr/lib/cni/${plugin.type}`,
            { command, ...sandbox('eth0') },
            JSON.stringify(config),
          )
        try {
          const added = await call('ADD', other)
          expect(added.exitCode, added.stdout).to.equal(0)
          const earlier = (await readLinks(pod)).get('eth0')
          await node.mustCall({ ...bind, dhcp: false }, { command: 'ADD', ...sandbox('net1') })
          const links = await readLinks(pod)
          expect(links.get('eth0')).to.include({ mtu: 1450, address: earlier?.address })
          expect(links.get('tap0')).to.include({ mtu: 1450, ifindex: FIRST })
          const checked = await call('CHECK', { ...other, prevResult: added.output })
          expect(checked.exitCode, checked.stdout).to.equal(0)
          expect(await check()).to.equal(undefined)
          await node.mustCall(bind, { command: 'DEL', ...sandbox('net1') })
          expect((await readLinks(pod)).has('tap0')).to.equal(false)
          await call('DEL', other)
        } finally {
          await run(['ip', 'link', 'del', 'dev', 'l2wmvt0']).catch(() => undefined)
        }
      })

    it('macvlan: refused with a reason, since it can carry none', async () => {
      await pod.run(['ip', 'link', 'add', 'name', 'lower', 'type', 'veth', 'peer', 'name', 'far'])
      await pod.run([
        'ip',
        'link',
        'add',
        'link',
        'lower',
        'name',
        'eth0',
        'type',
        'macvlan',
        'mode',
        'bridge',
      ])
      const { output } = await node.call(bind, { command: 'ADD', ...sandbox('net1') })
      expect(output).to.include({ code: 2 })
      expect(output?.['msg']).to.include('pod link "eth0" shares a device')
      await pod.run(['ip', 'link', 'del', 'dev', 'lower'])
      expect(await readDevice(FIRST)).to.equal('none')
    })
  })

  describe('that cannot be done', () => {
    beforeEachWire(() => ({ node, sandbox }))

    it('a folder that takes no devices: error 5, and nothing is left', async () => {
      await rm(join(node.folder, 'macvtap'), { recursive: true, force: true })
      await writeFile(join(node.folder, 'macvtap'), 'a file')
      const { output } = await node.call(bind, { command: 'ADD', ...sandbox('net1') })
      expect(output).to.include({ code: 5 })
      expect(output?.['msg']).to.include(toDevice(FIRST))
      expect([...(await readLinks(pod)).keys()]).to.have.members(['lo', POD_LINK])
      await rm(join(node.folder, 'macvtap'))
    })

    it('a file in the place of the device is replaced, a folder is error 5', async () => {
      await mkdir(join(node.folder, 'macvtap'), { recursive: true })
      await writeFile(toDevice(FIRST), 'left over')
      await node.mustCall(bind, { command: 'ADD', ...sandbox('net1') })
      expect(await readDevice(FIRST)).to.equal(toWhole(TAP, FIRST))
      await node.mustCall(bind, { command: 'DEL', ...sandbox('net1') })
      await mkdir(toDevice(FIRST))
      const { output } = await node.call(bind, { command: 'ADD', ...sandbox('net1') })
      expect(output).to.include({ code: 5 })
      expect([...(await readLinks(pod)).keys()]).to.have.members(['lo', POD_LINK])
      await rm(toDevice(FIRST), { recursive: true })
    })

    it('one that nobody remembers is taken away by the next ADD', async () => {
      await node.mustCall(bind, { command: 'ADD', ...sandbox('net1') })
      await node.stopAgent('SIGKILL')
      await rm(join(node.stateDir, 'attachments/c1@net1.json'))
      await node.startAgent()
      expect([...(await readLinks(pod)).keys()]).to.include(TAP)
      await node.mustCall(bind, { command: 'ADD', ...sandbox('net1') })
      expect(node.readLog()).to.include('a tap that nobody remembers is taken away')
      expect(await readDevice(FIRST)).to.equal(toWhole(TAP, FIRST))
      expect(await check()).to.equal(undefined)
      await node.mustCall(bind, { command: 'DEL', ...sandbox('net1') })
    })

    it('a pod link that somebody else has a macvlan on: error 100', async () => {
      await pod.run([
        'ip',
        'link',
        'add',
        'link',
        POD_LINK,
        'name',
        'mv',
        'type',
        'macvlan',
        'mode',
        'bridge',
      ])
      const { output } = await node.call(bind, { command: 'ADD', ...sandbox('net1') })
      expect(output).to.include({ code: 100 })
      expect(output?.['details']).to.include('macvtap')
      expect(await readDevice(FIRST)).to.equal('none')
      await pod.run(['ip', 'link', 'del', 'dev', 'mv'])
    })

    it('more NICs than the node has devices: error 113', async () => {
      await node.stopAgent('SIGTERM')
      await node.startAgent(['--macvtap-devices', '1'])
      await node.mustCall(bind, { command: 'ADD', ...sandbox('net1') })
      const other = toPodLinkName('ge1')
      await node.mustCall({ ...WIRE, name: 'w2' }, { command: 'ADD', ...sandbox(other) })
      const { output } = await node.call(bindTo('ge1'), { command: 'ADD', ...sandbox('net2') })
      expect(output).to.include({ code: 113 })
      expect(output?.['msg']).to.include('all 1 devices')
      await node.mustCall(bind, { command: 'DEL', ...sandbox('net1') })
      await node.mustCall(bindTo('ge1'), { command: 'ADD', ...sandbox('net2') })
      await node.mustCall(bind, { command: 'DEL', ...sandbox('net2') })
      await node.mustCall({ ...WIRE, name: 'w2' }, { command: 'DEL', ...sandbox(other) })
    })
  })
})

/** The end of a wire for each test, taken away after it. */
function beforeEachWire(
  read: () => { node: LabNode; sandbox: (ifname: string) => Omit<CniCall, 'command'> },
): void {
  beforeEach(async () => {
    const { node, sandbox } = read()
    await node.mustCall(WIRE, { command: 'ADD', ...sandbox(POD_LINK) })
  })
  afterEach(async () => {
    const { node, sandbox } = read()
    await node.mustCall(WIRE, { command: 'DEL', ...sandbox(POD_LINK) })
  })
}
