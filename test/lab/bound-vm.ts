// A VM whose NICs of ours are on a wire each, with a container's end at the other side.
import { writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { expect } from 'chai'

import { FRAME_ROWS } from '../../core/tester/frames.ts'
import { renderVerdicts } from '../../core/tester/table.ts'
import { testCable } from '../../kernel/tester/cable-test.ts'
import { run } from '../../kernel/run.ts'
import type { Station } from '../../kernel/tester/station.ts'
import { plugContainer, readWireConfig } from '../../lab/demo-scene.ts'
import { toDomainName } from '../../lab/domain.ts'
import { element, renderElement } from '../../lab/domain-element.ts'
import { readDevices } from '../../lab/domain-schema.ts'
import type { VmiInterface } from '../../lab/domain-vmi.ts'
import { DEFAULT_BINDINGS } from '../../lab/launcher.ts'
import { newLabNetns } from '../../lab/netns.ts'
import { newLabNode } from '../../lab/node.ts'
import { newVmPod } from '../../lab/vm-pod.ts'

/** The guest's driver for each model that KubeVirt admits. */
export const DRIVERS: Readonly<Record<string, string>> = {
  virtio: 'virtio_net',
  e1000: 'e1000',
  e1000e: 'e1000e',
  igb: 'igb',
  rtl8139: '8139cp',
  pcnet: 'pcnet32',
  ne2k_pci: 'ne2k-pci',
}
/** Emulated NICs pad and alter frames; these any of them carries. */
const ROWS = FRAME_ROWS.filter(({ name }) =>
  ['unicast to the other NIC', '1514 bytes'].includes(name),
)

export interface BoundVm extends AsyncDisposable {
  readonly definedXml: string
  /** Throws unless frames of this network arrive both ways. */
  expectCarried(network: string): Promise<void>
  /** What a command prints in the folder of this network's NIC in the guest's /sys. */
  askSysfs(network: string, command: string): Promise<string>
  /** Puts the plug of a running VM in or out, as virt-launcher does. */
  setLinkState(network: string, state: 'up' | 'down'): Promise<void>
}

/** A VM with these interfaces, in this order; a binding of ours makes a wire of one. */
export async function newBoundVm(
  interfaces: readonly VmiInterface[],
  devices: object = {},
): Promise<BoundVm> {
  await using started = new AsyncDisposableStack()
  const node = started.use(await newLabNode())
  const bound = interfaces.filter(({ binding }) => binding !== undefined)
  const configs = await Promise.all(bound.map(({ name }) => readWireConfig(`wire-${name}`)))
  const networks = Object.fromEntries(configs.map((config) => [String(config['name']), config]))
  const spec = {
    domain: { devices: { interfaces, ...devices } },
    networks: interfaces.map(({ name, binding }) => ({
      name,
      ...(binding === undefined ? { pod: {} } : { multus: { networkName: `wire-${name}` } }),
    })),
  }
  const vm = { kind: 'VirtualMachine', metadata: { name: 'r9' }, spec: { template: { spec } } }
  const pod = started.use(await newVmPod({ node, vm, networks, bindings: DEFAULT_BINDINGS }))
  const netns = started.use(await newLabNetns('h9', { ipv6: false }))
  const far = new Map<string, Station>()
  for (const [index, { name }] of bound.entries()) {
    const config = networks[`wire-${name}`] ?? {}
    const selection = { interface: `eth${index}` }
    far.set(name, await plugContainer(node, netns, `h-${name}`, config, selection))
  }
  const stations = new Map<string, Promise<Station>>()
  const getStation = async (network: string): Promise<Station> => {
    const station = stations.get(network) ?? pod.getStation(network)
    stations.set(network, station)
    return station
  }
  const { launcher } = pod
  const resources = started.move()
  return {
    definedXml: launcher.definedXml,
    expectCarried: async (network) => {
      const b = far.get(network)
      if (b === undefined) throw new Error(`Nothing at the other end of "${network}"`)
      const columns = await testCable({ a: await getStation(network), b }, ROWS)
      const faults = columns.flatMap(({ verdicts }) =>
        verdicts.slice(0, ROWS.length).filter(({ outcome }) => outcome !== 'delivered'),
      )
      expect(faults, `${network}\n${renderVerdicts(columns)}`).to.deep.equal([])
    },
    askSysfs: async (network, command) => {
      const { mac } = await (await getStation(network)).readNic()
      const guest = await pod.getGuest()
      const { name } = await guest.nicByMac(mac)
      return (await guest.run(`cd /sys/class/net/${name} && ${command}`)).trim()
    },
    setLinkState: async (network, state) => {
      const name = toDomainName(launcher.vmi)
      const running = await launcher.virsh(['dumpxml', name])
      const file = join(tmpdir(), `l2w-link-${process.pid}.xml`)
      await writeFile(file, toUpdate(running, network, state))
      try {
        await launcher.virsh(['update-device', name, file, '--live', '--config'])
      } finally {
        await run(['rm', file])
      }
    },
    [Symbol.asyncDispose]: async () => resources.disposeAsync(),
  }
}

/** virtwrap/network/nichotplug.go: the interface as its schema has it, in lower case, with another state. */
function toUpdate(runningXml: string, network: string, state: string): string {
  const running = readDevices(runningXml)
  const device = running.find((each) => renderElement(each).includes(`"ua-${network}"`))
  if (device === undefined || typeof device.content === 'string')
    throw new Error(`Cannot find NIC "${network}" of the running domain`)
  const others = device.content.filter((child) => child.name !== 'link')
  const wanted = element('interface', device.attributes, [...others, element('link', { state })])
  return renderElement(wanted).toLowerCase()
}
