// The launcher's half of a cable: silent whatever the launcher's own stack is like, and brought to where its
// ADD left it when somebody changes it.
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'

import { expect } from 'chai'
import { describe, it } from 'mocha'

import { FRAME_ROWS } from '../../../core/tester/frames.ts'
import { newNetnsStation } from '../../../kernel/tester/netns-station.ts'
import { run } from '../../../kernel/run.ts'
import { runCommand } from '../../../lab/command.ts'
import { newCountedFrames } from '../../../lab/counted-frames.ts'
import { newLabNetns } from '../../../lab/netns.ts'
import { newLabNode, type LabNode } from '../../../lab/node.ts'
import { GUEST_NIC } from '../../../lab/tap-opener.ts'
import { writeJsonFile } from '../../../store/json-file.ts'
import { expectSoon } from '../../expect-soon.ts'
import { leavesNothing } from '../../nothing-left.ts'
import { startListening } from '../../listening.ts'
import { newVmCable, POD_LINK, readState, TAP, type VmCable } from '../fixture-vm-cable.ts'

/** Linux has no IPv6 on a device with less than 1280. */
const MTUS = [
  { mtu: 68, maxFrame: 68 },
  { mtu: 576 },
  { mtu: 1000, maxFrame: 1000 },
  { mtu: 1279 },
  { mtu: 1280, maxFrame: 1280 },
] as const

const ATTACHES = ['tap', 'macvtap'] as const

async function expectMended(cable: VmCable): Promise<void> {
  await expectSoon('CHECK has nothing to say', async () => (await cable.check()) === undefined)
}

describe("a VM's end of a cable", function () {
  this.timeout(120_000)
  let node: LabNode
  leavesNothing(async (made) => {
    // What events are to tell must not be found by looking at everything now and then.
    node = made.use(await newLabNode({ more: ['--check-seconds', '3600'] }))
  })

  for (const attach of ATTACHES)
    it(`by ${attach} is silent before its VM runs, and after`, async () => {
      await using cable = await newVmCable(node, attach)
      const { launcher } = cable
      await cable.plug(launcher)
      await cable.expectSilence('between the two ADDs')
      await cable.bind(launcher)
      await cable.expectSilence('before QEMU opens it')
      if (attach === 'tap') {
        await using guest = await newLabNetns('guest', { ipv6: false })
        await using _ = await cable.open(guest)
        await cable.expectSilence('while QEMU has it open')
      }
      const next = await cable.newLauncher()
      await cable.plug(next)
      await cable.bind(next)
      await cable.expectSilence('from the next launcher of the VM', next)
      await cable.unbind(launcher)
      await cable.expectSilence('from the launcher that it left')
    })

  for (const attach of ATTACHES)
    it(`by ${attach} is silent whatever its launcher's programs send, and its MTU does`, async () => {
      await using cable = await newVmCable(node, attach)
      const { launcher } = cable
      await cable.plug(launcher)
      await cable.bind(launcher)
      const attempts = [
        `busybox arping -c 1 -w 1 -I ${POD_LINK} 198.51.100.1`,
        `ip address add 198.51.100.2/24 dev ${POD_LINK}; busybox ping -c 1 -W 1 198.51.100.1`,
        `ip link set dev ${POD_LINK} addrgenmode eui64 arp on multicast on`,
        `ip link set dev ${POD_LINK} mtu 1279; ip link set dev ${POD_LINK} mtu 9216`,
      ]
      for (const attempt of attempts) await launcher.netns.run(['sh', '-c', `{ ${attempt}; } || :`])
      await cable.expectSilence('after all that')
      await expectMended(cable)
      const shown = await launcher.netns.run(['ip', '-6', 'address', 'show', 'dev', POD_LINK])
      expect(shown).to.not.include('fe80')
    })

  for (const attach of ATTACHES)
    it(`by ${attach} is tested from the command line, both ways`, async () => {
      await using cable = await newVmCable(node, attach, { mtu: 9216 })
      const { launcher } = cable
      await cable.plug(launcher)
      await cable.bind(launcher)
      const place = [`--store=${node.storeUrl}`, '--namespace=lab', `--state-dir=${node.stateDir}`]
      const { exitCode, stdout, stderr } = await runCommand('kubectl-l2wire', [
        'test',
        'w',
        '--idle',
        '0.2',
        '-o',
        'json',
        ...place,
      ])
      expect(exitCode, stderr).to.equal(0)
      const columns = JSON.parse(stdout) as { verdicts: { outcome: string }[] }[]
      expect(columns).to.have.length(2)
      for (const { verdicts } of columns) {
        expect(verdicts.length).to.be.greaterThan(FRAME_ROWS.length)
        expect(verdicts.map(({ outcome }) => outcome)).to.deep.equal(
          verdicts.map(() => 'delivered'),
        )
      }
    })

  // What the kernel tells, each alone.
  const changes = [
    `ip link set dev ${TAP} down`,
    `ip link set dev ${POD_LINK} down`,
    `ip link set dev ${POD_LINK} mtu 1000`,
    `ip link set dev ${TAP} mtu 1000`,
    `ip link set dev ${TAP} multicast on`,
    `ip link del dev ${TAP}`,
    `ip link del dev ${POD_LINK}`,
  ]
  for (const attach of ATTACHES)
    it(`by ${attach} is mended within moments where the kernel tells of it, without a word`, async () => {
      await using cable = await newVmCable(node, attach)
      const { launcher } = cable
      await cable.plug(launcher)
      await cable.bind(launcher)
      const before = await readState(launcher)
      expect(before).to.deep.equal({ [POD_LINK]: '9216 up', [TAP]: '1500 up' })
      for (const change of changes) {
        await launcher.netns.run(change.split(' '))
        await expectSoon(`it is as before "${change}"`, async () => {
          const now = await readState(launcher)
          return JSON.stringify(now) === JSON.stringify(before)
        })
        await expectMended(cable)
      }
      await cable.expectSilence('through all of it')
    })

  const removals: readonly string[] = [
    `tc qdisc del dev ${POD_LINK} clsact`,
    `tc filter del dev ${POD_LINK} egress`,
    `tc qdisc del dev ${TAP} clsact`,
  ]
  for (const attach of ATTACHES)
    it(`by ${attach} has its filters again by the look at everything, and at a start`, async () => {
      await using cable = await newVmCable(node, attach)
      const { launcher } = cable
      await cable.plug(launcher)
      await cable.bind(launcher)
      for (const removal of removals) {
        await launcher.netns.run(removal.split(' '))
        expect(await cable.check(), removal).to.be.a('string')
        await node.stopAgent('SIGTERM')
        await node.startAgent()
        await expectMended(cable)
      }
      await node.stopAgent('SIGTERM')
      await node.startAgent(['--check-seconds', '1'])
      for (const removal of removals) {
        await launcher.netns.run(removal.split(' '))
        await expectMended(cable)
      }
      await node.stopAgent('SIGTERM')
      await node.startAgent()
      await cable.expectSilence('through all of it')
    })

  it('of release 0.3.0 becomes mute without losing a frame', async () => {
    await using cable = await newVmCable(node, 'tap')
    const { launcher } = cable
    await using guest = await newLabNetns('guest', { ipv6: false })
    await cable.plug(launcher)
    await cable.bind(launcher)
    await using _ = await cable.open(guest)
    await node.stopAgent('SIGTERM')
    // As that release left it: open to the stack, whose address is there.
    const path = join(node.stateDir, 'attachments', `${launcher.containerID}@net1.json`)
    const document = JSON.parse(await readFile(path, 'utf8')) as Record<string, unknown>
    const { isMuted, podLinkMtuBytes, ...old } = document
    expect({ isMuted, podLinkMtuBytes }).to.deep.equal({ isMuted: true, podLinkMtuBytes: 9216 })
    await writeJsonFile(path, old)
    await launcher.netns.run(['tc', 'filter', 'del', 'dev', POD_LINK, 'egress'])
    await launcher.netns.run(`ip address add fe80::7/64 dev ${POD_LINK} nodad`.split(' '))
    await using heard = await startListening(cable.far.path, 'eth1')
    const frames = newCountedFrames(6000)
    const nic = newNetnsStation(run, { label: 'VM', netns: guest.path, ifname: GUEST_NIC })
    const sending = nic.send(frames)
    await node.startAgent()
    await expectMended(cable)
    await sending
    expect(await heard.stopAfter(frames.length)).to.deep.equal(frames)
    const shown = await launcher.netns.run(['ip', '-6', 'address', 'show', 'dev', POD_LINK])
    expect(shown).to.not.include('fe80')
    expect(JSON.parse(await readFile(path, 'utf8'))).to.deep.equal(document)
  })

  for (const attach of ATTACHES)
    for (const keys of MTUS)
      it(`by ${attach} with ${JSON.stringify(keys)} is made, silent and passes CHECK`, async () => {
        await using cable = await newVmCable(node, attach, keys)
        const { launcher } = cable
        await cable.plug(launcher)
        await cable.bind(launcher)
        expect(await cable.check()).to.equal(undefined)
        const { mtu, maxFrame = 9216 }: { readonly mtu: number; readonly maxFrame?: number } = keys
        const made = { [POD_LINK]: `${maxFrame} up`, [TAP]: `${mtu} up` }
        expect(await readState(launcher)).to.deep.equal(made)
        // One that is mended is as silent as one that is made.
        await launcher.netns.run(['ip', 'link', 'set', 'dev', POD_LINK, 'mtu', '2000'])
        await launcher.netns.run(['ip', 'link', 'set', 'dev', POD_LINK, 'down'])
        await expectSoon('it is as it was made', async () => {
          const now = await readState(launcher)
          return JSON.stringify(now) === JSON.stringify(made)
        })
        await expectMended(cable)
        await cable.expectSilence('at last')
      })
})
