import { expect } from 'chai'
import { describe, it } from 'mocha'

import { decodeVmi, parseVmi } from '../../../core/domain/vmi.ts'
import { DecodeError, LinkMissingError } from '../../../core/errors.ts'
import { newDomain, newLinks, newVmi, OURS, POD_LINK, rewrite } from './samples.ts'

function ours(fields: object): object {
  return newVmi({ interfaces: [{ ...OURS, ...fields }] })
}

describe('decodeVmi()', () => {
  const refused = [
    { name: 'an array', vmi: [], says: 'Cannot decode "vmi": it is [], expected an object' },
    { name: 'null', vmi: null, says: 'Cannot decode "vmi": it is null, expected an object' },
    { name: 'a text', vmi: 'x', says: 'Cannot decode "vmi": it is "x", expected an object' },
    {
      name: 'a spec that is no object',
      vmi: { spec: 5 },
      says: '"spec": it is 5, expected an object',
    },
    {
      name: 'interfaces that are no array',
      vmi: newVmi({ devices: { interfaces: {} } }),
      says: '"spec.domain.devices.interfaces": it is {}, expected an array',
    },
    {
      name: 'an interface without name',
      vmi: newVmi({ interfaces: [{ binding: { name: 'l2wire' } }] }),
      says: '"spec.domain.devices.interfaces[0].name": it is missing, expected a string',
    },
    {
      name: 'two interfaces of one name',
      vmi: newVmi({ interfaces: [OURS, OURS] }),
      says: '"spec.domain.devices.interfaces[1].name": it is "ge0", expected a name that no other',
    },
    {
      name: 'a binding without name',
      vmi: ours({ binding: {} }),
      says: '"spec.domain.devices.interfaces[0].binding.name": it is missing, expected a string',
    },
    {
      name: 'an interface without network',
      vmi: newVmi({ networks: [] }),
      says: '"spec.domain.devices.interfaces[0].name": it is "ge0", expected the name of one of spec.networks',
    },
    {
      name: 'a network of no kind',
      vmi: newVmi({ networks: [{ name: 'ge0' }] }),
      says: '"spec.networks[0]": it is {"name":"ge0"}, expected a network with "pod" or "multus"',
    },
    {
      name: 'two pod networks',
      vmi: newVmi({
        networks: [
          { name: 'ge0', pod: {} },
          { name: 'ge1', multus: { networkName: 'x', default: true } },
        ],
      }),
      says: '"spec.networks[1]": it is {"name":"ge1","multus":{"networkName":"x","default":true}}, expected no pod network beside spec.networks[0]',
    },
    {
      name: 'a MAC that is none',
      vmi: ours({ macAddress: 'zz' }),
      says: 'macAddress": it is "zz", expected a unicast MAC',
    },
    {
      name: 'a MAC of mixed separators',
      vmi: ours({ macAddress: '02:00-00:00:00:01' }),
      says: 'macAddress"',
    },
    {
      name: 'a MAC of 8 bytes',
      vmi: ours({ macAddress: '02:00:00:00:00:00:00:01' }),
      says: 'macAddress"',
    },
    {
      name: 'a multicast MAC',
      vmi: ours({ macAddress: '01:80:c2:00:00:00' }),
      says: 'macAddress"',
    },
    { name: 'a MAC of zeros', vmi: ours({ macAddress: '00:00:00:00:00:00' }), says: 'macAddress"' },
    {
      name: 'a MAC that is a number',
      vmi: ours({ macAddress: 7 }),
      says: 'macAddress": it is 7, expected a string',
    },
    {
      name: 'a PCI address that is none',
      vmi: ours({ pciAddress: '81:01.0' }),
      says: 'pciAddress": it is "81:01.0", expected a PCI',
    },
    {
      name: 'a PCI function above 7',
      vmi: ours({ pciAddress: '0000:81:01.10' }),
      says: 'pciAddress"',
    },
    {
      name: 'a boot order that is a text',
      vmi: ours({ bootOrder: '1' }),
      says: 'bootOrder": it is "1", expected a whole number',
    },
    { name: 'a negative boot order', vmi: ours({ bootOrder: -1 }), says: 'bootOrder"' },
    {
      name: 'an ACPI index out of range',
      vmi: ours({ acpiIndex: 16_384 }),
      says: 'acpiIndex": it is 16384, expected a whole number from 1 to 16383',
    },
    {
      name: 'a flag that is a text',
      vmi: newVmi({ devices: { networkInterfaceMultiqueue: 'yes' } }),
      says: 'networkInterfaceMultiqueue": it is "yes", expected true or false',
    },
    {
      name: 'half a core',
      vmi: newVmi({ domain: { cpu: { cores: 0.5 } } }),
      says: '"spec.domain.cpu.cores"',
    },
    {
      name: 'a CPU limit that is no quantity',
      vmi: newVmi({ domain: { resources: { limits: { cpu: 'lots' } } } }),
      says: '"spec.domain.resources.limits.cpu": it is "lots", expected a quantity',
    },
  ]
  for (const { name, vmi, says } of refused) {
    it(`refuses ${name}`, () => {
      expect(() => decodeVmi(vmi, 'l2wire')).to.throw(DecodeError, says)
    })
  }

  const passed = [
    { name: 'a VMI without spec', vmi: {} },
    { name: 'a VMI without interfaces', vmi: { spec: { domain: { devices: {} } } } },
    {
      name: 'null where a list may be',
      vmi: { spec: { domain: { devices: { interfaces: null } } } },
    },
    {
      name: "other bindings' mistakes",
      vmi: newVmi({
        interfaces: [{ name: 'x', masquerade: {}, macAddress: 'zz', pciAddress: 5 }],
        networks: [],
      }),
    },
    { name: 'an interface of another binding', vmi: ours({ binding: { name: 'passt' } }) },
    { name: 'an interface on its way out', vmi: ours({ state: 'absent', macAddress: 'zz' }) },
  ]
  for (const { name, vmi } of passed) {
    it(`finds nothing to do in ${name}`, () => {
      expect(decodeVmi(vmi, 'l2wire').nics).to.eql([])
    })
  }

  it('takes interfaces of the binding it was told', () => {
    const vmi = ours({ binding: { name: 'l2wire-macvtap' } })
    expect(decodeVmi(vmi, 'l2wire-macvtap').nics.map(({ name }) => name)).to.eql(['ge0'])
  })
})

describe('decodeVmi() counts vCPUs as KubeVirt does', () => {
  const rows = [
    { name: 'one by default', domain: {}, want: 1 },
    {
      name: 'sockets x cores x threads',
      domain: { cpu: { sockets: 2, cores: 3, threads: 2 } },
      want: 12,
    },
    {
      name: 'ignoring resources beside a topology',
      domain: { cpu: { cores: 2 }, resources: { limits: { cpu: '9' } } },
      want: 2,
    },
    {
      name: 'the limit before the request',
      domain: { resources: { limits: { cpu: '3' }, requests: { cpu: '1' } } },
      want: 3,
    },
    {
      name: 'the request rounded up',
      domain: { cpu: { model: 'host' }, resources: { requests: { cpu: '1100m' } } },
      want: 2,
    },
    { name: 'a decimal', domain: { resources: { limits: { cpu: '2.5' } } }, want: 3 },
    { name: 'an exponent', domain: { resources: { limits: { cpu: '2e0' } } }, want: 2 },
    { name: 'a number', domain: { resources: { limits: { cpu: 4 } } }, want: 4 },
  ]
  for (const { name, domain, want } of rows) {
    it(name, () => {
      expect(decodeVmi(newVmi({ domain }), 'l2wire').vcpus).to.equal(want)
    })
  }
})

describe('parseVmi()', () => {
  it('refuses what is not JSON', () => {
    expect(() => parseVmi('{"spec":')).to.throw(
      DecodeError,
      'Cannot decode "vmi": it is "{\\"spec\\":", expected JSON',
    )
  })
  it('refuses JSON that would fill the memory', () => {
    expect(() => parseVmi('[[],'.repeat(100_000))).to.throw(DecodeError, 'at most 100000')
  })
})

describe('rewriteDomain() without what it needs', () => {
  it('names the pod links it looked for', () => {
    expect(() => rewrite(newDomain(''), newVmi(), newLinks({ eth0: {} }))).to.throw(
      LinkMissingError,
      `Cannot plug in interface "ge0": the pod has no link "${POD_LINK}" or "net1", expected`,
    )
  })
  it('refuses a pod link whose address is no MAC when the VMI does not give one', () => {
    const links = newLinks({ [POD_LINK]: { address: '' } })
    expect(() => rewrite(newDomain(''), newVmi(), links)).to.throw(
      DecodeError,
      `"address of link ${POD_LINK}"`,
    )
  })
})
