// Frames into a wire as if a VM's pod link had sent them: what is sent on that link itself is dropped there, since
// the VM alone may speak. A pair of veths hands them to the ingress of the link's host end, from where they go on
// as the VM's own do.
import { BIRTH_MTU, NO_CHATTER, renderClassifier } from '../../core/steps/argv.ts'
import { sha256Hex } from '../../core/hash.ts'
import { probeClassifier } from '../probe.ts'
import type { Run } from '../run.ts'

/** As long as any frame of the tester. */
const MTU_BYTES = 65_535

/** Gives send the device to send on, and takes it away behind it. Throws CommandError. */
export async function sendIntoHostEnd(
  run: Run,
  hostEnd: string,
  send: (device: string) => Promise<void>,
): Promise<void> {
  // Network managers keep off devices that are named "lw…".
  const hash = sha256Hex(hostEnd, 10)
  const [inlet, outlet] = [`lwt${hash}`, `lwu${hash}`]
  const classifier = renderClassifier(await probeClassifier(run))
  const birth = `mtu ${BIRTH_MTU} ${NO_CHATTER}`
  const make = [
    `link add name ${inlet} ${birth} type veth peer name ${outlet} ${birth}`,
    ...[inlet, outlet].map((dev) => `link set dev ${dev} mtu ${MTU_BYTES}`),
  ]
  const silence = [inlet, outlet].map((dev) => `link set dev ${dev} addrgenmode none`)
  const raise = [outlet, inlet].map((dev) => `link set dev ${dev} up`)
  const redirect = [
    `qdisc add dev ${outlet} clsact`,
    `filter add dev ${outlet} ingress protocol all pref 1 ${classifier} action mirred ingress redirect dev ${hostEnd}`,
  ]
  const remove = async (): Promise<void> => {
    await run(['ip', 'link', 'del', 'dev', inlet]).catch(() => undefined)
  }
  // One that was killed has left it.
  await remove()
  try {
    await run(['ip', '-batch', '-'], { input: toLines(make) })
    // A kernel without IPv6 says nothing by itself, and knows no such switch.
    await run(['ip', '-force', '-batch', '-'], { input: toLines(silence) }).catch(() => undefined)
    await run(['ip', '-batch', '-'], { input: toLines(raise) })
    await run(['tc', '-batch', '-'], { input: toLines(redirect) })
    await send(inlet)
  } finally {
    await remove()
  }
}

function toLines(lines: readonly string[]): string {
  return `${lines.join('\n')}\n`
}
