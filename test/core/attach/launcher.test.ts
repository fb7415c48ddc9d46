import { expect } from 'chai'
import { describe, it } from 'mocha'

import type { BindConfig } from '../../../core/cni/bind-config.ts'
import { DecodeError } from '../../../core/errors.ts'
import { toNicWish, type NicWish } from '../../../core/attach/launcher.ts'
import { NO_DNS } from '../../../core/podnetwork/pod-dns.ts'
import { BIND_CONFIG } from '../samples.ts'

const OWN = {
  nameservers: ['10.96.0.10'],
  searches: ['l2wire.svc.cluster.local', 'svc.cluster.local', 'cluster.local'],
}
const SOURCES = { own: OWN, node: undefined }
const REF = { namespace: 'lab', name: 'virt-launcher-r1-x7k2p' }

interface VmiParts {
  readonly nic?: object
  readonly devices?: object
  readonly domain?: object
  readonly status?: object
}

function newVmi({ nic = {}, devices = {}, domain = {}, status = {} }: VmiParts): object {
  const interfaces = [
    { name: 'mgmt', masquerade: {}, macAddress: '02:00:00:00:00:99' },
    { name: 'ge0', binding: { name: 'l2wire' }, ...nic },
  ]
  return { spec: { domain: { devices: { interfaces, ...devices }, ...domain } }, status }
}

function wish(vmi: unknown, config: Partial<BindConfig> = {}, spec: object = {}): NicWish {
  return toNicWish(REF, { ...BIND_CONFIG, ...config }, SOURCES, { pod: { spec }, vmi })
}

function running(queueCount: number, infoSource = 'domain, guest-agent'): object {
  return { status: { interfaces: [{ name: 'ge0', queueCount, infoSource }] } }
}

describe('toNicWish() of a launcher', () => {
  const asks = { devices: { networkInterfaceMultiqueue: true } }
  const four = { ...asks, domain: { cpu: { sockets: 2, cores: 2, maxSockets: 8 } } }
  const queues: readonly {
    name: string
    vmi: unknown
    config?: Partial<BindConfig>
    want: boolean
  }[] = [
    { name: 'a VMI that asks, with four vCPUs', vmi: newVmi(four), want: true },
    { name: 'one vCPU has one queue', vmi: newVmi(asks), want: false },
    {
      name: 'one vCPU with room for more has one queue',
      vmi: newVmi({ ...asks, domain: { cpu: { sockets: 1, maxSockets: 4 } } }),
      want: false,
    },
    {
      name: 'two vCPUs by their limit',
      vmi: newVmi({ ...asks, domain: { resources: { limits: { cpu: '1500m' } } } }),
      want: true,
    },
    { name: 'a VMI that does not ask', vmi: newVmi({ domain: four.domain }), want: false },
    { name: 'a model by name', vmi: newVmi({ ...four, nic: { model: 'virtio' } }), want: true },
    { name: 'no virtio', vmi: newVmi({ ...four, nic: { model: 'e1000e' } }), want: false },
    {
      name: 'no virtio, though the configuration asks',
      vmi: newVmi({ ...four, nic: { model: 'e1000e' } }),
      config: { isMultiQueue: true },
      want: false,
    },
    { name: 'the configuration asks', vmi: newVmi({}), config: { isMultiQueue: true }, want: true },
    {
      name: 'the configuration forbids',
      vmi: newVmi(four),
      config: { isMultiQueue: false },
      want: false,
    },
    {
      name: 'it runs with one queue and had vCPUs plugged in',
      vmi: newVmi({ ...four, ...running(1) }),
      want: false,
    },
    {
      name: 'it runs with several and lost vCPUs',
      vmi: newVmi({ ...asks, ...running(2) }),
      want: true,
    },
    {
      name: 'it runs with one queue, whatever the configuration says since',
      vmi: newVmi({ ...four, ...running(1) }),
      config: { isMultiQueue: true },
      want: false,
    },
    {
      name: 'a status that is not of the domain',
      vmi: newVmi({ ...four, ...running(1, 'multus-status') }),
      want: true,
    },
    {
      name: 'a NIC that is plugged in while the VM runs',
      vmi: newVmi({ ...four, status: { interfaces: [{ name: 'mgmt', infoSource: 'domain' }] } }),
      want: true,
    },
    { name: 'a VMI without that NIC', vmi: { spec: { domain: { devices: {} } } }, want: false },
    { name: 'no VMI', vmi: undefined, want: false },
    { name: 'no VMI, asked for', vmi: undefined, config: { isMultiQueue: true }, want: true },
  ]
  for (const { name, vmi, config, want } of queues)
    it(`${want ? 'several queues' : 'one queue'}: ${name}`, () => {
      expect(wish(vmi, config).isMultiQueue).to.equal(want)
    })

  it('takes the MAC that the VMI asks for, as the kernel writes it', () => {
    expect(wish(newVmi({ nic: { macAddress: '02-AB-00-00-00-01' } })).mac).to.equal(
      '02:ab:00:00:00:01',
    )
    expect(wish(newVmi({})).mac).to.equal(undefined)
    expect(wish(undefined).mac).to.equal(undefined)
  })

  for (const [name, nic, status, want] of [
    ['that it runs with, whatever its new pod link has', {}, {}, '02:cd:00:00:00:02'],
    ['that the VMI asks for first', { macAddress: '02:ab:00:00:00:01' }, {}, '02:ab:00:00:00:01'],
    ['of no status that is not of the domain', {}, { infoSource: 'multus-status' }, undefined],
    ['of no other NIC', {}, { name: 'mgmt' }, undefined],
    ['of no status without one', {}, { mac: '' }, undefined],
  ] as const)
    it(`takes the MAC ${name}`, () => {
      const runs = { name: 'ge0', infoSource: 'domain, guest-agent', mac: '02:CD:00:00:00:02' }
      const vmi = newVmi({ nic, status: { interfaces: [{ ...runs, ...status }] } })
      expect(wish(vmi).mac).to.equal(want)
    })

  for (const [name, networks, want] of [
    ["the pod's own network", [{ name: 'ge0', pod: {} }], true],
    ['a default of Multus', [{ name: 'ge0', multus: { networkName: 'x', default: true } }], true],
    ['a secondary network', [{ name: 'ge0', multus: { networkName: 'x' } }], false],
    ['no network of the VMI', [{ name: 'mgmt', pod: {} }], undefined],
  ] as const)
    it(`tells ${name}`, () => {
      expect(wish({ spec: { networks } }).isPrimary).to.equal(want)
    })

  it('asks for the DHCP options that the VMI asks for', () => {
    const dhcpOptions = { tftpServerName: '192.0.2.66' }
    expect(wish(newVmi({ nic: { dhcpOptions } })).dhcpOptions).to.deep.equal([
      { code: 66, text: '192.0.2.66' },
    ])
    expect(wish(newVmi({}))).to.not.have.property('dhcpOptions')
  })

  it('names a MAC that is none', () => {
    const vmi = newVmi({ nic: { macAddress: 'zz' } })
    expect(() => wish(vmi)).to.throw(
      DecodeError,
      '"vmi.spec.domain.devices.interfaces[1].macAddress"',
    )
  })

  it("is called what the pod is called, or the pod's name as the kubelet cuts it", () => {
    expect(wish(undefined, {}, { hostname: 'r1' }).hostname).to.equal('r1')
    expect(wish(undefined).hostname).to.equal('virt-launcher-r1-x7k2p')
    const long = { ...REF, name: `${'r'.repeat(62)}-x7k2p` }
    expect(toNicWish(long, BIND_CONFIG, SOURCES).hostname).to.equal('r'.repeat(62))
  })

  it('has the DNS of its pod, unless the configuration says another', () => {
    expect(wish(undefined).dns.searches[0]).to.equal('lab.svc.cluster.local')
    expect(wish(undefined, {}, { dnsPolicy: 'None' }).dns).to.deep.equal(NO_DNS)
    const dns = { nameservers: ['9.9.9.9'], searches: [] }
    expect(wish(undefined, { dns }, { dnsPolicy: 'None', subdomain: 'x' }).dns).to.equal(dns)
  })
})

describe('toNicWish() without a cluster', () => {
  it('knows the name of the pod, and what the machine is told of DNS', () => {
    expect(toNicWish(REF, BIND_CONFIG, SOURCES)).to.deep.equal({
      hostname: REF.name,
      dns: OWN,
      mac: undefined,
      isMultiQueue: false,
    })
    expect(toNicWish({ ...REF, name: undefined }, BIND_CONFIG, SOURCES).hostname).to.equal(
      undefined,
    )
    expect(toNicWish(REF, { ...BIND_CONFIG, isMultiQueue: true }, SOURCES).isMultiQueue).to.equal(
      true,
    )
  })
})

function toStatus(info?: object): object {
  const claim = info === undefined ? {} : { persistentVolumeClaimInfo: info }
  return { volumeStatus: [{ name: 'a', ...claim }] }
}

describe('toNicWish() of a VM by macvtap that starts with volumes', () => {
  const claim = { persistentVolumeClaim: { claimName: 'c', hotpluggable: true } }
  const rows: readonly {
    name: string
    volumes: readonly object[]
    status?: object
    attach?: 'tap'
    want: string | undefined
  }[] = [
    { name: 'a claim to hot-plug', volumes: [{ name: 'a', ...claim }], want: 'volume "a",' },
    {
      name: 'a DataVolume to hot-plug beside others',
      volumes: [
        { name: 'root', containerDisk: { image: 'i' } },
        { name: 'b', persistentVolumeClaim: { claimName: 'c' } },
        { name: 'a', dataVolume: { name: 'd', hotpluggable: true } },
      ],
      want: 'volume "a",',
    },
    {
      name: 'two',
      volumes: [
        { name: 'a', ...claim },
        { name: 'b', ...claim },
      ],
      want: 'volumes "a", "b",',
    },
    {
      name: 'one that is a block device',
      volumes: [{ name: 'a', ...claim }],
      status: toStatus({ volumeMode: 'Block' }),
      want: 'volume "a",',
    },
    {
      name: 'one whose claim is not known yet',
      volumes: [{ name: 'a', ...claim }],
      status: toStatus(),
      want: 'volume "a",',
    },
    {
      name: 'a file system',
      volumes: [{ name: 'a', ...claim }],
      status: toStatus({ volumeMode: 'Filesystem' }),
      want: undefined,
    },
    {
      name: 'a file system by default',
      volumes: [{ name: 'a', ...claim }],
      status: toStatus({ accessModes: ['ReadWriteOnce'] }),
      want: undefined,
    },
    {
      name: 'none to hot-plug',
      volumes: [{ name: 'a', persistentVolumeClaim: { claimName: 'c', hotpluggable: false } }],
      want: undefined,
    },
    {
      name: 'a memory dump',
      volumes: [{ name: 'a', memoryDump: { claimName: 'c', hotpluggable: true } }],
      want: undefined,
    },
    { name: 'none', volumes: [], want: undefined },
    { name: 'a tap', volumes: [{ name: 'a', ...claim }], attach: 'tap', want: undefined },
  ]
  for (const { name, volumes, status = {}, attach, want } of rows)
    it(`${name}: ${want === undefined ? 'nothing to tell' : 'its users are told'}`, () => {
      const vmi = {
        metadata: { name: 'r1', uid: 'v1' },
        spec: { domain: { devices: { interfaces: [{ name: 'ge0' }] } }, volumes },
        status: { activePods: { p1: 'n1' }, ...status },
      }
      const owner = {
        apiVersion: 'kubevirt.io/v1',
        kind: 'VirtualMachineInstance',
        name: 'r1',
        uid: 'v1',
        controller: true,
      }
      const metadata = { name: REF.name, namespace: 'lab', uid: 'p1', ownerReferences: [owner] }
      const config = { ...BIND_CONFIG, attach: attach ?? ('macvtap' as const) }
      const { warning } = toNicWish(REF, config, SOURCES, { pod: { metadata }, vmi })
      if (want === undefined) {
        expect(warning).to.equal(undefined)
        return
      }
      expect(warning?.notice).to.include({ type: 'Warning', reason: 'MacvtapHotplugVolume' })
      expect(warning?.notice.message)
        .to.include(want)
        .and.include('NIC "ge0"')
        .and.include('"l2wire"')
      expect(warning?.notice.message.length).to.be.below(1024)
      expect(warning?.subjects.map(({ kind }) => kind)).to.deep.equal([
        'Pod',
        'VirtualMachineInstance',
      ])
    })
})
