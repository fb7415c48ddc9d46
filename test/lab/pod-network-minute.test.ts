// What test/vm/pod-network.test.ts shows of a moment, over a minute: a VM alone speaks on its pod's link.
import { setTimeout as sleep } from 'node:timers/promises'

import { expect } from 'chai'
import { describe, it } from 'mocha'

import { switchOnIpv6 } from '../../lab/guest-network.ts'
import type { PodNetwork } from '../../lab/pod-network.ts'
import { newCalicoShape } from '../../lab/pod-network-calico.ts'
import { newBridgeNetwork, newMacvlanNetwork, newPtpNetwork } from '../../lab/pod-network-shapes.ts'
import { newPodVm, type PodVm } from '../../lab/pod-scene.ts'
import { watchPod, type PodWatch } from '../../lab/pod-watch.ts'
import { leavesNothing } from '../nothing-left.ts'
import { DHCP_MS } from '../pods-place.ts'

const MINUTE_MS = 60_000

interface Row {
  readonly shape: string
  readonly open: () => Promise<PodNetwork>
  readonly families: readonly string[]
}

interface Watched extends Row {
  readonly on: PodVm
  readonly watch: PodWatch
}

async function askForAddresses({ guest, nic }: PodVm, families: readonly string[]): Promise<void> {
  if (families.includes('6')) await switchOnIpv6(guest, nic)
  const options = `--timeout 90 ${families.map((one) => `--waitip=${one}`).join(' ')}`
  const command = `dhcpcd ${options} ${nic} >/tmp/log 2>&1 || { cat /tmp/log >&2; exit 1; }`
  await guest.run(command, { timeoutMs: DHCP_MS })
}

describe('A VM on a pod network, for a minute', function () {
  this.timeout(600_000)
  leavesNothing()

  const rows: readonly Row[] = [
    { shape: 'bridge', open: async () => newBridgeNetwork(['ipv4', 'ipv6']), families: ['4', '6'] },
    { shape: 'ptp', open: async () => newPtpNetwork(['ipv4', 'ipv6']), families: ['4', '6'] },
    { shape: 'macvlan', open: newMacvlanNetwork, families: ['4'] },
    { shape: 'as Calico', open: newCalicoShape, families: ['4'] },
  ]
  it('is alone heard, whatever the link and however its pod tries', async () => {
    await using made = new AsyncDisposableStack()
    const watched: Watched[] = []
    // One after the other: booting takes a whole CPU. The minute is one for all.
    for (const row of rows) {
      const on = made.use(await newPodVm(await row.open()))
      const watch = made.use(await watchPod(on))
      await askForAddresses(on, row.families)
      watched.push({ ...row, on, watch })
    }
    await sleep(MINUTE_MS / 2)
    for (const { on } of watched) await on.node.stopAgent('SIGKILL')
    await sleep(MINUTE_MS / 20)
    for (const { on } of watched) await on.node.startAgent()
    await sleep(MINUTE_MS / 2)
    for (const { shape, on, watch } of watched) {
      const { heard, strange, dhcp } = await watch.stop()
      await on.network.check(on.vm.sandbox)
      expect({ strange, dhcp }, shape).to.deep.equal({ strange: [], dhcp: [] })
      expect(heard, shape).to.be.greaterThan(0)
    }
  })
})
