// VNIs in use, one cluster-scoped object each, named after the VNI.
import { isRecord } from '../../core/record.ts'
import type { VniClaim } from '../../core/vni-claim.ts'
import type { WireId } from '../../core/wire.ts'
import { GROUP, VERSION, VNI_CLAIMS } from '../../core/wire-object.ts'
import { claimVni, isSameWire } from '../vni-keeper.ts'
import type { VniStore } from '../wire-store.ts'
import type { KubeClient } from './client.ts'
import { callApi, getStatus } from './errors.ts'

const KIND = { group: GROUP, version: VERSION, plural: VNI_CLAIMS }

interface FoundClaim extends VniClaim {
  readonly uid: string
}

export function newVniClaims({ custom, server }: KubeClient): VniStore {
  const make = async (vni: number, id: WireId): Promise<boolean> =>
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

  const find = async (vni: number): Promise<FoundClaim | undefined> =>
    callApi(server, `read the claim of VNI ${vni}`, async () => {
      try {
        return fromObject(await custom.getClusterCustomObject({ ...KIND, name: String(vni) }))
      } catch (error) {
        if (getStatus(error) === 404) return undefined
        throw error
      }
    })

  const list = async (): Promise<readonly VniClaim[]> =>
    callApi(server, 'list VNI claims', async () => {
      const answer: unknown = await custom.listClusterCustomObject(KIND)
      const items = isRecord(answer) && Array.isArray(answer['items']) ? answer['items'] : []
      return items.map((item: unknown) => {
        const { vni, wire, sinceMs } = fromObject(item)
        return { vni, wire, sinceMs }
      })
    })

  const readOwner = async (vni: number): Promise<WireId | undefined> => (await find(vni))?.wire

  return {
    claimVni: async (id, range, asked) => claimVni({ make, readOwner, list }, id, range, asked),
    releaseVni: async (vni, id) => {
      const claim = await find(vni)
      if (claim === undefined || !isSameWire(claim.wire, id)) return
      await callApi(server, `release VNI ${vni}`, async () => {
        // Given back by somebody else and taken anew meanwhile, it is another object.
        const body = { preconditions: { uid: claim.uid } }
        try {
          await custom.deleteClusterCustomObject({ ...KIND, name: String(vni), body })
        } catch (error) {
          const status = getStatus(error)
          if (status !== 404 && status !== 409) throw error
        }
      })
    },
    listVnis: list,
  }
}

// The schema has seen to it that all of this is there.
function fromObject(object: unknown): FoundClaim {
  const part = (key: string): Readonly<Record<string, unknown>> => {
    const value = isRecord(object) ? object[key] : undefined
    return isRecord(value) ? value : {}
  }
  const { name, uid, creationTimestamp } = part('metadata')
  const { namespace, wire } = part('spec')
  return {
    vni: Number(name),
    wire: { namespace: String(namespace), name: String(wire) },
    sinceMs: Date.parse(String(creationTimestamp)),
    uid: String(uid),
  }
}
