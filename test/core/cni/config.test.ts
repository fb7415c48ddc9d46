import { expect } from 'chai'
import { describe, it } from 'mocha'

import {
  decodeCniVersion,
  decodeIpam,
  decodePluginConfig,
  parseConfig,
} from '../../../core/cni/config.ts'
import type { CniArgs } from '../../../core/cni/env.ts'
import { CNI_VERSIONS } from '../../../core/cni/version.ts'
import { catchRefusal } from '../samples.ts'

const ARGS: CniArgs = {
  command: 'ADD',
  containerID: 'c1',
  netns: '/run/netns/a',
  ifname: 'eth1',
  args: '',
  path: '',
}
const WIRE = { cniVersion: '1.1.0', name: 'r1-r2', type: 'l2wire' }
const BIND = {
  cniVersion: '1.1.0',
  name: 'bind',
  type: 'l2wire-bind',
  args: { cni: { logicNetworkName: 'ge0' } },
}

const LONG_VM = `vm/${'v'.repeat(253)}`

describe('parseConfig()', () => {
  for (const text of ['', '  \n', '{', 'null', '[]', '"x"', '{"a":1}}', '\0'])
    it(`refuses ${JSON.stringify(text)} with error 6`, () => {
      const { code, message } = catchRefusal(() => parseConfig(text))
      expect(code).to.equal(6)
      expect(message).to.include('expected a JSON object').and.not.include('\n')
    })
})

describe('decodeCniVersion()', () => {
  for (const version of CNI_VERSIONS)
    it(`takes ${version}`, () => {
      expect(decodeCniVersion({ cniVersion: version }, CNI_VERSIONS)).to.equal(version)
    })
  for (const version of [undefined, '0.1.0', '0.3.0', '2.0.0', 1, null])
    it(`refuses ${JSON.stringify(version)} with error 1`, () => {
      const { code, message } = catchRefusal(() =>
        decodeCniVersion({ cniVersion: version }, CNI_VERSIONS),
      )
      expect(code).to.equal(1)
      expect(message).to.include('0.3.1, 0.4.0, 1.0.0, 1.1.0')
    })
})

const OFF = { args: { cni: { offload: false } } }

describe('decodePluginConfig() of l2wire', () => {
  it('fills in the defaults', () => {
    expect(decodePluginConfig(WIRE, ARGS)).to.deep.equal({
      cniVersion: '1.1.0',
      name: 'r1-r2',
      type: 'l2wire',
      prevResult: undefined,
      unknownKeys: [],
      ipam: undefined,
      addresses: [],
      dns: undefined,
      wire: 'r1-r2',
      mtuBytes: undefined,
      maxFrameBytes: 9216,
      vni: undefined,
      requestedMac: undefined,
      end: undefined,
      isTarget: false,
      offload: true,
      carrier: undefined,
    })
  })

  const taken: readonly { name: string; config: object; args?: string; want: object }[] = [
    { name: 'wire', config: { wire: 'w2' }, want: { wire: 'w2' } },
    { name: 'mtu', config: { mtu: 9000 }, want: { mtuBytes: 9000 } },
    {
      name: 'a small maxFrame',
      config: { maxFrame: 1400 },
      want: { maxFrameBytes: 1400 },
    },
    { name: 'vni', config: { vni: 4711 }, want: { vni: 4711 } },
    { name: 'carrier', config: { carrier: 'vm' }, want: { carrier: 'vm', unknownKeys: [] } },
    { name: 'offload', config: { offload: false }, want: { offload: false, unknownKeys: [] } },
    { name: 'args.cni.offload', config: OFF, want: { offload: false } },
    {
      name: 'the end before the network',
      config: { ...OFF, offload: true },
      want: { offload: false },
    },
    {
      name: 'the end before the network, on',
      config: { args: { cni: { offload: true } }, offload: false },
      want: { offload: true },
    },
    { name: 'args.cni.end', config: { args: { cni: { end: 'vm/r1' } } }, want: { end: 'vm/r1' } },
    {
      name: 'args.cni.end of a VM with a name of full length',
      config: { args: { cni: { end: LONG_VM } } },
      want: { end: LONG_VM },
    },
    {
      name: 'runtimeConfig.mac',
      config: { runtimeConfig: { mac: '02:00:00:00:00:0A' } },
      want: { requestedMac: '02:00:00:00:00:0a' },
    },
    {
      name: 'MAC of CNI_ARGS',
      config: {},
      args: 'MAC=02:00:00:00:00:01',
      want: { requestedMac: '02:00:00:00:00:01' },
    },
    {
      name: 'runtimeConfig.mac before MAC of CNI_ARGS',
      config: { runtimeConfig: { mac: '02:00:00:00:00:02' } },
      args: 'MAC=02:00:00:00:00:01',
      want: { requestedMac: '02:00:00:00:00:02' },
    },
    {
      name: 'an empty ipam and no addresses',
      config: { ipam: {}, runtimeConfig: { ips: [] } },
      want: {},
    },
    {
      name: 'keys of others',
      config: { foo: 1, 'cni.dev/valid-attachments': [] },
      want: { unknownKeys: ['foo'] },
    },
  ]
  for (const { name, config, args, want } of taken)
    it(`takes ${name}`, () => {
      expect(
        decodePluginConfig({ ...WIRE, ...config }, { ...ARGS, args: args ?? '' }),
      ).to.deep.include(want)
    })

  const refused: readonly {
    name: string
    config: object
    code?: number
    words: readonly string[]
  }[] = [
    { name: 'no name', config: { name: undefined }, words: ['"name"', 'missing'] },
    { name: 'an offload', config: { offload: 'false' }, words: ['"offload"', 'true or false'] },
    {
      name: 'an offload that the end overrules',
      config: { ...OFF, offload: 0 },
      words: ['"offload"'],
    },
    {
      name: "an end's offload",
      config: { args: { cni: { offload: 'no' } } },
      words: ['"args.cni.offload"', 'no'],
    },
    { name: 'a name with a slash', config: { name: 'a/b' }, words: ['"name"', 'a/b'] },
    { name: 'a name with a quote', config: { name: 'a"b' }, words: ['"name"'] },
    {
      name: 'a name with a newline',
      config: { name: 'a\nb' },
      words: ['"name"', String.raw`a\nb`],
    },
    { name: 'a name with NUL', config: { name: 'a\0b' }, words: ['"name"', String.raw`a\u0000b`] },
    {
      name: 'an unknown type',
      config: { type: 'bridge' },
      words: ['"type"', 'bridge', 'l2wire-bind'],
    },
    { name: 'a wire that is a number', config: { wire: 5 }, words: ['"wire"', '5'] },
    { name: 'a wire with a slash', config: { wire: '../x' }, words: ['"wire"', '../x'] },
    { name: 'an mtu that is text', config: { mtu: '1500' }, words: ['"mtu"', '"1500"'] },
    { name: 'an mtu over maxFrame', config: { mtu: 9300 }, words: ['"mtu"', '9300', '9216'] },
    { name: 'a maxFrame of 10', config: { maxFrame: 10 }, words: ['"maxFrame"', '10'] },
    { name: 'a carrier for pods', config: { carrier: 'pod' }, words: ['"carrier"', 'pod', '"vm"'] },
    { name: 'a carrier that is a flag', config: { carrier: true }, words: ['"carrier"', 'true'] },
    { name: 'a vni of 0', config: { vni: 0 }, words: ['"vni"', '16777215'] },
    { name: 'args that are a list', config: { args: [] }, words: ['"args"'] },
    { name: 'args.cni that is text', config: { args: { cni: 'x' } }, words: ['"args.cni"'] },
    {
      name: 'an end with a newline',
      config: { args: { cni: { end: 'a\nb' } } },
      words: ['"args.cni.end"'],
    },
    {
      name: 'a multicast MAC',
      config: { runtimeConfig: { mac: '01:00:00:00:00:01' } },
      words: ['"runtimeConfig.mac"', '01:00'],
    },
    {
      name: 'a runtimeConfig that is text',
      config: { runtimeConfig: 'x' },
      words: ['"runtimeConfig"'],
    },
    { name: 'a prevResult that is a list', config: { prevResult: [] }, words: ['"prevResult"'] },
    { name: 'dns that is a list', config: { dns: [] }, words: ['"dns"'] },
    { name: 'an ipam that is text', config: { ipam: 'static' }, words: ['"ipam"', 'static'] },
    { name: 'an ipam that is null', config: { ipam: null }, words: ['"ipam"', 'null'] },
    {
      name: 'an ipam without a type',
      config: { ipam: { subnet: '10.0.0.0/8' } },
      words: ['"ipam.type"', 'missing', 'host-local'],
    },
    {
      name: 'an ipam type that is a number',
      config: { ipam: { type: 5 } },
      words: ['"ipam.type"'],
    },
    {
      name: 'an ipam type that is a path',
      config: { ipam: { type: '../bin/sh' } },
      words: ['"ipam.type"', '../bin/sh'],
    },
    {
      name: 'itself as the IPAM plugin',
      config: { ipam: { type: 'l2wire' } },
      words: ['"ipam.type"', 'l2wire'],
    },
    {
      name: 'addresses that are text',
      config: { runtimeConfig: { ips: '10.0.0.1/24' } },
      words: ['"runtimeConfig.ips"', '10.0.0.1/24'],
    },
    ...[
      '10.0.0.1',
      '10.0.0.1/33',
      '10.0.0/24',
      '010.0.0.1/24',
      'fd00::1/129',
      'fe80::1%eth0/64',
      '10.0.0.1/24 dev lo',
      '224.0.0.1/24',
      'ff02::1/64',
      '::/64',
      '0.0.0.0/0',
      7,
    ].map((ip) => ({
      name: `the address ${ip}`,
      config: { runtimeConfig: { ips: ['10.0.0.9/24', ip] } },
      words: ['"runtimeConfig.ips[1]"', String(ip), 'prefix length'],
    })),
    {
      name: 'an address that is asked for twice',
      config: { runtimeConfig: { ips: ['fd00::1/64', 'fd00:0::1/48'] } },
      words: ['"runtimeConfig.ips[1]"', 'once'],
    },
    {
      name: 'a wrong address in args.cni',
      config: { args: { cni: { ips: ['x'] } } },
      words: ['"args.cni.ips[0]"', 'x'],
    },
  ]
  for (const { name, config, code, words } of refused)
    it(`refuses ${name} with error ${code ?? 7}`, () => {
      const error = catchRefusal(() => decodePluginConfig({ ...WIRE, ...config }, ARGS))
      expect(error.code).to.equal(code ?? 7)
      for (const word of words) expect(error.message).to.include(word)
      expect(error.message).to.not.include('\n')
    })
})

describe('requested addresses', () => {
  const asked = {
    runtimeConfig: { ips: ['10.0.0.2/24', 'FD00:0::2/64'] },
    args: { cni: { ips: ['10.0.1.2/24'] } },
  }
  const withIp = { ...ARGS, args: 'IgnoreUnknown=1;IP=10.0.2.2/24,fd00::5/64' }
  const rows: readonly { name: string; config: object; addresses: readonly string[] }[] = [
    {
      name: 'the capability before all else, in one spelling',
      config: asked,
      addresses: ['10.0.0.2/24', 'fd00::2/64'],
    },
    {
      name: 'args.cni.ips before CNI_ARGS',
      config: { ...asked, runtimeConfig: { ips: [] } },
      addresses: ['10.0.1.2/24'],
    },
    { name: 'IP= of CNI_ARGS', config: {}, addresses: ['10.0.2.2/24', 'fd00::5/64'] },
    {
      name: 'none where an IPAM plugin decides',
      config: { ...asked, ipam: { type: 'host-local' } },
      addresses: [],
    },
  ]
  for (const { name, config, addresses } of rows)
    it(`are ${name}`, () => {
      expect(decodePluginConfig({ ...WIRE, ...config }, withIp)).to.deep.include({ addresses })
    })
  it('are refused by name when CNI_ARGS has a wrong one', () => {
    const error = catchRefusal(() => decodePluginConfig(WIRE, { ...ARGS, args: 'IP=10.0.0.1' }))
    expect(error).to.include({ code: 7 })
    expect(error.message).to.include('"CNI_ARGS IP[0]"').and.include('10.0.0.1')
  })
})

describe('decodeIpam()', () => {
  it('names the plugin', () => {
    expect(decodeIpam({ ipam: { type: 'host-local', subnet: 'x' } })).to.equal('host-local')
  })
  for (const ipam of [undefined, {}, { type: '' }])
    it(`takes ${JSON.stringify(ipam)} for none`, () => {
      expect(decodeIpam({ ipam })).to.equal(undefined)
    })
  it('throws error 7', () => {
    expect(catchRefusal(() => decodeIpam({ ipam: 7 })).code).to.equal(7)
  })
})

describe('decodePluginConfig() of l2wire-bind', () => {
  it('finds the network that KubeVirt names', () => {
    expect(decodePluginConfig(BIND, ARGS)).to.deep.include({
      attach: 'tap',
      logicNetworkName: 'ge0',
    })
  })
  it('needs no network name for a DEL', () => {
    const config = decodePluginConfig({ ...BIND, args: {} }, { ...ARGS, command: 'DEL' })
    expect(config).to.deep.include({ logicNetworkName: '' })
  })
  it('takes domain names of 253 characters, with a dot behind them or not', () => {
    const longest = `${'x'.repeat(63)}.`.repeat(3) + 'x'.repeat(61)
    const dns = { domain: `${longest}.`, search: [longest] }
    expect(decodePluginConfig({ ...BIND, dns }, ARGS)).to.deep.include({
      dns: { nameservers: [], searches: [`${longest}.`, longest] },
    })
  })
  it('attaches by tap, or by macvtap with the device that Multus names', () => {
    expect(decodePluginConfig(BIND, ARGS)).to.deep.include({ attach: 'tap', deviceID: undefined })
    const macvtap = { ...BIND, attach: 'macvtap', deviceID: '70000001' }
    expect(decodePluginConfig(macvtap, ARGS)).to.deep.include({
      attach: 'macvtap',
      deviceID: '70000001',
    })
  })
  it("reads of a migration's target what its VM has", () => {
    const cni = { logicNetworkName: 'ge0', ips: ['10.0.0.2', 'FD00::2'], mac: '02-00-00-00-00-0A' }
    const decode = (more: object): object =>
      decodePluginConfig({ ...BIND, args: { cni: { ...cni, ...more } } }, ARGS)
    expect(decode({ standby: true })).to.deep.include({
      standby: { addresses: ['10.0.0.2', 'fd00::2'], mac: '02:00:00:00:00:0a' },
    })
    expect(decode({ standby: false })).to.include({ standby: undefined })
  })
  const refused: readonly { name: string; config: object; code: number }[] = [
    { name: 'no network name', config: { args: undefined }, code: 7 },
    {
      name: 'a network name with a slash',
      config: { args: { cni: { logicNetworkName: 'a/b' } } },
      code: 7,
    },
    {
      name: 'a standby that is no yes or no',
      config: { args: { cni: { logicNetworkName: 'ge0', standby: 1 } } },
      code: 7,
    },
    { name: 'an attach it does not know', config: { attach: 'bridge' }, code: 7 },
    { name: 'a sidecar that is no yes or no', config: { sidecar: 'yes' }, code: 7 },
    {
      name: 'a search domain of 254 characters',
      config: { dns: { search: [`${'x'.repeat(63)}.`.repeat(3) + 'x'.repeat(62)] } },
      code: 7,
    },
  ]
  for (const { name, config, code } of refused)
    it(`refuses ${name} with error ${code}`, () => {
      expect(catchRefusal(() => decodePluginConfig({ ...BIND, ...config }, ARGS)).code).to.equal(
        code,
      )
    })
})
