import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempDisposable, readdir, readFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'

import { expect } from 'chai'
import { describe, it } from 'mocha'

import { toPodLinkName, toTapName } from '../../core/name.ts'
import { FRAME_ROWS } from '../../core/tester/frames.ts'
import { renderVerdicts } from '../../core/tester/table.ts'
import { testCable, testIdle } from '../../kernel/tester/cable-test.ts'
import { newNetnsStation } from '../../kernel/tester/netns-station.ts'
import { run } from '../../kernel/run.ts'
import type { Station } from '../../kernel/tester/station.ts'
import { toVmi, type Vmi } from '../../lab/domain-vmi.ts'
import { newGuestStation } from '../../lab/guest-station.ts'
import { newLauncher } from '../../lab/launcher.ts'
import { newLabNetns, type LabNetns } from '../../lab/netns.ts'

const MAC = '02:00:00:00:01:01'
const POD_LINK = toPodLinkName('ge0')
const TAP = toTapName(POD_LINK)
/** More of them to look for rare losses: ROUNDS=20 mocha test/lab/launcher.test.ts. */
const ROUNDS = Number(process.env['ROUNDS'] ?? 2)
/** The acceptance table has 30. */
const IDLE_SECONDS = Number(process.env['IDLE_SECONDS'] ?? 2)
/** For frames still on their way through the emulated NIC. */
const SETTLE_MS = 300

describe('newLauncher()', function () {
  this.timeout(300_000)

  it('boots a VM whose NIC loses no frame of any length, either way', async () => {
    await using cable = await newTapCable()
    await using launcher = await newLauncher({
      netnsName: cable.pod.name,
      vmi: newVmi('r1'),
      // As of a hook: it is asked again on what it has made.
      rewriteDomain: (xml) =>
        xml.includes(TAP) ? xml : xml.replace('<channel', `${toInterfaceXml(TAP)}<channel`),
    })
    await using guest = await launcher.connectGuest()
    const inside = await newGuestStation(guest, 'VM', MAC)
    const frames = newFrames(80)
    const ways = [
      [inside, cable.far],
      [cable.far, inside],
    ] as const
    for (let round = 0; round < ROUNDS; round += 1) {
      for (const [from, to] of ways) {
        await using capture = await to.startCapture()
        await from.send(frames)
        await sleep(SETTLE_MS)
        const received = await capture.stop()
        expect(received.map(toHex), `${from.label} to ${to.label}`).to.deep.equal(frames.map(toHex))
      }
    }
  })

  it('starts the sidecar of a binding, and the VM on the wire passes every class of frame', async () => {
    await using cable = await newTapCable()
    await using launcher = await newLauncher({
      netnsName: cable.pod.name,
      vmi: newVmi('r1', [
        { name: 'mgmt', masquerade: {} },
        { name: 'ge0', binding: { name: 'l2wire' }, macAddress: MAC },
      ]),
    })
    // From before the guest's driver is loaded until it has long been up.
    await using boot = await cable.far.startCapture()
    await using guest = await launcher.connectGuest()
    const inside = await newGuestStation(guest, 'VM', MAC)
    expect(await boot.stop(), 'frames while booting').to.deep.equal([])

    const ends = { a: inside, b: cable.far }
    const [idle = []] = await testIdle([ends], IDLE_SECONDS)
    const columns = [...(await testCable(ends, FRAME_ROWS)), ...idle]
    const faults = columns.flatMap(({ verdicts }) =>
      verdicts.filter((row) => row.outcome !== 'delivered'),
    )
    expect(faults, renderVerdicts(columns)).to.deep.equal([])
  })

  it('has a guest that answers each of a hundred who come one after the other', async () => {
    await using netns = await newLabNetns('shell')
    const vmi = newVmi('r1', [{ name: 'mgmt', masquerade: {} }])
    await using launcher = await newLauncher({ netnsName: netns.name, vmi })
    for (let caller = 0; caller < 100; caller += 1) {
      await using guest = await launcher.connectGuest()
      expect(await guest.run(`echo ${caller}`)).to.equal(`${caller}\n`)
    }
  })

  it('gives a VM the NIC model that its manifest asks for', async () => {
    await using netns = await newLabNetns('model')
    await using launcher = await newLauncher({
      netnsName: netns.name,
      vmi: newVmi('r1', [{ name: 'mgmt', masquerade: {}, model: 'e1000' }]),
    })
    await using guest = await launcher.connectGuest()
    const driver = await guest.run('readlink /sys/class/net/eth0/device/driver')
    expect(driver.trim()).to.match(/e1000$/)
  })

  it('runs two at once, each with its own libvirt and its own tap0', async () => {
    await using one = await newLabNetns('one')
    await using two = await newLabNetns('two')
    const vmi = newVmi('r1', [{ name: 'mgmt', masquerade: {} }])
    const launchers = await Promise.all(
      [one, two].map(async ({ name }) => newLauncher({ netnsName: name, vmi })),
    )
    await using first = launchers[0]
    await using second = launchers[1]
    const guests = await Promise.all([first?.connectGuest(), second?.connectGuest()])
    for (const guest of guests) {
      const nics = await guest?.nics()
      expect(nics?.map(({ name, mtu }) => `${name} ${mtu}`)).to.deep.equal(['eth0 1500'])
      guest?.close()
    }
  })

  for (const signal of ['SIGKILL', 'SIGINT'] as const) {
    it(`leaves nothing behind when its process gets ${signal}`, async () => {
      await using netns = await newLabNetns('killed')
      await using folder = await mkdtempDisposable(path.join(tmpdir(), 'l2w-'))
      const fixture = fileURLToPath(new URL('fixture-launch.ts', import.meta.url))
      const child = spawn(process.execPath, [fixture, netns.name], {
        stdio: ['ignore', 'pipe', 'inherit'],
        env: { ...process.env, TMPDIR: folder.path },
      })
      const [said] = (await once(child.stdout, 'data')) as [Buffer]
      expect(said.toString('utf8')).to.match(/^running/)
      expect(await listRemains(netns)).to.include.members(['device tap0'])
      child.kill(signal)
      await once(child, 'close')
      await expectNothingLeft(netns)
      expect(await readdir(folder.path)).to.deep.equal([])
    })
  }

  const faults = [
    {
      name: 'XML that libvirt cannot read',
      rewrite: (xml: string) => xml.replace('</domain>', ''),
      message: /domain\.xml.*parser error/s,
    },
    {
      name: 'a NIC whose tap is not there',
      rewrite: (xml: string) => xml.replace('tap0', 'tap1'),
      message: /specified dev doesn't exist/,
    },
  ]
  for (const { name, rewrite, message } of faults) {
    it(`takes everything back and says why: ${name}`, async () => {
      await using netns = await newLabNetns('fault')
      const vmi = newVmi('r1', [{ name: 'mgmt', masquerade: {} }])
      const launching = newLauncher({ netnsName: netns.name, vmi, rewriteDomain: rewrite })
      const error = await launching.then(
        () => undefined,
        (reason: unknown) => reason,
      )
      expect(error).to.be.instanceOf(Error).with.property('message').that.matches(message)
      await expectNothingLeft(netns)
    })
  }
})

/** Devices besides lo, and processes that are in the namespace or name it. */
async function listRemains(netns: LabNetns): Promise<readonly string[]> {
  const links = JSON.parse(await netns.run(['ip', '-j', 'link'])) as { ifname: string }[]
  const devices = links
    .map(({ ifname }) => `device ${ifname}`)
    .filter((name) => name !== 'device lo')
  const inside = (await run(['ip', 'netns', 'pids', netns.name])).trim().split('\n')
  const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name))
  const named = await Promise.all(
    pids.map(async (pid) => {
      const argv = await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '')
      return argv.split('\0').includes(netns.name) ? [argv.replaceAll('\0', ' ')] : []
    }),
  )
  return [
    ...devices,
    ...inside.filter((pid) => pid !== '').map((pid) => `pid ${pid}`),
    ...named.flat(),
  ]
}

async function expectNothingLeft(netns: LabNetns): Promise<void> {
  const deadline = Date.now() + 5000
  let remains = await listRemains(netns)
  while (remains.length > 0 && Date.now() < deadline) {
    await sleep(50)
    remains = await listRemains(netns)
  }
  expect(remains).to.deep.equal([])
}

function toHex(frame: Uint8Array): string {
  return Buffer.from(frame).toString('hex')
}

function newVmi(name: string, interfaces: readonly object[] = []): Vmi {
  const disks = [{ name: 'root', disk: { bus: 'virtio' } }]
  const networks = [
    { name: 'mgmt', pod: {} },
    { name: 'ge0', multus: { networkName: 'r1-r2' } },
  ]
  const spec = { domain: { devices: { disks, interfaces } }, networks }
  return toVmi({ kind: 'VirtualMachine', metadata: { name }, spec: { template: { spec } } })
}

/** Without <mtu>, so that the guest may raise its own. */
function toInterfaceXml(tap: string): string {
  return `<interface type="ethernet">
    <target dev="${tap}" managed="no"/>
    <model type="virtio-non-transitional"/>
    <mac address="${MAC}"/>
    <rom enabled="no"/>
  </interface>`
}

/** Lengths from the runt to the jumbo frame, each frame different, of no protocol. */
function newFrames(count: number): readonly Uint8Array[] {
  return Array.from({ length: count }, (_, index) => {
    const length = 14 + Math.round((index * (9014 - 14)) / (count - 1))
    const frame = Buffer.alloc(length, index)
    Buffer.from('020000000101020000000202', 'hex').copy(frame)
    frame.writeUInt16BE(0x88b5, 12)
    return frame
  })
}

interface TapCable extends AsyncDisposable {
  readonly pod: LabNetns
  readonly far: Station
}

/** A tap for user 107 in a pod's namespace, joined to a veth whose peer is the far station's. */
async function newTapCable(): Promise<TapCable> {
  await using made = new AsyncDisposableStack()
  // The cable is the lab's own, and nothing silences its pod link.
  const pod = made.use(await newLabNetns('pod', { ipv6: false }))
  const far = made.use(await newLabNetns('far', { ipv6: false }))
  const veth = ['type', 'veth', 'peer', 'name', 'eth1', 'netns', far.name]
  await pod.run(['ip', 'link', 'add', 'name', POD_LINK, ...veth])
  await pod.run(`ip tuntap add dev ${TAP} mode tap user 107 group 107`.split(' '))
  await far.run('ip link set dev eth1 mtu 9216 up'.split(' '))
  for (const [from, to] of [
    [POD_LINK, TAP],
    [TAP, POD_LINK],
  ] as const) {
    await pod.run(`ip link set dev ${from} mtu 9216 up`.split(' '))
    await pod.run(`tc qdisc add dev ${from} clsact`.split(' '))
    const filter = `tc filter replace dev ${from} ingress pref 1 handle 1 protocol all bpf bytecode`
    const redirect = `action mirred egress redirect dev ${to}`
    await pod.run([...filter.split(' '), '1,6 0 0 4294967295,', ...redirect.split(' ')])
  }
  const resources = made.move()
  return {
    pod,
    far: newNetnsStation(run, { label: 'far:eth1', netns: far.path, ifname: 'eth1' }),
    [Symbol.asyncDispose]: () => resources.disposeAsync(),
  }
}
