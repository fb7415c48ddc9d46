// The demo's third scene: a VM straight on a pod network of another CNI plugin. It gets its pod's MAC and
// address by DHCP, and another pod reaches it there.
import { renderCauses } from '../core/errors.ts'
import type { Say } from './demo-scene.ts'
import { readGuestNic, readPodNic } from './guest-network.ts'
import { newPodVm, type PodVm } from './pod-scene.ts'
import { newBridgeNetwork } from './pod-network-shapes.ts'
import { watchPod } from './pod-watch.ts'

const DHCP_MS = 30_000
const PAGE = 'served by the VM'
const PINGS = 60

export async function newPodScene(say: Say): Promise<PodVm> {
  say(
    'VM r5 and pod h6 are on a pod network that Debian\'s CNI plugins "bridge" and "host-local" make.',
  )
  const scene = await newPodVm(await newBridgeNetwork(), { name: 'r5' })
  const pod = await readPodNic(scene.vm.netns, 'eth0')
  say(`The plugins gave eth0 of r5's pod ${pod.addresses.join()} and MAC ${pod.mac}; r5 is up.`)
  return scene
}

/** Whether everything worked. */
export async function showPodNetwork(scene: PodVm, say: Say): Promise<boolean> {
  await using watch = await watchPod(scene)
  const shown = [
    await showAddress(scene, say),
    await showPage(scene, say),
    await showKilledAgent(scene, say),
    await showCheck(scene, say),
  ]
  const { heard, strange, dhcp } = await watch.stop()
  const isMute = heard > 0 && strange.length === 0 && dhcp.length === 0
  say(
    `The pod's own stack tried to speak all along: of ${heard} frames that came out of the pod ${heard - strange.length} are r5's${isMute ? '' : ': NOT SO'}.`,
  )
  return shown.every(Boolean) && isMute
}

async function showAddress({ vm, guest, nic }: PodVm, say: Say): Promise<boolean> {
  await guest.run(`dhclient -1 ${nic} >/dev/null 2>&1`, { timeoutMs: DHCP_MS })
  const pod = await readPodNic(vm.netns, 'eth0')
  const own = await readGuestNic(guest, nic)
  const isSame = JSON.stringify(own) === JSON.stringify(pod)
  say(
    `dhclient in r5 got ${own.addresses.join()}, ${own.routes.join(', ')}, MTU ${own.mtu}: ${isSame ? "the pod's own" : "NOT THE POD'S"}.`,
  )
  return isSame
}

async function showPage({ vm, guest, other }: PodVm, say: Say): Promise<boolean> {
  const { addresses } = await readPodNic(vm.netns, 'eth0')
  const [address = ''] = addresses
  await guest.run(`mkdir -p /srv; echo ${PAGE} >/srv/index.html; httpd -h /srv`)
  const wget = ['busybox', 'wget', '-q', '-O', '-', `http://${address}/`]
  const page = await other.run(wget).catch(renderCauses)
  say(`Pod h6 fetches http://${address}/ and reads: ${page.trim()}`)
  return page.trim() === PAGE
}

async function showKilledAgent({ node, vm, other }: PodVm, say: Say): Promise<boolean> {
  const { addresses } = await readPodNic(vm.netns, 'eth0')
  const ping = ['busybox', 'ping', '-c', String(PINGS), '-i', '0.05', addresses.join()]
  const pinging = other.run(ping).catch(renderCauses)
  await node.stopAgent('SIGKILL')
  await node.startAgent()
  const counted = /\d+ packets received/.exec(await pinging)?.[0] ?? 'no answer'
  say(`The agent is killed (-9) and started again while h6 pings r5: ${counted} of ${PINGS}.`)
  return counted === `${PINGS} packets received`
}

async function showCheck({ network, vm }: PodVm, say: Say): Promise<boolean> {
  const fault = await network.check(vm.sandbox).then(() => undefined, renderCauses)
  say(`CHECK of the pod network's plugins: ${fault ?? 'all as they made it.'}`)
  return fault === undefined
}
