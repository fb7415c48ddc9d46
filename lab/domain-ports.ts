// Free PCI ports for devices that are plugged into a running VM, counted as virt-launcher v1.9.0 does
// (virtwrap/manager.go): first placeholder NICs while ports are assigned, then separate ports.
import { element, renderElement, type Element } from './domain-element.ts'
import { readDevices } from './domain-schema.ts'
import type { Vmi } from './domain-vmi.ts'

/** calculateHotplugPortCountV1: NICs and placeholders together have this number, unless a VM has more NICs. */
const INTERFACE_SLOTS = 4
/** calculateHotplugPortCountV2, for a VM of up to 2 GiB. */
const TOTAL_PORTS = 8
const MIN_FREE_PORTS = 3
const MAX_BUS = 31

export function countPlaceholders(vmi: Vmi): number {
  const nics = vmi.spec.domain.devices.interfaces?.length ?? 0
  return nics === 0 ? 0 : Math.max(0, INTERFACE_SLOTS - nics)
}

/** Root ports to add to those of devices and placeholders. */
export function countExtraPorts(generatedXml: string, placeholders: number): number {
  const inUse = readDevices(generatedXml).filter(isOnPci).length
  return Math.max(0, Math.max(TOTAL_PORTS - inUse, MIN_FREE_PORTS) - placeholders)
}

/** The placeholder that virt-launcher adds to reserve PCI ports for later NICs. Such a tap does not exist. */
export function addPlaceholders(xml: string, count: number, model: string): string {
  const placeholders = Array.from({ length: count }, (_, index) =>
    element('interface', { type: 'ethernet' }, [
      element('source'),
      element('target', { dev: `placeholder-${index}`, managed: 'no' }),
      element('model', { type: model }),
      element('alias', { name: `placeholder-${index}` }),
    ]),
  )
  const text = placeholders.map((placeholder) => `${renderElement(placeholder, 2)}\n`).join('')
  return xml.replace('\t\t<channel ', () => `${text}\t\t<channel `)
}

export function addPorts(xml: string, count: number): string {
  const indexes = readDevices(xml)
    .filter(({ name, attributes }) => name === 'controller' && attributes['type'] === 'pci')
    .map(({ attributes }) => Number(attributes['index']))
  const first = Math.max(0, ...indexes) + 1
  const ports = Array.from({ length: count }, (_, offset) => first + offset)
    .filter((index) => index <= MAX_BUS)
    .map((index) => ({ type: 'pci', index: String(index), model: 'pcie-root-port' }))
    .map((attributes) => `${renderElement(element('controller', attributes), 2)}\n`)
  return xml.replace('\t\t<video>', () => `${ports.join('')}\t\t<video>`)
}

/** converter/pci-placement.go: iteratePCIAddresses. */
function isOnPci(device: Element): boolean {
  const { name, attributes } = device
  const address = findChild(device, 'address')?.attributes['type']
  if (address !== undefined && address !== 'pci') return false
  if (name === 'disk') return findChild(device, 'target')?.attributes['bus'] === 'virtio'
  if (name === 'input') return attributes['bus'] === 'virtio'
  if (name === 'hostdev') return attributes['type'] === 'pci'
  if (name === 'controller')
    return !/^(?:pcie?-root|pcie-expander-bus)$/.test(attributes['model'] ?? '')
  return ['interface', 'watchdog', 'rng', 'memballoon'].includes(name)
}

function findChild(device: Element, name: string): Element | undefined {
  return typeof device.content === 'string'
    ? undefined
    : device.content.find((child) => child.name === name)
}
