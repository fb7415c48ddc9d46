// What a domain document is when it comes back to virt-launcher v1.9.0: it is read into virtwrap/api's
// DomainSpec and written anew. Devices, elements and attributes that the schema does not know are gone, the rest
// stands in the schema's order. Only <devices> is gone through: the rest is virt-launcher's own.
import { parseXml, XmlElement, XmlText } from '@rgrove/parse-xml'

import { element, renderElement, type Element } from './domain-element.ts'

const DEVICES = /<devices>[^]*<\/devices>/
/** The fields of api.Devices. */
const DEVICE_ORDER = (
  'emulator interface channel hostdev panic controller video graphics memballoon disk input serial ' +
  'console watchdog rng filesystem redirdev sound tpm vsock memory iommu'
).split(' ')

interface Schema {
  readonly attributes: string
  /** Absent: any, as they are. */
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

/** The document with its devices as virt-launcher understands them. */
export function toSchemaXml(xml: string): string {
  const devices = renderElement(element('devices', {}, readDevices(xml)), 1)
  return xml.replace(DEVICES, () => devices.trimStart())
}

/** A domain's devices, as virt-launcher understands them, in the order of its schema. */
export function readDevices(xml: string): readonly Element[] {
  const text = DEVICES.exec(xml)?.[0]
  if (text === undefined) throw new Error('Cannot find the devices of the domain')
  const { root } = parseXml(text)
  const devices = root === null ? [] : toElements(root)
  const known = devices.filter(({ name }) => DEVICE_ORDER.includes(name))
  return known
    .toSorted((a, b) => DEVICE_ORDER.indexOf(a.name) - DEVICE_ORDER.indexOf(b.name))
    .map((device) => keepKnown(device, SCHEMAS[device.name]))
}

function toElements(parent: XmlElement): readonly Element[] {
  return parent.children
    .filter((child) => child instanceof XmlElement)
    .map((child) => {
      const children = toElements(child)
      const text = child.children.map((node) => (node instanceof XmlText ? node.text : '')).join('')
      return element(child.name, child.attributes, children.length === 0 ? text.trim() : children)
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
