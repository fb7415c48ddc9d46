// PreCloudInitIso in a pod's place: a network namespace with real links, addresses and routes, and a
// sidecar as user 107, without capabilities.
import { readFileSync } from 'node:fs'

import { status } from '@grpc/grpc-js'
import { expect } from 'chai'
import { after, before, describe, it } from 'mocha'

import { NETWORK_DATA_ANNOTATION } from '../../core/domain/network-data-vmi.ts'
import { NETWORK_DATA_MARK } from '../../core/domain/tap-alias.ts'
import { toPodLinkName } from '../../core/name.ts'
import { parseResolvConf } from '../../core/resolv-conf.ts'
import { newLabNetns } from '../../lab/netns.ts'
import type { LabNetns } from '../../lab/netns.ts'
import type { HookClient } from '../../proto/hook-client.ts'
import type { PreCloudInitIsoResult } from '../../proto/load.ts'
import { findRefusal, newSidecar } from './sidecar-process.ts'
import type { Sidecar } from './sidecar-process.ts'

const AS_QEMU =
  'setpriv --reuid 107 --regid 107 --clear-groups --inh-caps=-all --bounding-set=-all --no-new-privs'
const CABLE = toPodLinkName('cable')
const BARE = toPodLinkName('bare')

const LINKS = [
  'link add name eth0 mtu 1450 address 0a:58:0a:58:00:05 type veth peer name l2wfar',
  'tuntap add dev tap0 mode tap user 107 group 107 vnet_hdr',
  'link set tap0 mtu 1450',
  'link set l2wfar up',
  'link set eth0 up',
  'address add 10.1.2.3/32 dev eth0',
  'address add 192.0.2.7/24 dev eth0',
  'address add fd00::7/64 dev eth0 nodad',
  'route add 169.254.1.1 dev eth0 scope link',
  'route add default via 169.254.1.1 dev eth0',
  'route add 198.51.100.0/24 via 192.0.2.1 metric 50',
  'route add default via fd00::1 dev eth0',
  // A cable with an address, whose far end is not there yet: no carrier.
  `link add name ${CABLE} address 02:00:00:00:03:01 type veth peer name l2wnone`,
  `link set ${CABLE} up`,
  `address add 203.0.113.1/30 dev ${CABLE}`,
  `link add name ${BARE} address 02:00:00:00:03:02 type veth peer name l2wbare`,
]

function newVmi(names: readonly string[], annotation = 'true'): object {
  const binding = { name: 'l2wire' }
  return {
    metadata: { annotations: { [NETWORK_DATA_ANNOTATION]: annotation } },
    spec: {
      domain: { devices: { interfaces: names.map((name) => ({ name, binding })) } },
      networks: names.map((name) => ({
        name,
        ...(name === 'default' ? { pod: {} } : { multus: { networkName: name } }),
      })),
    },
  }
}

/** As KubeVirt's Go writes it: names, order, and what it escapes. */
const NO_CLOUD =
  String.raw`{"DataSource":"noCloud","NoCloudMetaData":{"instance-id":"5d307ca9","local-hostname":"r1"},` +
  String.raw`"ConfigDriveMetaData":null,"UserData":"#cloud-config\npassword: \u003cfedora\u003e","NetworkData":"",` +
  String.raw`"DevicesData":null,"VolumeName":"init"}`
const OLD = '{"userData":"#cloud-config"}'
const CONFIG_DRIVE = NO_CLOUD.replace('noCloud', 'configDrive')

describe("l2wire-sidecar's PreCloudInitIso", () => {
  let netns: LabNetns
  let sidecar: Sidecar | undefined
  let client: HookClient

  before(async () => {
    netns = await newLabNetns('netdata')
    await netns.run([
      'sysctl',
      '-qw',
      'net.ipv6.conf.all.disable_ipv6=0',
      'net.ipv6.conf.default.disable_ipv6=0',
    ])
    for (const line of LINKS) await netns.run(['ip', ...line.split(' ')])
    sidecar = newSidecar({ prefix: ['ip', 'netns', 'exec', netns.name, ...AS_QEMU.split(' ')] })
    client = await sidecar.connect()
  })

  after(async () => {
    await sidecar?.[Symbol.asyncDispose]()
    await netns[Symbol.asyncDispose]()
  })

  async function ask(
    vmi: object | string,
    cloudInitData = NO_CLOUD,
    cloudInitNoCloudSource = OLD,
  ): Promise<PreCloudInitIsoResult> {
    return client.preCloudInitIso('v1alpha3', {
      cloudInitData: Buffer.from(cloudInitData),
      cloudInitNoCloudSource: Buffer.from(cloudInitNoCloudSource),
      vmi: Buffer.from(typeof vmi === 'string' ? vmi : JSON.stringify(vmi)),
    })
  }

  const mark = async (alias: string): Promise<string> =>
    netns.run(['ip', 'link', 'set', 'dev', 'tap0', 'alias', alias])

  const listHookPoints = async (): Promise<string[]> =>
    (await client.info()).hookPoints.map(({ name }) => name)

  it('is subscribed to only where the agent has marked a link of the pod', async () => {
    expect(await listHookPoints()).to.eql(['OnDefineDomain', 'Shutdown'])
    await mark('something else')
    expect(await listHookPoints()).to.eql(['OnDefineDomain', 'Shutdown'])
    await mark(NETWORK_DATA_MARK)
    expect(await listHookPoints()).to.eql(['OnDefineDomain', 'PreCloudInitIso', 'Shutdown'])
  })

  it('adds all addresses, routes and resolvers, and leaves the rest as it is', async () => {
    const { cloudInitData, cloudInitNoCloudSource } = await ask(newVmi(['default', 'cable']))
    const { NetworkData, ...rest } = JSON.parse(cloudInitData.toString()) as Record<string, unknown>
    const { NetworkData: _, ...before } = JSON.parse(NO_CLOUD) as Record<string, unknown>
    expect(rest).to.eql(before)
    expect(JSON.parse(cloudInitNoCloudSource.toString())).to.eql({
      ...(JSON.parse(OLD) as object),
      networkData: NetworkData,
    })
    const { nameservers, searches } = parseResolvConf(readFileSync('/etc/resolv.conf', 'utf8'))
    const told = {
      ...(nameservers.length > 0 ? { addresses: nameservers } : {}),
      ...(searches.length > 0 ? { search: searches } : {}),
    }
    expect(JSON.parse(String(NetworkData))).to.eql({
      version: 2,
      ethernets: {
        default: {
          match: { macaddress: '0a:58:0a:58:00:05' },
          mtu: 1450,
          addresses: ['10.1.2.3/32', '192.0.2.7/24', 'fd00::7/64'],
          routes: [
            { to: '0.0.0.0/0', via: '169.254.1.1', 'on-link': true },
            { to: '198.51.100.0/24', via: '192.0.2.1', metric: 50 },
            { to: '::/0', via: 'fd00::1' },
          ],
          ...(Object.keys(told).length > 0 ? { nameservers: told } : {}),
        },
        cable: {
          match: { macaddress: '02:00:00:00:03:01' },
          mtu: 1500,
          addresses: ['203.0.113.1/30'],
        },
      },
    })
  })

  it('answers both versions that know the call alike, again and again', async () => {
    const params = {
      cloudInitData: Buffer.from(NO_CLOUD),
      cloudInitNoCloudSource: Buffer.from(OLD),
      vmi: Buffer.from(JSON.stringify(newVmi(['default']))),
    }
    const once = await client.preCloudInitIso('v1alpha2', params)
    expect(await client.preCloudInitIso('v1alpha3', params)).to.eql(once)
    const twice = await client.preCloudInitIso('v1alpha3', { ...params, ...once })
    expect(twice).to.eql(once)
  })

  it("writes OpenStack's words on a ConfigDrive", async () => {
    const { cloudInitData } = await ask(newVmi(['default']), CONFIG_DRIVE)
    const { NetworkData } = JSON.parse(cloudInitData.toString()) as { NetworkData: string }
    expect(JSON.parse(NetworkData)).to.have.keys(['links', 'networks', 'services'])
  })

  const unchanged: readonly {
    name: string
    vmi: object | string
    data?: string
    old?: string
  }[] = [
    { name: 'a VM that does not ask for it', vmi: newVmi(['default'], 'false') },
    {
      name: 'network data of the user',
      vmi: newVmi(['default']),
      data: NO_CLOUD.replace('"NetworkData":""', '"NetworkData":"version: 1"'),
    },
    {
      name: 'network data of the user in the older document',
      vmi: newVmi(['default']),
      old: '{"networkData":"version: 1"}',
    },
    { name: 'NICs on links without addresses', vmi: newVmi(['bare']) },
    { name: 'a VM without networks', vmi: newVmi([]) },
    { name: 'a disk of another kind', vmi: newVmi(['default']), data: '{"DataSource":"sysprep"}' },
    { name: 'two empty documents', vmi: newVmi(['default']), data: '', old: '' },
    { name: 'two nulls', vmi: newVmi(['default']), data: 'null', old: 'null' },
  ]
  for (const { name, vmi, data, old } of unchanged)
    it(`returns the bytes that came: ${name}`, async () => {
      const answer = await ask(vmi, data, old)
      expect(answer.cloudInitData.toString()).to.equal(data ?? NO_CLOUD)
      expect(answer.cloudInitNoCloudSource.toString()).to.equal(old ?? OLD)
    })

  const refused = [
    {
      name: 'no JSON in a document',
      vmi: newVmi(['default']),
      data: '{"UserData":',
      code: status.INVALID_ARGUMENT,
      says: '"cloudInitData": it is "{\\"UserData\\":", expected JSON',
    },
    {
      name: 'a document that is no object',
      vmi: newVmi(['default']),
      data: '[]',
      code: status.INVALID_ARGUMENT,
      says: '"cloudInitData": it is [], expected an object',
    },
    {
      name: 'an empty VMI',
      vmi: '',
      data: NO_CLOUD,
      code: status.INVALID_ARGUMENT,
      says: '"vmi": it is "", expected JSON',
    },
    {
      name: 'a NIC whose pod link is missing',
      vmi: newVmi(['default', 'lost']),
      data: NO_CLOUD,
      code: status.FAILED_PRECONDITION,
      says: 'Cannot plug in interface "lost": the pod has no link',
    },
  ]
  for (const { name, vmi, data, code, says } of refused)
    it(`refuses ${name}, and lives on`, async () => {
      const refusal = await findRefusal(ask(vmi, data))
      expect(refusal.code).to.equal(code)
      expect(refusal.details).to.include(says)
      expect((await client.info()).name).to.equal('l2wire')
    })

  it('tells of the NICs of all bindings of ours, since KubeVirt asks one sidecar alone', async () => {
    const vmi = JSON.stringify(newVmi(['default'])).replace('"l2wire"', '"l2wire-macvtap"')
    const { cloudInitData } = await ask(vmi)
    expect(cloudInitData.toString()).to.include('192.0.2.7/24')
  })
})
