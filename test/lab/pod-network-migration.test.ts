// A running VM straight on a pod network moves between two launchers, by real libvirt and QEMU, where the CNI plugin
// gives both the same address.
import { expect } from 'chai'
import { describe, it } from 'mocha'

import { toPodLinkName } from '../../core/name.ts'
import { newNetnsStation } from '../../kernel/tester/netns-station.ts'
import { run } from '../../kernel/run.ts'
import type { Guest } from '../../lab/guest.ts'
import {
  COMPLETED,
  FRAMES_PER_SECOND,
  newMigrationLab,
  type LauncherPod,
  type MigrationLab,
} from '../../lab/migration.ts'
import { A_WHILE } from '../../lab/migration-move.ts'
import { NETWORK, newPodNetworkShape, POD_NETWORK } from '../../lab/migration-shape.ts'
import type { LabNetns } from '../../lab/netns.ts'
import { leavesNothing } from '../nothing-left.ts'

const { address, gateway } = POD_NETWORK
const FAR_NIC = 'eth1'
const POD_LINK = toPodLinkName(NETWORK)
const STANDBY = { standby: true }
/** Of those that go on through a bridge: until it learns where the guest is. */
const LATE_FRAMES = FRAMES_PER_SECOND

/** Asks by DHCP, sets what it is told, and says it. */
async function askDhcp(guest: Guest): Promise<string> {
  return guest.run(`
    nic=$(ls /sys/class/net | grep -v '^lo$' | head -n 1)
    cat >/tmp/told <<'END'
#!/bin/sh
[ "$1" = bound ] || exit 0
ip address flush dev "$interface"
ip address add "$ip/$mask" dev "$interface"
ip route add default via "$router" dev "$interface"
echo "$ip/$mask $router $mtu $serverid"
END
    chmod 755 /tmp/told
    busybox udhcpc -i "$nic" -f -q -n -t 10 -T 1 -O mtu -s /tmp/told 2>/tmp/udhcpc.log
  `)
}

async function readMac(netns: LabNetns, dev: string): Promise<string> {
  const shown = await netns.run(['ip', '-j', 'link', 'show', 'dev', dev])
  return (JSON.parse(shown) as { readonly address: string }[])[0]?.address ?? ''
}

/** How many answer for the VM's address at the far end, of three questions each. */
async function countAnswers(far: LabNetns): Promise<number> {
  const said = await far.run(['busybox', 'arping', '-c', '3', '-I', FAR_NIC, address])
  return [...said.matchAll(/reply from/gi)].length
}

/** The launcher's own stack tries to be heard with the VM's address; returns how many frames of it come out. */
async function countOwnFrames({ far }: MigrationLab, { netns }: LauncherPod): Promise<number> {
  const own = (await readMac(netns, POD_LINK)).replaceAll(':', '')
  const station = newNetnsStation(run, { label: 'far', netns: far.path, ifname: FAR_NIC })
  await using capture = await station.startCapture()
  const script = `
    busybox arping -U -c 2 -I "$1" ${address} || :
    busybox ping -c 2 -W 1 ${gateway} || :`
  await netns.run(['sh', '-c', script, 'sh', POD_LINK])
  const frames = (await capture.stop()).map((frame) => Buffer.from(frame).toString('hex'))
  return frames.filter((hex) => hex.slice(12, 24) === own).length
}

describe('a VM on a pod network that migrates', function () {
  this.timeout(300_000)
  leavesNothing()

  it('keeps its address, and who speaks with it; its target is silent until it comes', async () => {
    await using lab = await newMigrationLab({ farPlace: 'third', newShape: newPodNetworkShape })
    const told = await askDhcp(await lab.getGuest())
    expect(told).to.match(new RegExp(`^${address}/24 ${gateway} 1450 `))
    await (await lab.getGuest()).run(`ping -c 2 -W 2 ${gateway}`)
    const stream = await lab.startStream()
    const left = lab.getPod()
    const target = await lab.newTarget({ more: STANDBY })
    expect(await readMac(target.netns, POD_LINK)).to.not.equal(
      await readMac(left.netns, POD_LINK),
      'each pod has a link of its own',
    )
    expect(await countAnswers(lab.far), 'the guest alone answers').to.equal(3)
    expect(await countOwnFrames(lab, target)).to.equal(0)
    await stream.waitForFrames(A_WHILE)
    const { ended } = await lab.migrate(target)
    expect(await ended).to.equal(COMPLETED)
    await stream.waitForFrames(A_WHILE)
    const { toGuest, fromGuest, pauseMs } = await stream.readReport()
    expect(pauseMs).to.be.greaterThan(0)
    expect(fromGuest.lost).to.equal(0)
    expect(toGuest.lostBefore + toGuest.lostAfter).to.be.at.most(LATE_FRAMES)
    // Nobody has told it anything: it goes on with what it had.
    const guest = await lab.getGuest()
    await guest.run(`ping -c 2 -W 2 ${gateway}`)
    await lab.far.run(['busybox', 'ping', '-c', '2', '-W', '2', address])
    expect(await countAnswers(lab.far)).to.equal(3)
    await left[Symbol.asyncDispose]()
    expect(await askDhcp(guest), 'it would be told the same again').to.equal(told)
    await lab.far.run(['busybox', 'ping', '-c', '2', '-W', '2', address])
  })
})
