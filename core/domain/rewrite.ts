// Takes the domain as virt-launcher wrote it and returns the same text with our NICs in it. Pure: the pod's
// links come in as a value, and the same input always gives the same output.
import { DecodeError } from '../errors.ts'
import { amendInterface, renderInterface } from './interface.ts'
import type { Machine, NicPlan, PodLinks, Queues } from './nic.ts'
import { getNicFacts, planNic, toAlias } from './nic.ts'
import { placeInterfaces } from './place.ts'
import type { Edit } from './splice.ts'
import { applyEdits, findIndentUnit } from './splice.ts'
import type { XmlElement } from './tree.ts'
import { findAttribute, findChild, parseTree } from './tree.ts'
import type { Vmi } from './vmi.ts'

const ALIAS_PATH = 'domain/devices/interface/alias'

export interface RewrittenNic {
  readonly name: string
  readonly podLink: string
  readonly target: string
  readonly mtuBytes: number
  readonly queues: Queues
  readonly change: 'added' | 'amended' | 'none'
}

export interface Rewritten {
  readonly xml: string
  readonly nics: readonly RewrittenNic[]
}

/**
 * Plugs every NIC of the VMI that has our binding into the domain. Run on its own output it changes nothing.
 * Throws DecodeError for a document that is no domain, LinkMissingError for a NIC without pod link,
 * LinkUnfitError for a NIC whose model cannot open its tap.
 */
export function rewriteDomain(xml: string, vmi: Vmi, links: PodLinks): Rewritten {
  const { machine, devices } = findDevices(parseTree(xml))
  const existing = indexInterfaces(devices)
  const unit = findIndentUnit(xml, devices)
  const edits: Edit[] = []
  const nics: RewrittenNic[] = []
  const added = new Map<string, NicPlan>()
  for (const nic of vmi.nics) {
    const facts = getNicFacts(nic, links)
    const element = existing.get(toAlias(nic.name))
    const current = element === undefined ? 1 : countQueues(element)
    const plan = planNic(vmi, nic, facts, machine, current)
    let change: RewrittenNic['change'] = 'added'
    if (element === undefined) added.set(plan.alias, plan)
    else {
      const amended = amendInterface(xml, element, plan, unit)
      edits.push(...amended)
      change = amended.length === 0 ? 'none' : 'amended'
    }
    const { podLink, target, mtuBytes } = facts
    nics.push({ name: nic.name, podLink, target, mtuBytes, queues: plan.queues, change })
  }
  const order = vmi.interfaceNames.map(toAlias)
  const render = (plan: NicPlan, separator: string) => renderInterface(plan, separator, unit)
  edits.push(...placeInterfaces({ xml, devices, existing, order, added, unit, render }))
  return { xml: edits.length === 0 ? xml : applyEdits(xml, edits), nics }
}

/** As libvirt reads it: an absent or invalid value, which libvirt refuses itself, counts as one. */
function countQueues(element: XmlElement): number {
  const driver = findChild(element, 'driver')
  const count = Number(driver === undefined ? 1 : findAttribute(driver, 'queues'))
  return Number.isInteger(count) && count > 0 ? count : 1
}

/** The document's <devices> and its facts about the machine. */
function findDevices(root: XmlElement): { machine: Machine; devices: XmlElement } {
  if (root.name !== 'domain') {
    throw new DecodeError('domain XML', `<${root.name}>`, 'a <domain> as root element')
  }
  const devices = findChild(root, 'devices')
  if (devices === undefined) {
    throw new DecodeError('domain/devices', undefined, "an element with the VM's devices")
  }
  const os = findChild(root, 'os')
  const type = os === undefined ? undefined : findChild(os, 'type')
  return {
    devices,
    machine: {
      architecture: type === undefined ? undefined : findAttribute(type, 'arch'),
      isEmulated: findAttribute(root, 'type') === 'qemu',
    },
  }
}

function indexInterfaces(devices: XmlElement): ReadonlyMap<string, XmlElement> {
  const byAlias = new Map<string, XmlElement>()
  for (const element of devices.children.filter(({ name }) => name === 'interface')) {
    const child = findChild(element, 'alias')
    const alias = child === undefined ? undefined : findAttribute(child, 'name')
    if (alias === undefined) continue
    if (byAlias.has(alias)) {
      throw new DecodeError(ALIAS_PATH, alias, 'a name that no other interface has')
    }
    byAlias.set(alias, element)
  }
  return byAlias
}
