// One <interface> element: a new one, or edits of an existing one.
import type { NicPlan } from './nic.ts'
import type { Edit, ElementSpec } from './splice.ts'
import {
  appendContent,
  delAttribute,
  delElement,
  findChildSeparator,
  renderAttributes,
  renderElement,
  setAttributes,
} from './splice.ts'
import type { XmlElement } from './tree.ts'
import { findAttribute, findChild } from './tree.ts'

// A tap that somebody else made and configured, so that libvirt only opens it.
// https://libvirt.org/formatdomain.html#generic-ethernet-connection
const TYPE = { type: 'ethernet' } as const

/** A whole <interface>, its children on lines of their own if the separator is a line break. */
export function renderInterface(plan: NicPlan, separator: string, unit: string): string {
  const inner = separator === '' ? '' : separator + unit
  const children = plan.elements.map((spec) => inner + renderElement(spec)).join('')
  return `<interface${renderAttributes(TYPE)}>${children}${separator}</interface>`
}

/** The edits that make an <interface> match the plan. None if it already does. */
export function amendInterface(
  xml: string,
  element: XmlElement,
  plan: NicPlan,
  unit: string,
): Edit[] {
  const edits = [...setAttributes(xml, element, TYPE), ...delForeignSource(xml, element)]
  const missing: ElementSpec[] = []
  for (const spec of plan.elements) {
    const child = findChild(element, spec.name)
    if (child === undefined) missing.push(spec)
    else if (isOfOtherType(child, spec)) {
      edits.push(delElement(xml, child))
      missing.push(spec)
    } else edits.push(...setAttributes(xml, child, spec.attributes))
  }
  for (const spec of plan.unwanted) {
    const child = findChild(element, spec.name)
    if (child !== undefined && hasAttributes(child, spec)) edits.push(delElement(xml, child))
  }
  if (plan.queues === 'none') edits.push(...delQueues(xml, element))
  const separator = findChildSeparator(xml, element, unit)
  const text = missing.map((spec) => separator + renderElement(spec)).join('')
  return [...edits, ...appendContent(xml, element, text)]
}

// The source of an interface of another type ("bridge=…") has no meaning here.
function delForeignSource(xml: string, element: XmlElement): Edit[] {
  const source = findChild(element, 'source')
  if (source === undefined || findAttribute(element, 'type') === TYPE.type) return []
  return [delElement(xml, source)]
}

// The attributes of an <address> depend on its type, so attributes of another type must go.
function isOfOtherType(child: XmlElement, spec: ElementSpec): boolean {
  return spec.name === 'address' && findAttribute(child, 'type') !== spec.attributes['type']
}

function hasAttributes(element: XmlElement, spec: ElementSpec): boolean {
  return Object.entries(spec.attributes).every(
    ([name, value]) => findAttribute(element, name) === value,
  )
}

// KubeVirt writes the driver's name only along with queues or iommu, and the name "vhost" requires vhost-net.
// Without queues and iommu the element has to go, not only its attribute.
function delQueues(xml: string, element: XmlElement): Edit[] {
  const driver = findChild(element, 'driver')
  if (driver === undefined || findAttribute(driver, 'queues') === undefined) return []
  const isOnlyForQueues =
    driver.children.length === 0 &&
    driver.attributes.every(({ name }) => name === 'name' || name === 'queues')
  return isOnlyForQueues ? [delElement(xml, driver)] : delAttribute(xml, driver, 'queues')
}
