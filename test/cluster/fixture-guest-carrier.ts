// VirtualMachines in a real API server, with KubeVirt's own schemas, and agents that have an end of one each,
// without devices.
import { join } from 'node:path'

import { after, afterEach, before, beforeEach } from 'mocha'
import { pino } from 'pino'

import { forgetGuest } from '../../agent/guest/carrier.ts'
import { newTurns } from '../../agent/turns.ts'
import type { AgentContext } from '../../agent/context.ts'
import { report, toReport } from '../../agent/wire/report.ts'
import { newAttachmentState } from '../../agent/state.ts'
import { toClaim, toWireAttachment, type WireAttachment } from '../../core/attach/attachment.ts'
import { decodePluginConfig, type WireConfig } from '../../core/cni/config.ts'
import { CommandError } from '../../core/errors.ts'
import { toPodLinkName } from '../../core/name.ts'
import { claimEnd } from '../../core/wire/ends.ts'
import type { LabApiServer } from '../../lab/api-server.ts'
import { getMapping, type Manifest } from '../../lab/manifests.ts'
import { newTemporaryFolder, type TemporaryFolder } from '../../lab/temporary-folder.ts'
import { expectSoon } from '../expect-soon.ts'
import { getApi } from './fixture-api.ts'

/** What telling a guest goes by. */
type Needed =
  | 'name'
  | 'store'
  | 'cluster'
  | 'state'
  | 'turns'
  | 'unwritten'
  | 'tellings'
  | 'carrierShown'
  | 'log'

const { openNodeCluster } = await import('../../store/kubernetes/open-cluster.ts')

const COMPONENT = 'deploy/components/carrier-vm/rbac.yaml'
const MARK = 'l2wire.dev/carrier.ge0'
export const LINK = toPodLinkName('ge0')
export const CONFIG = { cniVersion: '1.1.0', name: 'r1-h1', type: 'l2wire', carrier: 'vm' }

/** The agent and its end of the VM. */
interface Plugged {
  readonly node: AgentContext
  readonly attachment: WireAttachment
}

export interface Guests {
  /** Where all of it is; to be asked in a test. */
  readonly place: () => { readonly api: LabApiServer; readonly namespace: string }
  /** The agents may write to VirtualMachines, as they may before each test, or may no more. */
  readonly grant: () => Promise<void>
  readonly revoke: () => Promise<void>
  /** A VirtualMachine whose second interface, on the cable, says this, too. */
  readonly newManifest: (nic?: Manifest) => Manifest
  readonly newInstance: (owner?: Manifest) => Promise<void>
  readonly newVm: (nic?: Manifest) => Promise<void>
  readonly getVm: () => Promise<Manifest>
  /** What that interface says, and how it is marked. */
  readonly readVm: () => Promise<Manifest>
  readonly patchVm: (patch: unknown) => Promise<void>
  readonly expectVm: (state: string | undefined, mark: string | undefined) => Promise<void>
  readonly expectCondition: (status: string, reason: string, word?: string) => Promise<void>
  /** Requests for KubeVirt's kinds so far, by verb. */
  readonly countRequests: (verb: string) => Promise<number>
  /** An agent with one end of the VM, claimed and reported on, as its ADD leaves it. */
  readonly plug: (config?: Manifest, nodeName?: string) => Promise<Plugged>
}

function toPodUid(node: string): string {
  return `launcher-on-${node}`
}

/** For a suite; each of its tests has a namespace of its own. */
export function useGuests(): Guests {
  let api: LabApiServer
  let kubeconfig: string
  let namespace: string
  let folder: TemporaryFolder
  let plugged: Plugged[]

  before(async () => {
    api = await getApi()
    kubeconfig = await api.newAgentKubeconfig('n1')
  })
  const grant = async (): Promise<void> => {
    await api.kubectl(['apply', '-f', COMPONENT])
    await expectRight('yes')
  }
  const revoke = async (): Promise<void> => {
    await api.kubectl(['delete', '--ignore-not-found', '-f', COMPONENT])
    await expectRight('no')
  }
  // The API server hears of its own rights a moment later.
  const expectRight = async (want: string): Promise<void> => {
    const asked = ['auth', 'can-i', 'patch', 'virtualmachines.kubevirt.io', '-n', 'default']
    await expectSoon(`the agent's right: ${want}`, async () => {
      try {
        return (await api.kubectl(asked, { kubeconfig })).trim() === want
      } catch (error) {
        if (!(error instanceof CommandError)) throw error
        return want === 'no' && error.exitCode === 1
      }
    })
  }
  beforeEach(async () => {
    folder = await newTemporaryFolder('guest')
    namespace = await api.newNamespace('guest')
    plugged = []
    await grant()
  })
  afterEach(async () => {
    for (const { node, attachment } of plugged) forgetGuest(node, attachment)
    await folder[Symbol.asyncDispose]()
  })
  after(async () => {
    await api.kubectl(['delete', '--ignore-not-found', '-f', COMPONENT])
  })

  const newManifest = (nic: Manifest = {}): Manifest => ({
    apiVersion: 'kubevirt.io/v1',
    kind: 'VirtualMachine',
    metadata: { name: 'r1', namespace, annotations: { course: 'ccna' } },
    spec: {
      runStrategy: 'Always',
      template: {
        spec: {
          domain: {
            devices: {
              interfaces: [
                { name: 'mgmt', masquerade: {} },
                { name: 'ge0', binding: { name: 'l2wire' }, ...nic },
              ],
            },
          },
          networks: [
            { name: 'mgmt', pod: {} },
            { name: 'ge0', multus: { networkName: 'r1-h1' } },
          ],
        },
      },
    },
  })
  const newInstance = async (owner?: Manifest): Promise<void> => {
    const ownerReferences = owner === undefined ? [] : [{ ...owner, controller: true }]
    await api.apply({
      apiVersion: 'kubevirt.io/v1',
      kind: 'VirtualMachineInstance',
      metadata: { name: 'r1', namespace, ownerReferences },
      spec: { domain: { devices: {} } },
      status: { activePods: Object.fromEntries(['n1', 'n2'].map((on) => [toPodUid(on), on])) },
    })
  }
  const newVm = async (nic: Manifest = {}): Promise<void> => {
    const manifest = newManifest(nic)
    await api.apply(manifest)
    const { uid } = getMapping(await getVm(), 'metadata')
    await newInstance({ apiVersion: 'kubevirt.io/v1', kind: 'VirtualMachine', name: 'r1', uid })
  }
  const getVm = async (): Promise<Manifest> => api.getObject('vm', 'r1', namespace)
  const readVm = async (): Promise<Manifest> => {
    const vm = await getVm()
    const spec = getMapping(vm, 'spec', 'template', 'spec', 'domain', 'devices')
    const [, nic] = spec['interfaces'] as readonly Manifest[]
    return { state: nic?.['state'], mark: getMapping(vm, 'metadata', 'annotations')[MARK] }
  }
  const patchVm = async (patch: unknown): Promise<void> => {
    await api.kubectl([
      'patch',
      'vm',
      'r1',
      '-n',
      namespace,
      '--type=json',
      '-p',
      JSON.stringify(patch),
    ])
  }
  const expectVm = async (state: string | undefined, mark: string | undefined): Promise<void> =>
    expectSoon(`the VM says ${String(state)}, marked ${String(mark)}`, async () => {
      const said = await readVm()
      return said['state'] === state && said['mark'] === mark
    })
  const expectCondition = async (status: string, reason: string, word = ''): Promise<void> =>
    expectSoon(`CarrierShown is ${status}, ${reason}`, async () => {
      const wire = await api.getObject('wire', 'r1-h1', namespace)
      // A claim is written first, what is so follows.
      const { conditions = [] } = (wire['status'] ?? {}) as Manifest
      const found = (conditions as readonly Manifest[]).find(({ type }) => type === 'CarrierShown')
      return (
        found?.['status'] === status &&
        found['reason'] === reason &&
        String(found['message']).includes(word)
      )
    })
  const countRequests = async (verb: string): Promise<number> => {
    const metrics = await api.kubectl(['get', '--raw', '/metrics'])
    return metrics
      .split('\n')
      .filter((line) => line.startsWith('apiserver_request_total{'))
      .filter((line) => line.includes('group="kubevirt.io"') && line.includes(`verb="${verb}"`))
      .reduce((sum, line) => sum + Number(line.split(' ').at(-1)), 0)
  }

  const plug = async (config: Manifest = CONFIG, nodeName = 'n1'): Promise<Plugged> => {
    const { store, ...cluster } = openNodeCluster(
      { kubeconfig: await api.newAgentKubeconfig(nodeName) },
      nodeName,
    )
    const needed: Pick<AgentContext, Needed> = {
      name: nodeName,
      store,
      cluster,
      state: newAttachmentState(join(folder.path, nodeName)),
      turns: newTurns(),
      unwritten: new Map(),
      tellings: new Map(),
      carrierShown: new Map(),
      log: pino({ level: 'silent' }),
    }
    // The rest of a node is for devices, of which there are none here.
    const node = needed as AgentContext
    const args = {
      command: 'ADD' as const,
      containerID: `c-${nodeName}`,
      netns: '/run/netns/l2w-none',
      ifname: LINK,
      args: `K8S_POD_NAMESPACE=${namespace};K8S_POD_NAME=virt-launcher-r1-x`,
      path: '',
    }
    const instance = { apiVersion: 'kubevirt.io/v1', kind: 'VirtualMachineInstance' }
    const subject = { ...instance, namespace, name: 'r1', uid: 'any' }
    const self = { apiVersion: 'v1', kind: 'Pod', namespace, name: 'any', uid: toPodUid(nodeName) }
    const netns = { path: args.netns, inode: 1, bootId: 'b' }
    const wireConfig = decodePluginConfig(config, args) as WireConfig
    const owner = { holder: 'vm/r1', subjects: [self, subject], isTarget: false }
    const attachment: WireAttachment = {
      ...toWireAttachment(args, wireConfig, netns, { name: nodeName, mtuBytes: 1500 }, owner),
      phase: 'ready',
    }
    await node.state.put(attachment)
    const { wire: id } = attachment
    const wire = await store.update(id, (current) =>
      claimEnd(current, id, toClaim(attachment, '192.0.2.1')),
    )
    if (wire !== undefined) report(node, id, [attachment], toReport(node, wire, 'waiting'))
    plugged.push({ node, attachment })
    return { node, attachment }
  }

  return {
    place: () => ({ api, namespace }),
    grant,
    revoke,
    newManifest,
    newInstance,
    newVm,
    getVm,
    readVm,
    patchVm,
    expectVm,
    expectCondition,
    countRequests,
    plug,
  }
}
