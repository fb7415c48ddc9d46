// VMs by macvtap on real pod links, without a kubelet: the agent numbers the devices itself.
// device-plugin.test.ts has the kubelet's side, test/vm has QEMU behind the device.
import { chmod } from 'node:fs/promises'
import { join } from 'node:path'

import { expect } from 'chai'
import { describe, it } from 'mocha'

import { toPodLinkName, toTapName } from '../../../core/name.ts'
import { run } from '../../../kernel/run.ts'
import { newLabNetns } from '../../../lab/netns.ts'
import { newTemporaryFolder } from '../../../lab/temporary-folder.ts'
import { expectSoon } from '../../expect-soon.ts'
import { leavesNothing } from '../../nothing-left.ts'
import { readLinks } from '../fixture-links.ts'
import {
  FIRST,
  newMacvtapLauncher,
  POD_LINK,
  TAP,
  toWhole,
  WIRE,
  type MacvtapLauncher,
} from '../fixture-macvtap.ts'

describe('the binding plugin by macvtap', function () {
  this.timeout(90_000)
  let scene: MacvtapLauncher
  leavesNothing(async (made) => {
    scene = made.use(await newMacvtapLauncher())
  })

  it('makes a macvtap on the end of a wire, and a device for QEMU', async () => {
    const { node, pod, bind, sandbox, check, readDevice } = scene
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
    const { pod, toDevice } = scene
    await using folder = await newTemporaryFolder('dev')
    await chmod(folder.path, 0o755)
    // As a container runtime does, with owner and mode.
    await run(['cp', '-a', toDevice(FIRST), folder.path])
    const open = async (id: string): Promise<string> => {
      const script = `exec 3<>"$0" 4<>"$0" && echo opened`
      const user = ['--reuid', id, '--regid', id, '--clear-groups', '--inh-caps=-all']
      return pod.run(['setpriv', ...user, 'sh', '-c', script, join(folder.path, `tap${FIRST}`)])
    }
    expect(await open('107')).to.equal('opened\n')
    const refusal = await open('108').catch((error: unknown) => String(error))
    expect(refusal).to.include('Permission denied')
  })

  it('a CHECK says what is missing', async () => {
    const { node, pod, check, toDevice } = scene
    const filters = ['tc', 'filter', 'del', 'dev', POD_LINK, 'ingress']
    await pod.run(filters)
    const found = await check()
    expect(found).to.include({ code: 105 })
    expect(found?.['msg']).to.include(`"${POD_LINK}" leads to ""`)
    // Of that the kernel tells, and so all of it is mended.
    await pod.run(['ip', 'link', 'set', 'dev', TAP, 'down'])
    await expectSoon('it is as it was', async () => (await check()) === undefined)
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
    const { pod, check, readDevice } = scene
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
    const { node, pod, bind, bindTo, sandbox, readDevice } = scene
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
    const { node, pod, bind, sandbox, check, readDevice } = scene
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
    const { node, pod, bind, bindTo, sandbox, readDevice } = scene
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

  it("a device that a living sandbox has is nobody else's, whoever names it", async () => {
    const { node, bind, sandbox, toDevice, readDevice } = scene
    await using newer = await newLabNetns('newer')
    const deviceID = String(FIRST)
    const at = (ifname: string) => ({ containerID: 'c2', netns: newer.path, ifname })
    await node.mustCall(WIRE, { command: 'ADD', ...sandbox(POD_LINK) })
    await node.mustCall({ ...bind, deviceID }, { command: 'ADD', ...sandbox('net1') })
    const before = await run(['stat', '-c', '%Hr:%Lr', toDevice(FIRST)])
    await node.mustCall({ ...WIRE, name: 'w2' }, { command: 'ADD', ...at(POD_LINK) })
    for (const id of [deviceID, `00${deviceID}`]) {
      const { output } = await node.call(
        { ...bind, deviceID: id },
        { command: 'ADD', ...at('net1') },
      )
      expect(output, id).to.include({ code: 11 })
      expect(output?.['msg']).to.include(deviceID).and.include('still there')
      expect(await run(['stat', '-c', '%Hr:%Lr', toDevice(FIRST)])).to.equal(before)
    }
    await node.stopAgent('SIGKILL')
    await node.startAgent()
    const again = await node.call({ ...bind, deviceID }, { command: 'ADD', ...at('net1') })
    expect(again.output, 'an agent that has started anew').to.include({ code: 11 })
    expect(await run(['stat', '-c', '%Hr:%Lr', toDevice(FIRST)])).to.equal(before)
    await node.mustCall(bind, { command: 'DEL', ...sandbox('net1') })
    await node.mustCall({ ...bind, deviceID }, { command: 'ADD', ...at('net1') })
    expect(await readDevice(FIRST)).to.equal(toWhole(TAP, FIRST))
    await node.mustCall(bind, { command: 'DEL', ...at('net1') })
    expect(await readDevice(FIRST)).to.equal('none')
    await node.mustCall({ ...WIRE, name: 'w2' }, { command: 'DEL', ...at(POD_LINK) })
    await node.mustCall(WIRE, { command: 'DEL', ...sandbox(POD_LINK) })
  })
})
