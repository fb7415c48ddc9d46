// VNIs in use, one cluster-scoped object each, named after the VNI. One of the nodes that have a tunnel with it
// keeps the object, and passes it on when it removes its tunnel. No other agent may remove it
// (deploy/base/policies.yaml).
import { setTimeout as sleep } from 'node:timers/promises'

import { isRecord } from '../../core/record.ts'
import type { VniClaim } from '../../core/wire/vni.ts'
import type { WireId } from '../../core/wire/wire.ts'
import { GROUP, VERSION, VNI_CLAIMS } from '../../core/wire/object.ts'
import { claimVni, isSameWire } from '../choose-vni.ts'
import type { VniStore } from '../wire-store.ts'
import type { KubeClient } from './client.ts'
import { callApi, getStatus } from './errors.ts'

const KIND = { group: GROUP, version: VERSION, plural: VNI_CLAIMS }

interface FoundClaim extends VniClaim {
  readonly uid: string
}

/** How often we read a claim again that another node keeps. That node may be passing it on. */
const TRIES = 6
const AGAIN_MS = 100

/** Without a node: agents cannot tell whose it is. */
export function newVniClaims({ custom, server }: KubeClient, node?: string): VniStore {
  const make = async (vni: number, id: WireId): Promise<boolean> =>
    callApi(server, `claim VNI ${vni}`, async () => {
      const body = {
        apiVersion: `${GROUP}/${VERSION}`,
        kind: 'VniClaim',
        metadata: { name: String(vni) },
        spec: { namespace: id.namespace, wire: id.name, ...(node === undefined ? {} : { node }) },
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
        const { uid: _uid, ...claim } = fromObject(item)
        return claim
      })
    })

  const isOthers = (claim: VniClaim): boolean => claim.node !== undefined && claim.node !== node

  /** False if another existing node keeps it. */
  const remove = async (claim: FoundClaim): Promise<boolean> =>
    callApi(server, `release VNI ${claim.vni}`, async () => {
      // If somebody released it and another took it meanwhile, it is another object.
      const body = { preconditions: { uid: claim.uid } }
      try {
        await custom.deleteClusterCustomObject({ ...KIND, name: String(claim.vni), body })
      } catch (error) {
        const status = getStatus(error)
        if (status === 403 && isOthers(claim)) return false
        if (status !== 404 && status !== 409) throw error
      }
      return true
    })

  const readOwner = async (vni: number): Promise<WireId | undefined> => (await find(vni))?.wire

  return {
    claimVni: async (id, range, asked) => claimVni({ make, readOwner, list }, id, range, asked),
    hasVni: async (vni, id) => {
      const owner = await readOwner(vni)
      return owner !== undefined && isSameWire(owner, id)
    },
    releaseVni: async (vni, id) => {
      for (let attempt = 1; ; attempt += 1) {
        const claim = await find(vni)
        if (claim === undefined || !isSameWire(claim.wire, id) || (await remove(claim))) return
        // The node that keeps it releases it at its next sweep.
        if (attempt === TRIES) return
        await sleep(AGAIN_MS * 2 ** (attempt - 1))
      }
    },
    passVni: async (vni, id, to) => {
      const claim = await find(vni)
      if (claim === undefined || !isSameWire(claim.wire, id) || isOthers(claim)) return
      if (claim.node === to) return
      await callApi(server, `pass VNI ${vni} on to node "${to}"`, async () => {
        const body = [
          { op: 'test', path: '/metadata/uid', value: claim.uid },
          { op: 'add', path: '/spec/node', value: to },
        ]
        try {
          await custom.patchClusterCustomObject({ ...KIND, name: String(vni), body })
        } catch (error) {
          if (getStatus(error) !== 404 && getStatus(error) !== 422) throw error
        }
      })
    },
    listVnis: list,
  }
}

// The schema guarantees that all of this is there.
function fromObject(object: unknown): FoundClaim {
  const part = (key: string): Readonly<Record<string, unknown>> => {
    const value = isRecord(object) ? object[key] : undefined
    return isRecord(value) ? value : {}
  }
  const { name, uid, creationTimestamp } = part('metadata')
  const { namespace, wire, node } = part('spec')
  return {
    vni: Number(name),
    wire: { namespace: String(namespace), name: String(wire) },
    sinceMs: Date.parse(String(creationTimestamp)),
    uid: String(uid),
    ...(typeof node === 'string' ? { node } : {}),
  }
}
