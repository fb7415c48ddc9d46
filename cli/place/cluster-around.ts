// What a cluster keeps that our plugins need, for the doctor: KubeVirt's bindings, VMs that use them, networks,
// pods that ask for them.
import {
  listBindings,
  listBoundNics,
  parseItems,
  toNetworkDefinition,
  toNetworkPod,
} from '../../core/doctor/cluster-list.ts'
import type { AroundFacts } from '../../core/doctor/around-facts.ts'
import { isOurs } from '../../core/doctor/kubevirt.ts'
import { mapLimited } from '../../core/limit.ts'
import { CliError } from '../cli-error.ts'
import { isRefusal, type Kubectl } from './kubectl.ts'

const KUBEVIRT = '/apis/kubevirt.io/v1'
const NETWORKS = '/apis/k8s.cni.cncf.io/v1/network-attachment-definitions'

/** What could not be read is a note, a sentence each: it is not needed for anything else. */
export async function readAround(
  kubectl: Kubectl,
  namespace: string | undefined,
): Promise<{ readonly around: AroundFacts; readonly notes: readonly string[] }> {
  const notes: string[] = []
  const tryList = async (what: string, path: string): Promise<Items | undefined> => {
    try {
      return parseItems(await kubectl.read('get', '--raw', path), what)
    } catch (error) {
      if (!(error instanceof CliError)) throw error
      // Without KubeVirt, or without Multus, there is nothing of it.
      if (isRefusal(error, 'NotFound')) return []
      notes.push(`${what}: ${error.message}`)
      return undefined
    }
  }
  const where = namespace === undefined ? '' : `namespaces/${namespace}/`
  const [kubevirts, vms = [], vmis = [], definitions] = await Promise.all([
    tryList('KubeVirt objects', `${KUBEVIRT}/kubevirts`),
    tryList('VirtualMachines', `${KUBEVIRT}/${where}virtualmachines`),
    tryList('VMs that run', `${KUBEVIRT}/${where}virtualmachineinstances`),
    tryList('Networks', NETWORKS),
  ])
  const networks = definitions?.map(toNetworkDefinition)
  const places = new Set((networks ?? []).filter(isOurs).map((one) => one.namespace))
  const pods = await mapLimited(
    [...places].filter((one) => namespace === undefined || one === namespace),
    async (place) =>
      ((await tryList(`Pods of ${place}`, `/api/v1/namespaces/${place}/pods`)) ?? []).flatMap(
        (pod) => toNetworkPod(pod) ?? [],
      ),
  )
  const nics = [...vms, ...vmis].flatMap(listBoundNics)
  const around = {
    bindings: kubevirts?.flatMap(listBindings),
    boundNics: [...new Map(nics.map((nic) => [`${nic.vm} ${nic.nic}`, nic])).values()],
    networks,
    pods: pods.flat(),
  }
  return { around, notes }
}

type Items = ReturnType<typeof parseItems>
