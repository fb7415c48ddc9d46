// A NIC inside a guest as a station of the cable tester: tcpdump listens, tcpreplay sends.
import { decodePcap, encodePcap } from '../core/tester/pcap.ts'
import type { Capture, Station } from '../kernel/tester/station.ts'
import type { Guest } from './guest.ts'

/** A capture that is stopped ends after this long without a frame, since frames may still be on their way. */
const SETTLE_MS = 200
/** With a longer one libpcap's ring holds too few frames; the tester's longest is 9014 bytes. */
const SNAPLEN = 16_384
const RING_KIB = 4_096
/** Paced: a burst at full speed overruns queues that are not under test. */
const FRAMES_PER_SECOND = 1000

/** The station at the guest's NIC that has this MAC. Sets the NIC's MTU as high as its driver lets it. */
export async function newGuestStation(guest: Guest, label: string, mac: string): Promise<Station> {
  const { name } = await guest.nicByMac(mac)
  await raiseMtu(guest, name)
  const nic = await guest.nicByMac(mac)
  let captures = 0
  return {
    label,
    readNic: () => Promise.resolve({ mac: nic.mac, mtuBytes: nic.mtu, isUp: true }),
    startCapture: async () => {
      captures += 1
      return startCapture(guest, nic.name, `/tmp/capture-${nic.name}-${captures}`)
    },
    send: async (frames) => {
      if (frames.length > 0) await send(guest, nic.name, frames)
    },
  }
}

/**
 * The guest's own stack refuses to send frames beyond the MTU, and most NICs refuse to receive them. But the
 * wire is under test. virtio stops at the MTU from the domain (VIRTIO_NET_F_MTU), some NICs at 1500.
 */
async function raiseMtu(guest: Guest, nic: string): Promise<void> {
  await guest.run(`
    for mtu in 9216 9000; do ip link set dev ${nic} mtu $mtu 2>/dev/null && break; done
    # An emulated NIC resets itself for a new MTU, and loses frames until its link is back.
    for try in $(seq 100); do
      [ "$(cat /sys/class/net/${nic}/carrier)" = 1 ] && break
      sleep 0.05
    done
  `)
}

async function startCapture(guest: Guest, nic: string, file: string): Promise<Capture> {
  const options = `-Z root -Q in -U --immediate-mode -s ${SNAPLEN} -B ${RING_KIB}`
  await guest.run(`
    tcpdump -i ${nic} ${options} -w ${file} 2>${file}.log & echo $! >${file}.pid
    until grep -q listening ${file}.log; do
      kill -0 $! 2>/dev/null || { cat ${file}.log >&2; exit 1; }
      sleep 0.02
    done
  `)
  let frames: Promise<readonly Uint8Array[]> | undefined
  const capture: Capture = {
    stop: () => {
      frames ??= stopCapture(guest, file)
      return frames
    },
    [Symbol.asyncDispose]: async () => {
      await capture.stop()
    },
  }
  return capture
}

async function stopCapture(guest: Guest, file: string): Promise<readonly Uint8Array[]> {
  // tcpdump prints its last line after it has written the last frame.
  await guest.run(`
    size=; while [ "$size" != "$(stat -c %s ${file})" ]; do
      size=$(stat -c %s ${file}); sleep ${SETTLE_MS / 1000}
    done
    kill -INT "$(cat ${file}.pid)"
    until grep -q 'dropped by kernel' ${file}.log; do sleep 0.02; done
    grep -q '^0 packets dropped by kernel' ${file}.log || { cat ${file}.log >&2; exit 1; }
  `)
  const frames = decodePcap(await guest.get(file))
  await guest.run(`rm ${file} ${file}.log ${file}.pid`)
  return frames
}

async function send(guest: Guest, nic: string, frames: readonly Uint8Array[]): Promise<void> {
  const file = `/tmp/send-${nic}`
  await guest.put(file, encodePcap(frames))
  await guest.run(`
    tcpreplay --pps ${FRAMES_PER_SECOND} -i ${nic} ${file} >${file}.log 2>&1 &&
      grep -Eq 'Successful packets: +${frames.length}$' ${file}.log ||
      { cat ${file}.log >&2; exit 1; }
    rm ${file} ${file}.log
  `)
}
