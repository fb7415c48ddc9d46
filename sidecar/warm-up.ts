// What V8 does when code runs for the first time takes longer than the run. So a small call is played to ourselves while
// nobody waits, and a VM's first question does not wait for that. It touches nothing outside this process.
import { pino } from 'pino'

import type { PodLinks } from '../core/domain/nic.ts'
import { collectGarbageSoon } from './memory.ts'
import { plugIn } from './plug-in.ts'

/** A fifth of a CPU is 20 ms in each tenth of a second: not in the tenth in which somebody was answered. */
const PAUSE_MS = 100

/** As virt-launcher writes it; elements of a kind stand twice, since an expression is compiled when it is used again. */
export const SAMPLE_DOMAIN = `<domain type="kvm">
	<name>sample</name>
	<os>
		<type arch="x86_64" machine="q35">hvm</type>
	</os>
	<devices>
		<interface type="ethernet">
			<source></source>
			<target dev="tap0" managed="no"></target>
			<model type="virtio-non-transitional"></model>
			<mac address="02:00:00:00:00:01"></mac>
			<mtu size="1500"></mtu>
			<alias name="ua-first"></alias>
		</interface>
		<disk device="disk" type="file" model="virtio-non-transitional">
			<source file="/disk.img"></source>
			<target bus="virtio" dev="vda"></target>
			<driver cache="none" error_policy="stop" name="qemu" type="raw" discard="unmap"></driver>
			<alias name="ua-disk"></alias>
			<boot order="1"></boot>
		</disk>
	</devices>
</domain>
`

const BINDING = 'l2wire'

const SAMPLE_VMI = {
  spec: {
    domain: {
      devices: {
        interfaces: [
          { name: 'first', masquerade: {} },
          { name: 'second', binding: { name: BINDING }, macAddress: '02:00:00:00:00:02' },
        ],
      },
    },
    networks: [
      { name: 'first', multus: { networkName: 'first' } },
      { name: 'second', pod: {} },
    ],
  },
}

const SAMPLE_LINKS: PodLinks = new Map([
  ['eth0', { mtuBytes: 1500, address: '02:00:00:00:00:02', isMultiQueue: undefined }],
  ['tap0', { mtuBytes: 1500, address: '02:00:00:00:00:03', isMultiQueue: false }],
])

let isDue = false

/** Once, however often it is asked for. */
export function warmUpSoon(): void {
  if (isDue) return
  isDue = true
  setTimeout(() => {
    warmUp()
    collectGarbageSoon()
  }, PAUSE_MS).unref()
}

/** What the sample is answered with. */
export function warmUp(): Buffer {
  const log = pino({ base: null }, { write: () => undefined })
  const domain = Buffer.from(SAMPLE_DOMAIN)
  const vmi = Buffer.from(JSON.stringify(SAMPLE_VMI))
  return plugIn({ log, readPodLinks: () => SAMPLE_LINKS }, [BINDING], domain, vmi)
}
