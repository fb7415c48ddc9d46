// How virt-launcher v1.9.0 defines a domain: up to three times. First it adds placeholder NICs, so that libvirt
// adds a PCI port for each. Then it uses the devices as libvirt wrote them, with its own NICs put back. Then it
// adds free ports behind them. It calls the sidecars each time. Their first result is forgotten. Their second
// result returns as virt-launcher's schema reads it.
import { writeFile } from 'node:fs/promises'

import { run } from '../kernel/run.ts'
import { toDomainName, toVirtioModel } from './domain.ts'
import { addPlaceholders, addPorts, countExtraPorts, countPlaceholders } from './domain-ports.ts'
import { toSchemaXml } from './domain-schema.ts'
import type { Vmi } from './domain-vmi.ts'
import type { Hooks } from './launcher-hooks.ts'
import type { Sandbox } from './launcher-sandbox.ts'

const INTERFACE = /\s*<interface [^]*?<\/interface>/g
const DEVICES = /<devices>[^]*<\/devices>/

export interface DefineOptions {
  readonly sandbox: Sandbox
  readonly vmi: Vmi
  readonly hooks: Hooks
  readonly generatedXml: string
  /** Called after the sidecars, as often as they are. */
  readonly rewriteDomain?: (domainXml: string) => string
}

/** Returns the XML of the final definition. */
export async function defineDomain(options: DefineOptions): Promise<string> {
  const { sandbox, vmi, generatedXml } = options
  const placeholders = countPlaceholders(vmi)
  let spec = generatedXml
  if (placeholders > 0) {
    await defineOnce(options, addPlaceholders(generatedXml, placeholders, toVirtioModel(vmi)))
    const written = await sandbox.virsh(['dumpxml', '--inactive', toDomainName(vmi)])
    spec = takeDevices(generatedXml, written)
  }
  const defined = await defineOnce(options, spec)
  const ports = countExtraPorts(generatedXml, placeholders)
  return ports === 0 ? defined : defineOnce(options, addPorts(toSchemaXml(defined), ports))
}

async function defineOnce(options: DefineOptions, xml: string): Promise<string> {
  const { sandbox, vmi, hooks } = options
  const hooked = await hooks.onDefineDomain(xml, vmi)
  const wanted = options.rewriteDomain?.(hooked) ?? hooked
  const file = sandbox.toOutsidePath('/run/l2wire/domain.xml')
  await validateDomain(file, wanted)
  await writeFile(file, wanted)
  await sandbox.virsh(['define', file])
  return wanted
}

/** Throws unless the document follows libvirt's schema. Leaves its file behind. */
export async function validateDomain(file: string, xml: string): Promise<void> {
  // KubeVirt writes these even when empty. libvirt accepts that and its schema does not.
  await writeFile(file, xml.replaceAll(/<(bios|baseBoard|chassis)(><\/\1|\/)>/g, ''))
  await run(['virt-xml-validate', file, 'domain'])
}

/** The generated domain with the devices that libvirt wrote, except for NICs. */
function takeDevices(generatedXml: string, writtenXml: string): string {
  const interfaces = (generatedXml.match(INTERFACE) ?? []).join('')
  const devices = DEVICES.exec(writtenXml)?.[0].replaceAll(INTERFACE, '')
  if (devices === undefined) throw new Error('Cannot find the devices in what libvirt wrote')
  const merged = devices.replace('<devices>', () => `<devices>${interfaces}`)
  return toSchemaXml(generatedXml.replace(DEVICES, () => merged))
}
