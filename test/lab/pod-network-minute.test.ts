// What test/vm/pod-network.test.ts shows of a moment, over a minute: a VM alone speaks on its pod's link.
import { setTimeout as sleep } from 'node:timers/promises'

import { expect } from 'chai'
import { describe, it } from 'mocha'

import { switchOnIpv6 } from '../../lab/guest-network.ts'
import { newCalicoShape } from '../../lab/pod-network-calico.ts'
import { newBridgeNetwork, newMacvlanNetwork, newPtpNetwork } from '../../lab/pod-network-shapes.ts'
import { newPodVm } from '../../lab/pod-scene.ts'
import { watchPod } from '../../lab/pod-watch.ts'
import { leavesNothing } from '../nothing-left.ts'

const MINUTE_MS = 60_000

describe('A VM on a pod network, for a minute', function () {
  this.timeout(180_000)
  leavesNothing()

  const rows = [
    { shape: 'bridge', open: async () => newBridgeNetwork(['ipv4', 'ipv6']), families: ['4', '6'] },
    { shape: 'ptp', open: async () => newPtpNetwork(['ipv4', 'ipv6']), families: ['4', '6'] },
    { shape: 'macvlan', open: newMacvlanNetwork, families: ['4'] },
    { shape: 'as Calico', open: newCalicoShape, families: ['4'] },
  ]
  it('is alone heard, whatever the link and however its pod tries', async () => {
    const all = rows.map(async ({ shape, open, families }) => {
      await using on = await newPodVm(await open())
      const { guest, network, vm, nic, node } = on
      await using watch = await watchPod(on)
      if (families.includes('6')) await switchOnIpv6(guest, nic)
      const options = `--timeout 40 ${families.map((one) => `--waitip=${one}`).join(' ')}`
      await guest.run(`dhcpcd ${options} ${nic} >/tmp/log 2>&1 || { cat /tmp/log >&2; exit 1; }`, {
        timeoutMs: 50_000,
      })
      await sleep(MINUTE_MS / 2)
      await node.stopAgent('SIGKILL')
      await sleep(MINUTE_MS / 20)
      await node.startAgent()
      await sleep(MINUTE_MS / 2)
      const { heard, strange, dhcp } = await watch.stop()
      await network.check(vm.sandbox)
      return { shape, isHeard: heard > 0, strange, dhcp }
    })
    expect(await Promise.all(all)).to.deep.equal(
      rows.map(({ shape }) => ({ shape, isHeard: true, strange: [], dhcp: [] })),
    )
  })
})
