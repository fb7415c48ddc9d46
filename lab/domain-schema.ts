// How a domain document returns to virt-launcher v1.9.0: virt-launcher reads it into virtwrap/api's DomainSpec
// and writes it again. Devices, elements and attributes that the schema does not know disappear, and the rest
// takes the schema's order. We process only <devices>; the rest is virt-launcher's own.
import { parseTree, type XmlElement } from '../core/domain/tree.ts'
import { decodeValue } from '../core/domain/well-formed.ts'
import { element, renderElement, type Element } from './domain-element.ts'

const DEVICES = /<devices>[^]*<\/devices>/
const ASIDE = /<!--[^]*?-->|<\?[^]*?\?>/g
/** The fields of api.Devices. */
const DEVICE_ORDER = (
  'emulator interface channel hostdev panic controller video graphics memballoon disk input serial ' +
  'console watchdog rng filesystem redirdev sound tpm vsock memory iommu'
).split(' ')

interface Schema {
  readonly attributes: string
  /** Absent: any child, unchanged. */
  readonly children?: Readonly<Record<string, Schema>>
}

const ADDRESS: Schema = {
  attributes: 'type domain bus slot function controller target unit uuid device cssid ssid devno',
}
const SCHEMAS: Readonly<Record<string, Schema>> = {
  interface: {
    attributes: 'type trustGuestRxFilters',
    children: {
      address: ADDRESS,
      source: { attributes: 'network dev bridge mode', children: { address: ADDRESS } },
      target: { attributes: 'dev managed' },
      model: { attributes: 'type' },
      mac: { attributes: 'address' },
      mtu: { attributes: 'size' },
      bandwidth: { attributes: '', children: {} },
      boot: { attributes: 'order' },
      link: { attributes: 'state' },
      filterref: { attributes: 'filter', children: {} },
      alias: { attributes: 'name' },
      driver: { attributes: 'name queues iommu', children: {} },
      rom: { attributes: 'enabled' },
      acpi: { attributes: 'index' },
      backend: { attributes: 'type logFile' },
      portForward: { attributes: 'proto address dev' },
    },
  },
  controller: {
    attributes: 'type index model',
    children: {
      driver: { attributes: 'iothread queues iommu' },
      alias: { attributes: 'name' },
      address: ADDRESS,
      pcihole64: { attributes: 'unit' },
      target: { attributes: 'hotplug busNr', children: { node: { attributes: '' } } },
    },
  },
}

/** The document with its devices as virt-launcher reads them. */
export function toSchemaXml(xml: string): string {
  const devices = renderElement(element('devices', {}, readDevices(xml)), 1)
  return xml.replace(DEVICES, () => devices.trimStart())
}

/** A domain's devices as virt-launcher reads them, in its schema's order. */
export function readDevices(xml: string): readonly Element[] {
  const text = DEVICES.exec(xml)?.[0]
  if (text === undefined) throw new Error('Cannot find the devices of the domain')
  const known = toElements(text, parseTree(text)).filter(({ name }) => DEVICE_ORDER.includes(name))
  return known
    .toSorted((a, b) => DEVICE_ORDER.indexOf(a.name) - DEVICE_ORDER.indexOf(b.name))
    .map((device) => keepKnown(device, SCHEMAS[device.name]))
}

function toElements(xml: string, parent: XmlElement): readonly Element[] {
  return parent.children.map((child) => {
    const attributes = child.attributes.map(({ name, value }) => [name, value] as const)
    const children = toElements(xml, child)
    const text = xml.slice(child.openEnd, child.contentEnd).replaceAll(ASIDE, '')
    const content = children.length === 0 ? decodeValue(text).trim() : children
    return element(child.name, Object.fromEntries(attributes), content)
  })
}

function keepKnown(device: Element, schema: Schema | undefined): Element {
  if (schema === undefined) return device
  const attributes = schema.attributes
    .split(' ')
    .map((name) => [name, device.attributes[name]] as const)
  const { content } = device
  const { children } = schema
  if (typeof content === 'string' || children === undefined)
    return element(device.name, Object.fromEntries(attributes), content)
  const kept = Object.entries(children).flatMap(([name, child]) =>
    content.filter((each) => each.name === name).map((each) => keepKnown(each, child)),
  )
  return element(device.name, Object.fromEntries(attributes), kept)
}
