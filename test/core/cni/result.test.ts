import { expect } from 'chai'
import { describe, it } from 'mocha'

import { toAddResult, toErrorResult } from '../../../core/cni/result.ts'
import { allowsCommand, CNI_VERSIONS, getCommandVersion } from '../../../core/cni/version.ts'
import { CNI_CODE, CniError } from '../../../core/errors.ts'

const ETH1 = { name: 'eth1', mac: '02:00:00:00:00:01', mtuBytes: 1500, sandbox: '/run/netns/a' }

describe('toAddResult()', () => {
  for (const version of CNI_VERSIONS)
    it(`has the fields of ${version}`, () => {
      const { name, mac, sandbox } = ETH1
      const mtu = version === '1.1.0' ? { mtu: 1500 } : {}
      expect(toAddResult(version, [ETH1], undefined)).to.deep.equal({
        cniVersion: version,
        interfaces: [{ name, mac, ...mtu, sandbox }],
      })
    })
  it('passes on what an earlier plugin of the chain made', () => {
    const prevResult = {
      cniVersion: '1.0.0',
      interfaces: [{ name: 'eth0' }],
      ips: [{ address: '10.0.0.1/24', interface: 0 }],
    }
    expect(toAddResult('1.0.0', [ETH1], prevResult)).to.deep.include({ ips: prevResult.ips })
    expect(toAddResult('1.0.0', [ETH1], prevResult)['interfaces']).to.have.length(2)
  })
  it('names no interface where none was added', () => {
    expect(toAddResult('1.1.0', [], undefined)).to.deep.equal({ cniVersion: '1.1.0' })
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
    expect(allowsCommand('0.3.1', 'DEL')).to.equal(true)
    expect(getCommandVersion('STATUS')).to.equal('1.1.0')
  })
})
