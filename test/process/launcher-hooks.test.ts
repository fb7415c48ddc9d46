// The lab's virt-launcher and the sidecar: cloud-init data, as far as KubeVirt lets it be asked for.
import { expect } from 'chai'
import { after, before, describe, it } from 'mocha'

import { NETWORK_DATA_ANNOTATION } from '../../core/domain/network-data-vmi.ts'
import { NETWORK_DATA_MARK } from '../../core/domain/tap-alias.ts'
import { toVmi, type Vmi, type VmiVolume } from '../../lab/domain-vmi.ts'
import { newHooks } from '../../lab/launcher-hooks.ts'
import { newLabNetns, type LabNetns } from '../../lab/netns.ts'
import type { HookClient } from '../../proto/hook-client.ts'
import { newSidecar, type Sidecar } from './sidecar-process.ts'

const LINKS = [
  'link add name eth0 address 0a:58:0a:58:00:05 type veth peer name l2wfar',
  'tuntap add dev tap0 mode tap user 107 group 107 vnet_hdr',
  'link set l2wfar up',
  'link set eth0 up',
  'address add 192.0.2.7/24 dev eth0',
]

function newVmi(...volumes: readonly VmiVolume[]): Vmi {
  const spec = {
    domain: { devices: { interfaces: [{ name: 'default', binding: { name: 'l2wire' } }] } },
    networks: [{ name: 'default', pod: {} }],
    volumes,
  }
  const metadata = { annotations: { [NETWORK_DATA_ANNOTATION]: 'true' } }
  const template = { metadata, spec }
  return toVmi({ kind: 'VirtualMachine', metadata: { name: 'r1' }, spec: { template } })
}

describe('newHooks()', () => {
  const init = { name: 'init', cloudInitNoCloud: { userData: '#cloud-config' } }
  let netns: LabNetns
  let sidecar: Sidecar | undefined
  let client: HookClient

  before(async () => {
    netns = await newLabNetns('hooks')
    for (const line of LINKS) await netns.run(['ip', ...line.split(' ')])
    const enter = ['ip', 'netns', 'exec', netns.name]
    sidecar = newSidecar({ prefix: [...enter, 'setpriv', '--reuid=107', '--clear-groups'] })
    client = await sidecar.connect()
  })
  after(async () => {
    await sidecar?.[Symbol.asyncDispose]()
    await netns[Symbol.asyncDispose]()
  })

  const mark = async (alias: string): Promise<string> =>
    netns.run(['ip', 'link', 'set', 'dev', 'tap0', 'alias', alias])

  it('leaves cloud-init data alone where no sidecar subscribes to it', async () => {
    await mark('none of it')
    const hooks = await newHooks([{ client, containerName: 'hook-sidecar-0' }])
    for (const vmi of [newVmi(), newVmi(init)])
      expect(await hooks.preCloudInitIso(vmi)).to.deep.equal(vmi)
  })

  it('has the data that the sidecar answers, and nothing else changed', async () => {
    await mark(NETWORK_DATA_MARK)
    const hooks = await newHooks([{ client, containerName: 'hook-sidecar-0' }])
    const vmi = await hooks.preCloudInitIso(newVmi({ name: 'root' }, init))
    const [root, changed] = vmi.spec.volumes ?? []
    expect(root).to.deep.equal({ name: 'root' })
    expect(changed?.cloudInitNoCloud?.userData).to.equal('#cloud-config')
    expect(changed?.cloudInitNoCloud?.networkData).to.include('192.0.2.7/24')
    expect({ ...vmi, spec: { ...vmi.spec, volumes: [] } }).to.deep.equal(newVmi())
  })

  it('ends as virt-launcher does where one subscribes and there is no data', async () => {
    await mark(NETWORK_DATA_MARK)
    const hooks = await newHooks([{ client, containerName: 'hook-sidecar-0' }])
    const error = await hooks.preCloudInitIso(newVmi()).catch((reason: unknown) => reason)
    expect(error).to.be.instanceOf(Error).with.property('message').that.includes('nil pointer')
  })
})
