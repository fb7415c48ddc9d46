// What pods belong to, as KubeVirt and the Deployment controller write it: there are no controllers in the lab.
import type { LabApiServer } from '../../lab/api-server.ts'
import { getMapping, type Manifest } from '../../lab/manifests.ts'

interface Place {
  readonly api: LabApiServer
  readonly namespace: string
}

async function readUid({ api, namespace }: Place, kind: string, name: string): Promise<string> {
  return String(getMapping(await api.getObject(kind, name, namespace), 'metadata')['uid'])
}

/** A VirtualMachineInstance; returns how its launchers refer to it. */
export async function newVmi(place: Place, name: string, spec: Manifest = {}): Promise<Manifest> {
  const kind = { apiVersion: 'kubevirt.io/v1', kind: 'VirtualMachineInstance' }
  const metadata = { name, namespace: place.namespace }
  await place.api.apply({ ...kind, metadata, spec: { domain: { devices: {} }, ...spec } })
  return { ...kind, name, uid: await readUid(place, 'vmi', name), controller: true }
}

/** What virt-controller does once it hears of a launcher, or of a migration's target. */
export async function noteLauncher(
  place: Place,
  vmi: string,
  pod: string,
  node = '',
): Promise<void> {
  const activePods = { [await readUid(place, 'pod', pod)]: node }
  const patch = JSON.stringify({ status: { activePods } })
  const target = ['vmi', vmi, '-n', place.namespace]
  await place.api.kubectl(['patch', ...target, '--type=merge', '-p', patch])
}

/** A Deployment's ReplicaSet; returns what its pods have in their metadata. */
export async function newReplicaSet(
  place: Place,
  deployment: string,
  hash: string,
): Promise<Manifest> {
  const kind = { apiVersion: 'apps/v1', kind: 'ReplicaSet' }
  const labels = { app: deployment, 'pod-template-hash': hash }
  const name = `${deployment}-${hash}`
  const owner = { apiVersion: 'apps/v1', kind: 'Deployment', name: deployment, controller: true }
  const containers = [{ name: 'shell', image: 'busybox' }]
  await place.api.apply({
    ...kind,
    metadata: {
      name,
      namespace: place.namespace,
      labels,
      ownerReferences: [{ ...owner, uid: 'c0ffee00-0000-4000-8000-000000000001' }],
    },
    spec: {
      replicas: 0,
      selector: { matchLabels: labels },
      template: { metadata: { labels }, spec: { containers } },
    },
  })
  const uid = await readUid(place, 'replicaset', name)
  return { labels, ownerReferences: [{ ...kind, name, uid, controller: true }] }
}
