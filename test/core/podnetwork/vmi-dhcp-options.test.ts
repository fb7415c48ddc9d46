import { expect } from 'chai'
import { describe, it } from 'mocha'

import {
  decodeDhcpOptions,
  isSayable,
  renderDhcpOptions,
} from '../../../core/podnetwork/vmi-dhcp-options.ts'
import { DecodeError } from '../../../core/errors.ts'

function decode(dhcpOptions: unknown): ReturnType<typeof decodeDhcpOptions> {
  return decodeDhcpOptions({ path: 'nic', value: { dhcpOptions } })
}

describe("a VMI's DHCP options", () => {
  it('are those that KubeVirt knows', () => {
    const privateOptions = [
      { option: 224, value: 'a' },
      { option: 254, value: 'b' },
      { option: 223, value: 'not private' },
      { option: 255, value: 'the end' },
      { option: 224, value: 'the last one' },
      { option: 230, value: '' },
    ]
    const ntpServers = ['192.0.2.1', '192.0.2.2']
    const asked = { bootFileName: 'f', tftpServerName: 's', ntpServers, privateOptions }
    expect(decode(asked)).to.deep.equal([
      { code: 66, text: 's' },
      { code: 67, text: 'f' },
      { code: 42, addresses: ntpServers },
      { code: 224, text: 'the last one' },
      { code: 254, text: 'b' },
    ])
    for (const none of [undefined, null, {}, { ntpServers: [], privateOptions: null }])
      expect(decode(none)).to.deep.equal([])
    expect(() => decode({ bootFileName: 7 })).to.throw(DecodeError, 'nic.dhcpOptions.bootFileName')
  })

  for (const [name, option, line] of [
    ['a file', { code: 67, text: 'pxe/a.0' }, 'dhcp-option=67,"pxe/a.0"'],
    ['quotes', { code: 66, text: String.raw`a"\n` }, String.raw`dhcp-option=66,"a\"\\n"`],
    [
      'servers',
      { code: 42, addresses: ['192.0.2.1', '192.0.2.2'] },
      'dhcp-option-force=42,192.0.2.1,192.0.2.2',
    ],
    ['a number', { code: 224, text: '1' }, 'dhcp-option-force=224,"1"'],
    ['a text that just fits', { code: 225, text: 'x'.repeat(255) }, undefined],
  ] as const)
    it(`say ${name}`, () => {
      expect(isSayable(option)).to.equal(true)
      const [said, ...more] = renderDhcpOptions([option])
      expect(more).to.deep.equal([])
      if (line !== undefined) expect(said).to.equal(line)
    })

  for (const [name, option] of [
    ['a line of its own', { code: 67, text: 'a\ndhcp-range=10.0.0.1' }],
    ['a text that is too long in bytes', { code: 224, text: 'é'.repeat(128) }],
    ['a server by its name', { code: 42, addresses: ['192.0.2.1', 'ntp.example.org'] }],
    ['a server of IPv6', { code: 42, addresses: ['fd00::1'] }],
    [
      'more servers than fit',
      { code: 42, addresses: Array.from({ length: 64 }, () => '192.0.2.1') },
    ],
    [
      'servers that make a line longer than dnsmasq takes',
      { code: 42, addresses: Array.from({ length: 63 }, () => '192.168.100.100') },
    ],
  ] as const)
    it(`leave out ${name}`, () => {
      expect(isSayable(option)).to.equal(false)
      expect(renderDhcpOptions([option])).to.deep.equal([])
    })
})
