// Whether wires are as they should be, all of a namespace: what is in the API, on the nodes, and what the doctor says.
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'

import type { Checkup } from '../../core/view/checkup.ts'
import { toHostEndName, toTunnelDeviceName } from '../../core/name.ts'
import { toAttachmentKey, toWireKey, type AttachmentId } from '../../core/wire/wire.ts'
import type { KubeNode } from '../../lab/kube/cluster.ts'
import { toMachineFolder } from '../../lab/kube/state.ts'
import { hasCondition } from '../../lab/kube/status.ts'
import { waitFor } from '../../lab/kube/wait.ts'
import type { Manifest } from '../../lab/manifests.ts'
import { listFolder } from '../../store/json-file.ts'
import type { Place } from '../../lab/kube/place.ts'

export interface WireEnd {
  readonly holder: string
  readonly ifname: string
  readonly containerID: string
  readonly node: string
  readonly pod: string
}

interface WireObject extends Manifest {
  readonly spec: {
    readonly name: string
    readonly ends: readonly WireEnd[]
    readonly standbys?: readonly unknown[]
    readonly displaced?: readonly unknown[]
  }
}

const PATIENCE_MS = 180_000

/** By the holder's name, as "pod/h1". Undefined while it is not plugged in. */
export async function findEnd(
  place: Place,
  wire: string,
  holder: string,
): Promise<WireEnd | undefined> {
  const found = (await listWires(place)).find(({ spec }) => spec.name === wire)
  return found?.spec.ends.find((end) => end.holder === holder)
}

/**
 * Waits until each of these wires is connected, each node has the devices and documents of its ends and no
 * other, nothing of an earlier end is left, and the doctor is content. The error says what lacks.
 */
export async function expectWired(place: Place, names: readonly string[]): Promise<void> {
  let lacks: readonly string[] = []
  const isWired = async (): Promise<boolean> => {
    lacks = await listLacks(place, names)
    return lacks.length === 0
  }
  await waitFor('all wires are whole', isWired, { timeoutMs: PATIENCE_MS, everyMs: 1000 }).catch(
    (cause: unknown) => {
      throw new Error(`Wires are not whole: ${lacks.join('; ')}`, { cause })
    },
  )
}

async function listLacks(place: Place, names: readonly string[]): Promise<readonly string[]> {
  const wires = await listWires(place)
  const lacks: string[] = []
  for (const name of names) {
    const wire = wires.find(({ spec }) => spec.name === name)
    if (wire === undefined || !hasCondition(wire, 'Connected')) lacks.push(`${name} not connected`)
    if ((wire?.spec.standbys ?? []).length > 0) lacks.push(`${name} has somebody standing by`)
    if ((wire?.spec.displaced ?? []).length > 0) lacks.push(`${name} has somebody displaced`)
  }
  for (const node of place.cluster.nodes) {
    const [wanted, there] = [listWanted(place, wires, node), await listThere(place, node)]
    if (wanted.join() !== there.join())
      lacks.push(`${node.name} has ${there.join(' ')}, expected ${wanted.join(' ')}`)
  }
  // It takes a second, so it is asked last.
  return lacks.length > 0 ? lacks : listFindings(place)
}

async function listWires(place: Place): Promise<readonly WireObject[]> {
  const text = await place.kubectl('get', 'wires', '-o', 'json')
  return (JSON.parse(text) as { readonly items: readonly WireObject[] }).items
}

/** Names of devices, and of documents of attachments to wires. */
function listWanted(
  { namespace }: Place,
  wires: readonly WireObject[],
  { name }: KubeNode,
): readonly string[] {
  return wires
    .flatMap(({ spec }) => {
      const here = spec.ends.filter(({ node }) => node === name)
      const crosses = here.length === 1 && spec.ends.length === 2
      return [
        ...here.flatMap(({ containerID, ifname }) => [
          toHostEndName(containerID, ifname),
          toAttachmentKey({ containerID, ifname }),
        ]),
        ...(crosses ? [toTunnelDeviceName(toWireKey({ namespace, name: spec.name }))] : []),
      ]
    })
    .sort()
}

interface Link {
  readonly ifname: string
  readonly ifalias?: string
}

async function listThere({ namespace }: Place, node: KubeNode): Promise<readonly string[]> {
  const links = JSON.parse(await node.run(['ip', '-json', 'link', 'show'])) as readonly Link[]
  const devices = links.filter(({ ifalias = '' }) => ifalias.startsWith(`l2wire ${namespace}/`))
  const documents = (await listDocuments(node)).filter(
    ({ kind, wire }) => kind === 'wire' && wire?.namespace === namespace,
  )
  return [...devices.map(({ ifname }) => ifname), ...documents.map(toAttachmentKey)].sort()
}

type Document = AttachmentId & {
  readonly kind: 'wire' | 'tap'
  readonly wire?: { readonly namespace: string }
}

/** What the node's agent remembers. */
export async function listDocuments({ name }: KubeNode): Promise<readonly Document[]> {
  const folder = join(toMachineFolder(name), 'disk/var/lib/l2wire/attachments')
  const documents: Document[] = []
  const files = (await listFolder(folder)).filter((name) => name.endsWith('.json'))
  for (const file of files) {
    // One that has gone meanwhile is none.
    const text = await readFile(join(folder, file), 'utf8').catch(() => undefined)
    if (text !== undefined) documents.push(JSON.parse(text) as Document)
  }
  return documents
}

async function listFindings({ cluster, namespace }: Place): Promise<readonly string[]> {
  // Exit codes 1 and 2 say in short what the answer says in full.
  const argv = ['kubectl', 'l2wire', 'doctor', '--namespace', namespace, '-o', 'json']
  const text = await cluster.run(['sh', '-c', '"$@" || [ $? -le 2 ]', 'sh', ...argv])
  const { findings, unknown, isClean } = JSON.parse(text) as Checkup
  const said = [...findings.map(({ what }) => what), ...unknown]
  return isClean ? [] : said.map((what) => `the doctor says: ${what}`)
}
