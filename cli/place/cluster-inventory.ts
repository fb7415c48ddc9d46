// What a cluster keeps of wires, for the doctor: each list by the real kubectl, and what it may not read
// told in a sentence.
import { parseItems, readName, toVniClaim, type AgentPod } from '../../core/doctor/cluster-list.ts'
import { renderCauses } from '../../core/errors.ts'
import type { Wire } from '../../core/wire/wire.ts'
import { fromWireObject, GROUP, VERSION, VNI_CLAIMS, WIRES } from '../../core/wire/object.ts'
import { CliError } from '../cli-error.ts'
import { readAround } from './cluster-around.ts'
import type { Kubectl } from './kubectl.ts'
import type { Inventory } from './place.ts'

/** Throws CliError where wires or agents cannot be read: without them there is nothing to compare. */
export async function takeClusterInventory(
  kubectl: Kubectl,
  namespace: string | undefined,
  listAgents: () => Promise<readonly AgentPod[]>,
): Promise<Inventory> {
  const unknown: string[] = []
  const api = `/apis/${GROUP}/${VERSION}`
  const tryList = async (what: string, ...args: readonly string[]): Promise<Items | undefined> => {
    try {
      return parseItems(await kubectl.read('get', ...args), what)
    } catch (error) {
      if (!(error instanceof CliError)) throw error
      unknown.push(`${what}: ${error.message}`)
      return undefined
    }
  }
  // Claims before wires: one that is made meanwhile is not taken for one that nobody noted.
  const claims = await tryList('VNI claims', '--raw', `${api}/${VNI_CLAIMS}`)
  const where = namespace === undefined ? '' : `namespaces/${namespace}/`
  const objects = parseItems(await kubectl.read('get', '--raw', `${api}/${where}${WIRES}`), WIRES)
  const nodes = await tryList('Nodes', '--raw', '/api/v1/nodes')
  const wires: Wire[] = []
  const unreadable: string[] = []
  for (const object of objects)
    try {
      wires.push(fromWireObject(object))
    } catch (error) {
      unreadable.push(renderCauses(error))
    }
  return {
    wires,
    unreadable,
    vniClaims: claims?.flatMap((item) => toVniClaim(item) ?? []),
    nodeNames: nodes?.map(readName),
    agents: await listAgents(),
    ...(await readAround(kubectl, namespace)),
    unknown,
  }
}

type Items = ReturnType<typeof parseItems>
