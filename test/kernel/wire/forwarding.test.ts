// Wires of nodes that forward IPv6, as those of a Kubernetes cluster do: a kernel that routes joins the group of all
// routers with each device that can do multicast, and tells of it whenever the device goes up.
import { expect } from 'chai'
import { before, describe, it } from 'mocha'

import { encodePcap } from '../../../core/tester/pcap.ts'
import { describeFrame } from '../../../core/tester/verdict.ts'
import { sendIntoHostEnd } from '../../../kernel/tester/host-sender.ts'
import { run, type Run } from '../../../kernel/run.ts'
import type { LabNetns } from '../../../lab/netns.ts'
import { expectSoon } from '../../expect-soon.ts'
import { startListening } from '../../listening.ts'
import {
  expectPassing,
  hasCarrier,
  plug,
  toHostEnd,
  unplug,
  useWall,
  type End,
} from '../fixture-wall.ts'

const HELLO = Buffer.from(`ffffffffffff02005e00530188b5${'00'.repeat(46)}`, 'hex')

describe('a cable of nodes that forward', function () {
  this.timeout(90_000)
  const getWall = useWall()

  before(async () => {
    const { n1, n2 } = getWall()
    for (const { netns } of [n1, n2])
      for (const which of ['all', 'default'])
        await netns.run(['sysctl', '-qw', `net.ipv6.conf.${which}.forwarding=1`])
  })

  for (const where of ['on one node', 'across nodes'] as const)
    it(`${where} is silent when its ends come, go and come back`, async () => {
      const { n1, n2, spaces } = getWall()
      const a: End = { on: n1, netns: spaces[0], pod: 'h1' }
      const b: End = { on: where === 'on one node' ? n1 : n2, netns: spaces[1], pod: 'h2' }
      await plug(a)
      {
        await using listening = await startListening(a.netns.path, 'eth1')
        for (let round = 1; round <= 2; round += 1) {
          await plug(b)
          await expectSoon('joined', async () => hasCarrier(a))
          for (const { netns } of [n1, n2]) await waitForRouter(netns)
          await unplug(b)
          await expectSoon('taken apart', async () => !(await hasCarrier(a)))
        }
        expect((await listening.read()).map(describeFrame)).to.deep.equal([])
      }
      await plug(b)
      await expectPassing(a, b)
      await unplug(a)
      await unplug(b)
    })

  it('carries from its host end what is sent there, and nothing else', async () => {
    const { n1, spaces } = getWall()
    const a: End = { on: n1, netns: spaces[0], pod: 'h1' }
    const b: End = { on: n1, netns: spaces[1], pod: 'h2' }
    await plug(a)
    await plug(b)
    {
      await using listening = await startListening(b.netns.path, 'eth1')
      const onNode: Run = async (argv, options) =>
        run(['nsenter', `--net=${n1.netns.path}`, ...argv], options)
      await sendIntoHostEnd(onNode, toHostEnd(a), async (device) => {
        await waitForRouter(n1.netns)
        const replay = ['tcpreplay', '--quiet', '-i', device, '-']
        await onNode(replay, { input: encodePcap([HELLO]) })
      })
      await expectSoon('it is heard', async () => (await listening.read()).length > 0)
      const heard = await listening.read()
      expect(heard.map((frame) => Buffer.from(frame).toString('hex'))).to.deep.equal([
        HELLO.toString('hex'),
      ])
    }
    await unplug(a)
    await unplug(b)
  })
})

/** Until a device that is let speak, and came up after ours, has told of its group twice, as it does. */
async function waitForRouter(netns: LabNetns): Promise<void> {
  await netns.run(['ip', 'link', 'add', 'name', 'l2wr', 'type', 'veth', 'peer', 'name', 'l2wh'])
  try {
    for (const dev of ['l2wr', 'l2wh'])
      await netns.run(['ip', 'link', 'set', 'dev', dev, 'addrgenmode', 'none'])
    await netns.run(['ip', 'link', 'set', 'dev', 'l2wh', 'up'])
    await using listening = await startListening(netns.path, 'l2wh')
    await netns.run(['ip', 'link', 'set', 'dev', 'l2wr', 'up'])
    await expectSoon(
      'a device that is let speak is heard',
      async () => (await listening.read()).filter(isReport).length >= 2,
    )
  } finally {
    await netns.run(['ip', 'link', 'del', 'dev', 'l2wr'])
  }
}

/** To the group of those that hear MLD reports. */
function isReport(frame: Uint8Array): boolean {
  return Buffer.from(frame).subarray(0, 6).toString('hex') === '333300000016'
}
