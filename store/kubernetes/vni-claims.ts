// VNIs in use, one cluster-scoped object each, named after the VNI: making it is the atom.
import { isRecord } from '../../core/cni/config.ts'
import { CNI_CODE, CniError } from '../../core/errors.ts'
import { guessVni, listFreeVnis } from '../../core/vni.ts'
import { toWireKey, type WireId } from '../../core/wire.ts'
import { GROUP, VERSION, VNI_CLAIMS } from '../../core/wire-object.ts'
import type { WireStore } from '../wire-store.ts'
import type { KubeClient } from './client.ts'
import { callApi, getStatus } from './errors.ts'

const KIND = { group: GROUP, version: VERSION, plural: VNI_CLAIMS }

export function newVniClaims({
  custom,
  server,
}: KubeClient): Pick<WireStore, 'claimVni' | 'releaseVni'> {
  const tryClaim = async (vni: number, id: WireId): Promise<boolean> =>
    callApi(server, `claim VNI ${vni}`, async () => {
      const body = {
        apiVersion: `${GROUP}/${VERSION}`,
        kind: 'VniClaim',
        metadata: { name: String(vni) },
        spec: { namespace: id.namespace, wire: id.name },
      }
      try {
        await custom.createClusterCustomObject({ ...KIND, body })
        return true
      } catch (error) {
        if (getStatus(error) === 409) return false
        throw error
      }
    })
  const listTaken = async (): Promise<ReadonlySet<number>> =>
    callApi(server, 'list VNI claims', async () => {
      const list: unknown = await custom.listClusterCustomObject(KIND)
      const items = isRecord(list) && Array.isArray(list['items']) ? list['items'] : []
      return new Set(
        items.map((item: unknown) =>
          Number(isRecord(item) && isRecord(item['metadata']) ? item['metadata']['name'] : NaN),
        ),
      )
    })
  return {
    claimVni: async (id, range, asked) => {
      if (asked !== undefined) {
        if (await tryClaim(asked, id)) return asked
        throw new CniError(
          CNI_CODE.VNI_TAKEN,
          `Cannot use VNI ${asked} for wire "${toWireKey(id)}": another wire has it, expected a free one`,
        )
      }
      // A guess is one request however many claims there are; only where it is taken are they listed.
      const guess = guessVni(range, toWireKey(id))
      if (await tryClaim(guess, id)) return guess
      for (const vni of listFreeVnis(range, await listTaken()))
        if (await tryClaim(vni, id)) return vni
      throw new Error('unreachable: listFreeVnis throws when it has no more')
    },
    releaseVni: async (vni) =>
      callApi(server, `release VNI ${vni}`, async () => {
        try {
          await custom.deleteClusterCustomObject({ ...KIND, name: String(vni) })
        } catch (error) {
          if (getStatus(error) !== 404) throw error
        }
      }),
  }
}
