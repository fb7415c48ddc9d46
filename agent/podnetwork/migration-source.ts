// Whether a migration's target has the identity that its VM runs with elsewhere.
import type { NicWish } from '../../core/attach/launcher.ts'
import type { VmiNetwork } from '../../core/attach/pod-link.ts'
import { CNI_CODE, CniError } from '../../core/errors.ts'
import { PRIMARY_POD_LINK } from '../../core/name.ts'
import type { ObservedLink } from '../../core/observe/links.ts'
import {
  findChange,
  findPodAddresses,
  type Source,
} from '../../core/podnetwork/migration-source.ts'
import { listOwnAddresses } from '../../core/podnetwork/vm-network.ts'
import type { ObservedAddressing } from '../../core/steps/addressing.ts'
import { toMigrationRefusal } from '../../core/wire/notice.ts'
import type { AgentContext } from '../context.ts'
import { tell } from '../wire/report.ts'

export interface KeptOrder {
  readonly addressing: ObservedAddressing
  readonly podLink: ObservedLink
  readonly network: VmiNetwork
  readonly wish: NicWish
}

/**
 * Refuses a target whose pod link has other addresses than its VM, which would not learn of them. Throws CniError 114,
 * and 11 or 109 if nobody says what the VM has.
 */
export async function expectKept(
  node: AgentContext,
  { addressing, podLink, network, wish }: KeptOrder,
): Promise<void> {
  const { source } = wish
  const own = listOwnAddresses(addressing).flat()
  // A link without addresses is like a cable: its VM has whatever it has.
  if (source === undefined || own.length === 0) return
  const { name } = podLink
  const addresses = own.map((address) => address.split('/')[0] ?? address)
  const known = await readAddresses(node, source, name)
  // Such a VM was free to move before anybody named its source.
  if (known === undefined && name !== PRIMARY_POD_LINK) return
  if (known === undefined) throw toUnknown('the pod that it comes from', `address of "${name}"`)
  const there = { mac: source.mac, addresses: known }
  const change = findChange({ mac: wish.mac ?? podLink.mac, addresses }, there)
  if (change === undefined) return
  const error = new CniError(
    CNI_CODE.ADDRESS_CHANGED,
    `Cannot migrate a VM to "${name}" of network "${network.name}": here it would have ${change}, with which it runs. A VM migrates where its CNI plugin keeps its address; elsewhere "evictionStrategy: None" stops it, and it starts again on another node`,
  )
  // Not waited for: the runtime wants its answer.
  void tell(node, source, toMigrationRefusal(error))
  throw error
}

async function readAddresses(
  { cluster }: AgentContext,
  { addresses, migration, mac }: Source,
  podLink: string,
): Promise<readonly string[] | undefined> {
  if (addresses !== undefined) return addresses
  if (mac === undefined) throw toUnknown('"status.interfaces" of its VirtualMachineInstance', 'MAC')
  if (cluster === undefined || migration === undefined)
    throw toUnknown('its pod', 'VirtualMachineInstanceMigration')
  return findPodAddresses(await cluster.readSourcePod(migration), podLink)
}

function toUnknown(where: string, what: string): CniError {
  return new CniError(
    CNI_CODE.TRY_AGAIN_LATER,
    `Cannot tell what a VM has where it runs: ${where} names no ${what}, expected one`,
  )
}
