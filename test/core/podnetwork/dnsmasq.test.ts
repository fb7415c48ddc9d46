import { expect } from 'chai'
import { describe, it } from 'mocha'

import { needsMemory, renderDnsmasq } from '../../../core/podnetwork/dnsmasq.ts'
import { parseDnsmasqLine } from '../../../core/podnetwork/dnsmasq-log.ts'
import type { VmNetwork } from '../../../core/podnetwork/vm-network.ts'

const BARE: VmNetwork = {
  mac: '02:00:00:00:00:01',
  mtuBytes: 1450,
  routes: [],
  nameservers: [],
  searches: [],
}
const COMMON = [
  'port=0',
  'interface=lws0',
  'bind-interfaces',
  'no-hosts',
  'no-resolv',
  'leasefile-ro',
  'dhcp-authoritative',
  'no-ping',
  'dhcp-ignore-clid',
  'quiet-dhcp',
  'quiet-ra',
]

describe('renderDnsmasq()', () => {
  it('tells one VM all there is', () => {
    const lease: VmNetwork = {
      ...BARE,
      hostname: 'r1',
      ipv4: '10.0.0.2/24',
      ipv6: 'fd00::2/64',
      routes: [
        { dst: '0.0.0.0/0', gw: '10.0.0.1' },
        { dst: '192.0.2.0/24' },
        { dst: '::/0', gw: 'fd00::1' },
      ],
      router: { linkLocal: 'fe80::1', mac: '02:00:00:00:00:09' },
      nameservers: ['10.96.0.10', 'fd00::53'],
      searches: ['svc.test', 'test'],
    }
    expect(renderDnsmasq('lws0', lease, false)).to.deep.equal([
      ...COMMON,
      'dhcp-host=02:00:00:00:00:01,10.0.0.2,[fd00::2],r1,infinite',
      'dhcp-range=10.0.0.0,static,255.255.255.0,infinite',
      'shared-network=lws0,10.0.0.0',
      'dhcp-option=249,0.0.0.0/0,10.0.0.1,192.0.2.0/24,0.0.0.0',
      'dhcp-option=option:domain-search,svc.test,test',
      'dhcp-option=option:domain-name,svc.test',
      'dhcp-option=12,r1',
      'dhcp-option=option:dns-server,10.96.0.10',
      'dhcp-option=option:mtu,1450',
      'dhcp-option=option:router,10.0.0.1',
      'dhcp-option=121,0.0.0.0/0,10.0.0.1,192.0.2.0/24,0.0.0.0',
      'dhcp-range=tag:none,fd00::,static,64,infinite',
      'dhcp-range=fd00::2,static,128,infinite',
      'dhcp-duid=0,6c:32:77:69:72:65',
      'enable-ra',
      'ra-param=lws0,mtu:1450,60,9000',
      'dhcp-option=option6:dns-server,[fd00::53]',
      'dhcp-option=option6:domain-search,svc.test,test',
    ])
  })

  it('names no router, route or server that there is not', () => {
    expect(renderDnsmasq('lws0', { ...BARE, ipv4: '10.0.0.2/32' }, false)).to.deep.equal([
      ...COMMON,
      'dhcp-host=02:00:00:00:00:01,10.0.0.2,infinite',
      'dhcp-range=10.0.0.2,static,255.255.255.255,infinite',
      'shared-network=lws0,10.0.0.2',
      'dhcp-option=28',
      'dhcp-option=option:mtu,1450',
      'dhcp-option=option:router',
    ])
  })

  it('names a host apart where its name is a word of dnsmasq', () => {
    for (const hostname of ['ignore', 'Infinite', 'deprecated', '5', '3600', '1h', '2W']) {
      const lines = renderDnsmasq('lws0', { ...BARE, hostname, ipv4: '10.0.0.2/24' }, false)
      expect(lines).to.include('dhcp-host=02:00:00:00:00:01,10.0.0.2,infinite')
      expect(lines).to.include(`dhcp-option=12,${hostname}`)
    }
  })

  it('keeps leases where it is to remember them, as of DHCPv6', () => {
    const lease = { ...BARE, ipv6: 'fd00::2/64' }
    expect(needsMemory(lease)).to.equal(true)
    expect(needsMemory({ ...BARE, ipv4: '10.0.0.2/24' })).to.equal(false)
    const lines = renderDnsmasq('lws0', lease, true)
    expect(lines).to.include('dhcp-leasefile=/proc/self/fd/1').and.not.include('leasefile-ro')
  })

  it('is no router where it cannot speak for one, and keeps a network that is not on the link off it', () => {
    expect(renderDnsmasq('lws0', { ...BARE, ipv6: 'fd00:0:0:1:2::3/128' }, false)).to.deep.equal([
      ...COMMON,
      'dhcp-host=02:00:00:00:00:01,[fd00:0:0:1:2::3],infinite',
      'dhcp-range=tag:none,fd00:0:0:1::,static,off-link,64,infinite',
      'dhcp-range=fd00:0:0:1:2::3,static,128,infinite',
      'dhcp-duid=0,6c:32:77:69:72:65',
      'enable-ra',
      'ra-param=lws0,mtu:1450,60,0',
    ])
  })
})

describe('parseDnsmasqLine()', () => {
  for (const [line, want] of [
    ['dnsmasq[87]: started, version 2.90 DNS disabled', 'started'],
    ['dnsmasq[87]: compile time options: IPv6 GNU-getopt', undefined],
    ['dnsmasq-dhcp[88]: 10968925 DHCPREPLY(lws0) fd00:9::2 00:03:00:01:4a:0f:4c:35 r1', 'given'],
    ['dnsmasq-dhcp[88]: DHCPREPLY(lws0) fd00::1:2 00:03:00:01:4a:0f:4c:35:ba:2d r1', 'given'],
    ['dnsmasq-dhcp[88]: DHCPADVERTISE(lws0) fd00:9::2 00:03:00:01:4a:0f:4c:35:ba:2d r1', undefined],
    [
      'dnsmasq-dhcp[88]: 14042785 DHCPADVERTISE(lws0) 00:01:00:01:32:94:a5:e7:4a:0f no addresses available',
      'refused',
    ],
    ['dnsmasq-dhcp[88]: 14042785 DHCPREPLY(lws0) 00:01:00:01 no addresses available', 'refused'],
    ['dnsmasq-dhcp[88]: disabling DHCP static address 10.0.0.2 for 10m', 'declined'],
    ['dnsmasq-dhcp[88]: disabling DHCP static address fd00:9::2 for 10m', 'declined'],
    ['dnsmasq-dhcp[88]: DHCPREPLY(lws0) fd00:9::77 00:03:00:01:4a:0f address invalid', undefined],
    ['dnsmasq-dhcp[88]: 1 sent size: 24 option: 13 status  2 no addresses available', undefined],
  ] as const)
    it(`takes "${line}" for ${want ?? 'nothing'}`, () => {
      expect(parseDnsmasqLine(line)).to.equal(want)
    })
})
