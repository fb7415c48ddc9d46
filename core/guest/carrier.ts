// A VM's guest sees the link state of its NIC and nothing of the cable behind it. Where the network
// asks for it, "state" in the VirtualMachine's template follows the carrier, and KubeVirt sets the link
// of the running guest (1.5.2 and newer, without a restart). What to write there, as a pure function.
import { isRecord } from '../record.ts'
import type { ObjectRef } from '../wire/holder.ts'
import { PRIMARY_POD_LINK, toPodLinkName } from '../name.ts'
import { sha256Hex } from '../hash.ts'
import type { CarrierShown } from '../wire/wire.ts'

/** RFC 6902. */
export type PatchOperation =
  | { readonly op: 'test' | 'add' | 'replace'; readonly path: string; readonly value: unknown }
  | { readonly op: 'remove'; readonly path: string }

export interface CarrierPlan {
  /** Empty when the VM says already what it should. */
  readonly patch: readonly PatchOperation[]
  /** What the guest is shown once the patch is done. */
  readonly shown: CarrierShown
}

/** Where an end's guest is found. */
export interface GuestRef {
  readonly namespace: string
  /** The VirtualMachineInstance. */
  readonly instance: string
  /** Of the launcher: the instance has to know it. */
  readonly podUid: string
  /** The wire's end in the launcher, which KubeVirt names after the VM's network. */
  readonly podLink: string
}

const INSTANCE = 'VirtualMachineInstance'

/** The VirtualMachineInstance that an end belongs to: one that knows its pod, whatever the end is called. */
export function findInstance({
  subjects = [],
}: {
  readonly subjects?: readonly ObjectRef[]
}): ObjectRef | undefined {
  return subjects.find(({ kind }) => kind === INSTANCE)
}

/** Name and UID of the VirtualMachine that owns an instance; undefined for one that stands alone. */
export function findOwningVm(
  instance: unknown,
): { readonly name: string; readonly uid: string } | undefined {
  const references = at(instance, 'metadata', 'ownerReferences')
  const owners = Array.isArray(references) ? references.filter(isRecord) : []
  const owner = owners.find(
    ({ kind, controller }) => kind === 'VirtualMachine' && controller === true,
  )
  return owner === undefined
    ? undefined
    : { name: String(owner['name']), uid: String(owner['uid']) }
}

/**
 * What we set stands in an annotation of the VM, written in the same patch: what the state was before.
 * "user" stands for a state that a user changed after us, until the carrier is back: an agent that
 * starts meanwhile must not take it for one that nobody has touched.
 */
type Mark = 'down' | 'down-was-up' | 'user'
const MARKS: readonly Mark[] = ['down', 'down-was-up', 'user']

const SHOWN: CarrierShown = { reason: 'Shown' }

interface Nic {
  readonly name: string
  readonly value: Readonly<Record<string, unknown>>
  readonly path: string
  readonly state: string | undefined
}

/** How the VirtualMachine must change for its guest to see the carrier. */
export function planCarrier(vm: unknown, podLink: string, hasCarrier: boolean): CarrierPlan {
  const nic = findNic(vm, podLink)
  if (nic === undefined)
    return cannot(
      'NoInterface',
      `the VirtualMachine's template has no interface whose pod link is ${podLink}`,
    )
  const unfit = ['sriov', 'passt', 'passtBinding'].find((binding) => binding in nic.value)
  if (unfit !== undefined)
    return cannot('Unsupported', `KubeVirt sets no link state for an interface by ${unfit}`)
  const mark = readMark(vm, nic)
  const isDown = nic.state === 'down'
  const isOurs = mark === 'down' || mark === 'down-was-up'
  if (hasCarrier) {
    const restore = isOurs && isDown ? putBack(nic, mark) : []
    const patch = mark === undefined ? [] : [...restore, ...unmark(vm, nic)]
    const isUp = !isDown || restore.length > 0
    return { patch: guard(vm, nic, patch), shown: isUp ? toShown(nic) : userSet(nic) }
  }
  if (isOurs && isDown) return { patch: [], shown: SHOWN }
  if (isOurs) return { patch: guard(vm, nic, setMark(vm, nic, 'user')), shown: userSet(nic) }
  if (mark === 'user' || !isUntouched(nic)) return { patch: [], shown: userSet(nic) }
  const patch = [
    { op: 'add' as const, path: `${nic.path}/state`, value: 'down' },
    ...setMark(vm, nic, nic.state === 'up' ? 'down-was-up' : 'down'),
  ]
  return { patch: guard(vm, nic, patch), shown: SHOWN }
}

function cannot(reason: string, message: string): CarrierPlan {
  return { patch: [], shown: { reason, message } }
}

/** Empty functions as "up" (KubeVirt's schema.go). */
function isUntouched({ state }: Nic): boolean {
  return state === undefined || state === '' || state === 'up'
}

function toShown(nic: Nic): CarrierShown {
  return nic.state === 'down' || isUntouched(nic) ? SHOWN : userSet(nic)
}

function userSet({ name, state }: Nic): CarrierShown {
  const said =
    state === undefined || state === '' ? 'took "state: down" away' : `set "state: ${state}"`
  return {
    reason: 'UserSet',
    message: `somebody else ${said} at interface ${name} of the VirtualMachine`,
  }
}

function findNic(vm: unknown, podLink: string): Nic | undefined {
  const spec = ['spec', 'template', 'spec']
  const network = list(at(vm, ...spec, 'networks')).find((one) => toLinkName(one) === podLink)?.[
    'name'
  ]
  if (typeof network !== 'string') return undefined
  const path = [...spec, 'domain', 'devices', 'interfaces']
  const nics = list(at(vm, ...path))
  const index = nics.findIndex(({ name }) => name === network)
  const value = nics[index]
  if (value === undefined) return undefined
  const { state } = value
  return {
    name: network,
    value,
    path: `/${path.join('/')}/${index}`,
    state: typeof state === 'string' ? state : undefined,
  }
}

function toLinkName(network: Readonly<Record<string, unknown>>): string | undefined {
  const isPrimary = network['pod'] !== undefined || at(network, 'multus', 'default') === true
  const { name } = network
  if (isPrimary) return PRIMARY_POD_LINK
  return typeof name === 'string' ? toPodLinkName(name) : undefined
}

function putBack(nic: Nic, mark: Mark): readonly PatchOperation[] {
  const path = `${nic.path}/state`
  return mark === 'down-was-up' ? [{ op: 'replace', path, value: 'up' }] : [{ op: 'remove', path }]
}

/** The part of an annotation's key behind the "/" holds 63 bytes and ends in a letter or digit. */
export function toMarkKey(nic: string): string {
  const isFit = nic.length <= 50 && /[A-Za-z0-9]$/.test(nic)
  return `l2wire.dev/carrier.${isFit ? nic : sha256Hex(nic, 16)}`
}

function readMark(vm: unknown, nic: Nic): Mark | undefined {
  const mark = at(vm, 'metadata', 'annotations', toMarkKey(nic.name))
  // What somebody made of it is as good as a word that it is theirs.
  return mark === undefined ? undefined : (MARKS.find((one) => one === mark) ?? 'user')
}

function setMark(vm: unknown, nic: Nic, mark: Mark): readonly PatchOperation[] {
  const key = toMarkKey(nic.name)
  const annotations = at(vm, 'metadata', 'annotations')
  if (isRecord(annotations)) return [{ op: 'add', path: toMarkPath(key), value: mark }]
  return [{ op: 'add', path: '/metadata/annotations', value: { [key]: mark } }]
}

function unmark(vm: unknown, nic: Nic): readonly PatchOperation[] {
  const key = toMarkKey(nic.name)
  const value = at(vm, 'metadata', 'annotations', key)
  const path = toMarkPath(key)
  return [
    { op: 'test', path, value },
    { op: 'remove', path },
  ]
}

function toMarkPath(key: string): string {
  return `/metadata/annotations/${key.replaceAll('~', '~0').replaceAll('/', '~1')}`
}

// An index means nothing once the list has changed, and a state's absence cannot be tested for: the
// whole interface is. An object without annotations cannot be told from one that just got some, but
// by its version.
function guard(vm: unknown, nic: Nic, patch: readonly PatchOperation[]): readonly PatchOperation[] {
  if (patch.length === 0) return []
  const path = isRecord(at(vm, 'metadata', 'annotations')) ? 'uid' : 'resourceVersion'
  return [
    { op: 'test', path: `/metadata/${path}`, value: at(vm, 'metadata', path) },
    { op: 'test', path: nic.path, value: nic.value },
    ...patch,
  ]
}

function at(value: unknown, ...keys: readonly string[]): unknown {
  return keys.reduce((found, key) => (isRecord(found) ? found[key] : undefined), value)
}

function list(value: unknown): readonly Readonly<Record<string, unknown>>[] {
  return Array.isArray(value) ? value.filter(isRecord) : []
}
