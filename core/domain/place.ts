// Where a new <interface> goes. The guest numbers its NICs in the domain's order, and the author of the VMI
// chose its order.
import type { Edit } from './splice.ts'
import { appendContent, findChildSeparator, findSeparator } from './splice.ts'
import type { XmlElement } from './tree.ts'

export interface Placement<Plan> {
  readonly xml: string
  readonly devices: XmlElement
  /** Interfaces of the document, by alias. */
  readonly existing: ReadonlyMap<string, XmlElement>
  /** Aliases of all the VMI's interfaces, in its order. */
  readonly order: readonly string[]
  /** The plans to add, by alias. */
  readonly added: ReadonlyMap<string, Plan>
  readonly unit: string
  readonly render: (plan: Plan, separator: string) => string
}

/** The edits that put every added interface behind its predecessor in the VMI, or else before its successor. */
export function placeInterfaces<Plan>(placement: Placement<Plan>): Edit[] {
  const { xml, devices, existing, order, added, unit, render } = placement
  // Without white space between two elements both edits have the same position. The one behind the first
  // element comes first.
  const behind: Edit[] = []
  const ahead: Edit[] = []
  let appended = ''
  let before: XmlElement | undefined
  // Only an interface without a predecessor goes ahead of anything, so it goes before the VMI's first existing
  // one. Without a neighbour from the VMI it goes before any other interface (KubeVirt appends placeholders for
  // later hotplug), or else behind all devices.
  const after =
    findFirst(existing, order) ?? devices.children.find(({ name }) => name === 'interface')
  for (const alias of order) {
    before = existing.get(alias) ?? before
    const plan = added.get(alias)
    if (plan === undefined) continue
    if (before !== undefined) {
      const separator = findSeparator(xml, before)
      behind.push({ start: before.end, end: before.end, text: separator + render(plan, separator) })
    } else if (after !== undefined) {
      const separator = findSeparator(xml, after)
      ahead.push({
        start: after.start,
        end: after.start,
        text: render(plan, separator) + separator,
      })
    } else {
      const separator = findChildSeparator(xml, devices, unit)
      appended += separator + render(plan, separator)
    }
  }
  return [...behind, ...ahead, ...appendContent(xml, devices, appended)]
}

function findFirst(
  existing: ReadonlyMap<string, XmlElement>,
  aliases: readonly string[],
): XmlElement | undefined {
  for (const alias of aliases) {
    const element = existing.get(alias)
    if (element !== undefined) return element
  }
  return undefined
}
