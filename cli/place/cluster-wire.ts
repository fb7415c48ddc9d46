// One Wire object of a cluster, read and changed through kubectl: what a user may change of it.
import { setUnplugged, toWireKey, type Wire, type WireId } from '../../core/wire/wire.ts'
import { fromWireObject, GROUP, toObjectName, VERSION, WIRES } from '../../core/wire/object.ts'
import { CliError } from '../cli-error.ts'
import { isRefusal, type Kubectl } from './kubectl.ts'

interface Found {
  readonly wire: Wire
  readonly uid: string
  readonly resourceVersion: string
}

const KIND = `${WIRES}.${GROUP}`
/** The ends' agents may write at the same moment; each write of theirs is one that we lose. */
const TRIES = 10

export async function readWire(kubectl: Kubectl, id: WireId): Promise<Wire | undefined> {
  return (await find(kubectl, id))?.wire
}

/** Sets spec.unplugged, and makes or removes the object where that is all it is for. */
export async function plugWire(
  kubectl: Kubectl,
  id: WireId,
  isUnplugged: boolean,
): Promise<Wire | undefined> {
  for (let tries = 1; ; tries += 1) {
    const found = await find(kubectl, id)
    const changed = setUnplugged(found?.wire, id, isUnplugged)
    if (changed === found?.wire) return changed
    try {
      if (found === undefined) await make(kubectl, id)
      else if (changed === undefined) await remove(kubectl, id, found)
      else await patch(kubectl, id, found, isUnplugged)
      return changed
    } catch (error) {
      if (!isRefusal(error, 'AlreadyExists', 'Conflict') && !isGone(error, id)) throw error
      if (tries === TRIES)
        throw new CliError(
          `Cannot change wire ${toWireKey(id)}: others changed it ${TRIES} times meanwhile`,
          { cause: error },
        )
    }
  }
}

async function find(kubectl: Kubectl, id: WireId): Promise<Found | undefined> {
  try {
    const json = await kubectl.read('get', '--raw', toPath(id, toObjectName(id.name)))
    const object = JSON.parse(json) as { metadata: { uid: string; resourceVersion: string } }
    const { uid, resourceVersion } = object.metadata
    return { wire: fromWireObject(object), uid, resourceVersion }
  } catch (error) {
    if (isGone(error, id)) return undefined
    throw error
  }
}

async function make(kubectl: Kubectl, id: WireId): Promise<void> {
  const object = {
    apiVersion: `${GROUP}/${VERSION}`,
    kind: 'Wire',
    metadata: { name: toObjectName(id.name) },
    spec: { name: id.name, unplugged: true },
  }
  await kubectl.feed(JSON.stringify(object), 'create', '--raw', toPath(id), '-f', '-')
}

async function patch(
  kubectl: Kubectl,
  id: WireId,
  { resourceVersion }: Found,
  isUnplugged: boolean,
): Promise<void> {
  // It can be taken out whatever else changes. Put back it must not lose its last end meanwhile: it
  // would have to go, too.
  const change = isUnplugged
    ? { spec: { unplugged: true } }
    : { metadata: { resourceVersion }, spec: { unplugged: null } }
  const which = [KIND, toObjectName(id.name), '--namespace', id.namespace]
  await kubectl.read('patch', ...which, '--type=merge', '-p', JSON.stringify(change), '-o', 'name')
}

async function remove(
  kubectl: Kubectl,
  id: WireId,
  { uid, resourceVersion }: Found,
): Promise<void> {
  const options = {
    apiVersion: 'v1',
    kind: 'DeleteOptions',
    preconditions: { uid, resourceVersion },
  }
  const path = toPath(id, toObjectName(id.name))
  await kubectl.feed(JSON.stringify(options), 'delete', '--raw', path, '-f', '-')
}

// A namespace that is not there is "not found", too.
function isGone(error: unknown, { name }: WireId): boolean {
  return (
    isRefusal(error, 'NotFound') &&
    (error as CliError).message.includes(`${KIND} "${toObjectName(name)}" not found`)
  )
}

function toPath({ namespace }: WireId, name?: string): string {
  const list = `/apis/${GROUP}/${VERSION}/namespaces/${namespace}/${WIRES}`
  return name === undefined ? list : `${list}/${name}`
}
