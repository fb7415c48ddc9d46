import { expect } from 'chai'
import { describe, it } from 'mocha'

import {
  findListed,
  NOTHING_ADDED,
  toAddResult,
  toErrorResult,
  type Added,
} from '../../../core/cni/result.ts'
import { allowsCommand, CNI_VERSIONS, getCommandVersion } from '../../../core/cni/version.ts'
import { CNI_CODE, CniError } from '../../../core/errors.ts'

const ETH1 = { name: 'eth1', mac: '02:00:00:00:00:01', mtuBytes: 1500, sandbox: '/run/netns/a' }
const HOST = { name: 'lw1', mtuBytes: 9216 }
const ADDED: Added = {
  interfaces: [HOST, ETH1],
  addressing: {
    ips: [{ address: '10.0.0.2/24', gateway: '10.0.0.1' }, { address: 'fd00::2/64' }],
    routes: [{ dst: '10.1.0.0/16', gw: '10.0.0.1', mtu: 1400 }],
  },
  dns: { nameservers: ['10.0.0.1'] },
}

describe('toAddResult()', () => {
  for (const version of CNI_VERSIONS)
    it(`has the fields of ${version}`, () => {
      const { name, mac, sandbox } = ETH1
      const isNewest = version === '1.1.0'
      const isOld = version.startsWith('0.')
      expect(toAddResult(version, ADDED, undefined)).to.deep.equal({
        cniVersion: version,
        interfaces: [
          { name: 'lw1', ...(isNewest ? { mtu: 9216 } : {}) },
          { name, mac, ...(isNewest ? { mtu: 1500 } : {}), sandbox },
        ],
        ips: [
          {
            ...(isOld ? { version: '4' } : {}),
            address: '10.0.0.2/24',
            gateway: '10.0.0.1',
            interface: 1,
          },
          { ...(isOld ? { version: '6' } : {}), address: 'fd00::2/64', interface: 1 },
        ],
        routes: [{ dst: '10.1.0.0/16', gw: '10.0.0.1', ...(isNewest ? { mtu: 1400 } : {}) }],
        dns: { nameservers: ['10.0.0.1'] },
      })
    })
  it('passes on what an earlier plugin of the chain made, and counts behind it', () => {
    const prevResult = {
      cniVersion: '1.0.0',
      interfaces: [{ name: 'eth0' }],
      ips: [{ address: '10.9.0.1/24', interface: 0 }],
      routes: [{ dst: '0.0.0.0/0' }],
      dns: { domain: 'x' },
    }
    const result = toAddResult('1.0.0', ADDED, prevResult)
    expect(result['interfaces']).to.have.length(3)
    expect(result['ips']).to.deep.equal([
      prevResult.ips[0],
      { address: '10.0.0.2/24', gateway: '10.0.0.1', interface: 2 },
      { address: 'fd00::2/64', interface: 2 },
    ])
    expect(result['routes']).to.deep.equal([
      prevResult.routes[0],
      { dst: '10.1.0.0/16', gw: '10.0.0.1' },
    ])
    expect(result['dns']).to.deep.equal(ADDED.dns)
    const bare = { ...NOTHING_ADDED, interfaces: [ETH1], dns: {} }
    expect(toAddResult('1.0.0', bare, prevResult)).to.deep.include({
      ips: prevResult.ips,
      routes: prevResult.routes,
      dns: prevResult.dns,
    })
  })
  it('names no interface where none was added', () => {
    expect(toAddResult('1.1.0', NOTHING_ADDED, undefined)).to.deep.equal({ cniVersion: '1.1.0' })
  })
})

describe('findListed()', () => {
  const result = {
    interfaces: [
      { name: 'eth1' },
      { name: 'eth1', sandbox: '/n', mac: '02:AA:00:00:00:01', mtu: 1400 },
      { name: 'eth2', sandbox: '/n', mac: '', mtu: 0 },
      7,
    ],
  }
  it('reads MAC and MTU of the interface in that namespace', () => {
    expect(findListed(result, 'eth1', '/n')).to.deep.equal({ mac: '02:aa:00:00:00:01', mtu: 1400 })
    expect(findListed(result, 'eth2', '/n')).to.deep.equal({ mac: undefined, mtu: undefined })
    expect(findListed(result, 'eth1', '/other')).to.equal(undefined)
    expect(findListed({}, 'eth1', '/n')).to.equal(undefined)
  })
})

describe('toErrorResult()', () => {
  it('has code, message, and the cause as details', () => {
    const error = new CniError(CNI_CODE.KERNEL_REFUSED, 'Cannot make it', {
      cause: new Error('no', { cause: 'why' }),
    })
    expect(toErrorResult('1.0.0', error)).to.deep.equal({
      cniVersion: '1.0.0',
      code: 100,
      msg: 'Cannot make it',
      details: 'no: why',
    })
  })
  it('has no details where there are none, and says nothing twice', () => {
    expect(toErrorResult('1.0.0', new CniError(CNI_CODE.INTERNAL, 'x'))).to.not.have.property(
      'details',
    )
    const twice = new CniError(CNI_CODE.INTERNAL, 'x', { cause: new Error('x') })
    expect(toErrorResult('1.0.0', twice)).to.not.have.property('details')
    expect(
      toErrorResult('1.0.0', new CniError(CNI_CODE.INTERNAL, 'x', { details: 'y' })),
    ).to.include({ details: 'y' })
  })
})

describe('allowsCommand()', () => {
  it('knows since when a verb exists', () => {
    expect(allowsCommand('0.3.1', 'CHECK')).to.equal(false)
    expect(allowsCommand('0.4.0', 'CHECK')).to.equal(true)
    expect(allowsCommand('1.0.0', 'STATUS')).to.equal(false)
    expect(allowsCommand('1.0.0', 'GC')).to.equal(false)
    expect(allowsCommand('0.3.1', 'DEL')).to.equal(true)
    expect(getCommandVersion('STATUS')).to.equal('1.1.0')
  })
})
