// A volume of mode Block on a node, as KubeVirt hot-plugs it: a loop device behind a PersistentVolume of the kind
// "local". The kubelet puts a loop device of its own before that.
import type { Manifest } from '../../lab/manifests.ts'
import { expectSoon } from '../expect-soon.ts'
import type { Place } from '../../lab/kube/place.ts'

const SIZE = '16Mi'
const BYTES = 16 * 1024 * 1024
/** Nodes have none of their own. Each of the machine's loop devices has a number, and what is free is found by it. */
const MAKE_DEVICES = `mknod -m 660 /dev/loop-control c 10 237
for number in $(seq 0 63); do mknod -m 660 "/dev/loop$number" b 7 "$number"; done`

/** A claim of this name in the place. It goes when nobody uses it any more: dispose the place first. */
export async function newBlockVolume(
  place: Place,
  node: string,
  name: string,
): Promise<AsyncDisposable> {
  const { cluster, namespace } = place
  const { machine } = cluster.getNode(node)
  const volume = `${namespace}-${name}`
  const file = `/var/lib/kubelet/${volume}.img`
  await machine.run(['sh', '-ec', MAKE_DEVICES])
  await machine.run(['truncate', '-s', String(BYTES), file])
  const device = (await machine.run(['losetup', '--find', '--show', file])).trim()
  await cluster.apply(...toVolume({ namespace, name, volume }, node, device))
  return {
    [Symbol.asyncDispose]: async () => {
      await cluster.kubectl(['delete', 'pv', volume, '--ignore-not-found', '--timeout=110s'])
      // The kubelet takes its own away when the pod's volumes are cleared.
      await expectSoon('the kubelet has left the device', async () => {
        const loops = await machine.run([
          'losetup',
          '--list',
          '--noheadings',
          '--output',
          'BACK-FILE',
        ])
        return !loops.includes(device)
      })
      await machine.run(['losetup', '--detach', device])
      await machine.run(['sh', '-c', `rm -f ${file} /dev/loop*`])
    },
  }
}

interface Names {
  readonly namespace: string
  /** Of the claim. */
  readonly name: string
  readonly volume: string
}

function toVolume(
  { namespace, name, volume }: Names,
  node: string,
  path: string,
): readonly Manifest[] {
  const both = { accessModes: ['ReadWriteOnce'], volumeMode: 'Block', storageClassName: '' }
  const key = 'kubernetes.io/hostname'
  const onNode = { matchExpressions: [{ key, operator: 'In', values: [node] }] }
  return [
    {
      apiVersion: 'v1',
      kind: 'PersistentVolume',
      metadata: { name: volume },
      spec: {
        ...both,
        capacity: { storage: SIZE },
        local: { path },
        nodeAffinity: { required: { nodeSelectorTerms: [onNode] } },
        claimRef: { namespace, name },
      },
    },
    {
      apiVersion: 'v1',
      kind: 'PersistentVolumeClaim',
      metadata: { name, namespace },
      spec: { ...both, volumeName: volume, resources: { requests: { storage: SIZE } } },
    },
  ]
}
