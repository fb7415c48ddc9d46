// How virt-launcher v1.9.0 defines a domain: twice. First with placeholder NICs, so that libvirt adds a
// PCI port for each; then with the devices as libvirt wrote them down, its own NICs put back. The
// sidecars are asked both times, and what they made the first time is forgotten.
import { writeFile } from 'node:fs/promises'

import { run } from '../kernel/run.ts'
import { toDomainName, toPlaceholderXml } from './domain.ts'
import type { Vmi } from './domain-vmi.ts'
import type { Sandbox } from './launcher-sandbox.ts'
import type { Sidecar } from './launcher-sidecar.ts'

/** manager.go: NICs and free ports together are this many, unless a VM has more NICs. */
const INTERFACE_SLOTS = 4
const INTERFACE = /\s*<interface [^]*?<\/interface>/g
const DEVICES = /<devices>[^]*<\/devices>/

export interface DefineOptions {
  readonly sandbox: Sandbox
  readonly vmi: Vmi
  readonly sidecars: readonly Sidecar[]
  readonly generatedXml: string
  /** Asked after the sidecars. */
  readonly rewriteDomain?: (domainXml: string) => string
}

/** Returns the XML that was defined in the end. */
export async function defineDomain(options: DefineOptions): Promise<string> {
  const { sandbox, vmi, generatedXml } = options
  const nics = vmi.spec.domain.devices.interfaces?.length ?? 0
  const ports = nics === 0 ? 0 : Math.max(0, INTERFACE_SLOTS - nics)
  if (ports === 0) return defineOnce(options, generatedXml)
  await defineOnce(options, addInterfaces(generatedXml, toPlaceholderXml(ports)))
  const written = await sandbox.virsh(['dumpxml', '--inactive', toDomainName(vmi)])
  return defineOnce(options, takeDevices(generatedXml, written))
}

async function defineOnce(options: DefineOptions, xml: string): Promise<string> {
  const { sandbox, vmi } = options
  const hooked = await callHooks(options.sidecars, xml, vmi)
  const wanted = options.rewriteDomain?.(hooked) ?? hooked
  const file = sandbox.toOutsidePath('/run/l2wire/domain.xml')
  // KubeVirt writes these even when empty, which libvirt takes and its schema does not.
  await writeFile(file, wanted.replaceAll(/<(bios|baseBoard|chassis)(><\/\1|\/)>/g, ''))
  await run(['virt-xml-validate', file, 'domain'])
  await writeFile(file, wanted)
  await sandbox.virsh(['define', file])
  return wanted
}

async function callHooks(sidecars: readonly Sidecar[], xml: string, vmi: Vmi): Promise<string> {
  let reached = xml
  for (const { client } of sidecars) {
    const { versions, hookPoints } = await client.info()
    const version = (['v1alpha3', 'v1alpha2', 'v1alpha1'] as const).find((candidate) =>
      versions.includes(candidate),
    )
    if (version === undefined || !hookPoints.some(({ name }) => name === 'OnDefineDomain')) continue
    reached = (await client.onDefineDomain(version, reached, vmi)).toString('utf8')
  }
  return reached
}

function addInterfaces(xml: string, interfaces: string): string {
  return xml.replace('\n\t\t<channel ', () => `\n${interfaces}\n\t\t<channel `)
}

/** The generated domain with the devices that libvirt wrote, except for NICs. */
function takeDevices(generatedXml: string, writtenXml: string): string {
  const interfaces = (generatedXml.match(INTERFACE) ?? []).join('')
  const devices = DEVICES.exec(writtenXml)?.[0].replaceAll(INTERFACE, '')
  if (devices === undefined) throw new Error('Cannot find the devices in what libvirt wrote')
  const merged = devices.replace('<devices>', () => `<devices>${interfaces}`)
  return generatedXml.replace(DEVICES, () => merged)
}
