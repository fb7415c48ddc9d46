// What Linux 6.18 shows of a pod with a link that has a carrier, eth0, and one that has none, quiet.
import { expect } from 'chai'
import { describe, it } from 'mocha'

import { toPodNetwork } from '../../../core/domain/network-data-proc.ts'
import type { PodNetworkFiles } from '../../../core/domain/network-data-proc.ts'

const FILES: PodNetworkFiles = {
  upAddresses: [{ link: 'eth0', address: '10.88.0.5/24' }],
  fibTrie: `Main:
  +-- 0.0.0.0/0 3 0 5
     |-- 0.0.0.0
        /0 universe UNICAST
           +-- 10.88.0.0/29 2 0 2
              |-- 10.88.0.0
                 /24 link UNICAST
              |-- 10.88.0.5
                 /32 host LOCAL
     +-- 127.0.0.0/31 1 0 0
        |-- 127.0.0.0
           /8 host LOCAL
        |-- 127.0.0.1
           /32 host LOCAL
     +-- 192.0.2.0/31 1 0 0
        |-- 192.0.2.0
           /25 link UNICAST
        |-- 192.0.2.1
           /32 link UNICAST
           /32 host LOCAL
     |-- 192.0.2.127
        /32 link BROADCAST
     |-- 203.0.113.9
        /32 host LOCAL
Local:
        |-- 192.0.2.1
           /32 link UNICAST
           /32 host LOCAL
`,
  route: `Iface	Destination	Gateway 	Flags	RefCnt	Use	Metric	Mask		MTU	Window	IRTT
eth0	00000000	0100580A	0003	0	0	0	00000000	0	0	0
eth0	0000090A	00000000	0001	0	0	7	0000FFFF	0	0	0
eth0	0000580A	00000000	0001	0	0	0	00FFFFFF	0	0	0
quiet	000200C0	00000000	0001	0	0	0	80FFFFFF	0	0	0
*	006433C6	00000000	0201	0	0	0	00FFFFFF	0	0	0
`,
  ifInet6: `fd000000000000000000000000000005 03 40 00 82     eth0
fd0000000000000045fffe00000000aa 03 40 00 00     eth0
fd010000000000000000000000000005 05 40 00 c0    quiet
fe80000000000000383d45fffee1b533 03 40 20 c0     eth0
00000000000000000000000000000001 01 80 10 80       lo
`,
  ipv6Route: `fd000000000000000000000000000000 40 00000000000000000000000000000000 00 00000000000000000000000000000000 00000100 00000003 00000000 00000001     eth0
fd020000000000000000000000000000 20 00000000000000000000000000000000 00 fd010000000000000000000000000001 0000004d 00000001 00000000 00000003    quiet
fe800000000000000000000000000000 40 00000000000000000000000000000000 00 00000000000000000000000000000000 00000100 00000002 00000000 00000001     eth0
00000000000000000000000000000000 00 00000000000000000000000000000000 00 fd000000000000000000000000000001 00000400 00000001 00000000 00000003     eth0
00000000000000000000000000000000 00 00000000000000000000000000000000 00 fe800000000000000000000000000001 00000400 00000001 00000000 00450003     eth0
fd000000000000000000000000000005 80 00000000000000000000000000000000 00 00000000000000000000000000000000 00000000 00000002 00000000 80200001     eth0
ff000000000000000000000000000000 08 00000000000000000000000000000000 00 00000000000000000000000000000000 00000100 00000003 00000000 00000001     eth0
00000000000000000000000000000000 00 00000000000000000000000000000000 00 00000000000000000000000000000000 ffffffff 00000001 00000000 00200200       lo
`,
  resolvConf:
    'search lab.svc.cluster.local cluster.local\nnameserver 10.96.0.10\noptions ndots:5\n',
}
const NOTHING: PodNetworkFiles = {
  upAddresses: [],
  fibTrie: '',
  route: '',
  ifInet6: '',
  ipv6Route: '',
  resolvConf: '',
}

describe('toPodNetwork()', () => {
  const pod = toPodNetwork(FILES)

  it('finds every address that a link was given, with a carrier or without', () => {
    expect(pod.addresses).to.eql([
      { link: 'eth0', address: '10.88.0.5/24' },
      { link: 'quiet', address: '192.0.2.1/25' },
      { link: 'eth0', address: 'fd00::5/64' },
      { link: 'quiet', address: 'fd01::5/64' },
    ])
  })

  it('finds the routes of both families that somebody set', () => {
    expect(pod.routes).to.eql([
      { link: 'eth0', dst: '0.0.0.0/0', gw: '10.88.0.1', metric: 0 },
      { link: 'eth0', dst: '10.9.0.0/16', gw: undefined, metric: 7 },
      { link: 'eth0', dst: '10.88.0.0/24', gw: undefined, metric: 0 },
      { link: 'quiet', dst: '192.0.2.0/25', gw: undefined, metric: 0 },
      { link: 'eth0', dst: 'fd00::/64', gw: undefined, metric: 256 },
      { link: 'quiet', dst: 'fd02::/32', gw: 'fd01::1', metric: 77 },
      { link: 'eth0', dst: '::/0', gw: 'fd00::1', metric: 1024 },
    ])
  })

  it('finds the resolvers', () => {
    expect(pod.dns).to.eql({
      nameservers: ['10.96.0.10'],
      searches: ['lab.svc.cluster.local', 'cluster.local'],
    })
  })

  it("takes an address of nobody's link for none of a link that has a carrier", () => {
    // A DHCP server beside the pod link, which has the gateway's address and no carrier yet.
    const fibTrie = '|-- 10.88.0.1\n  /32 host LOCAL\n'
    expect(toPodNetwork({ ...FILES, fibTrie, ifInet6: '' }).addresses).to.eql(FILES.upAddresses)
  })

  it('takes no default route for the network of an address', () => {
    const route = 'Iface\neth0	00000000	00000000	0001	0	0	0	00000000	0	0	0\n'
    expect(toPodNetwork({ ...FILES, route, ipv6Route: '' }).addresses.slice(0, 2)).to.eql([
      { link: 'eth0', address: '10.88.0.5/24' },
      { link: 'eth0', address: 'fd00::5/64' },
    ])
  })

  it('finds nothing where there is nothing', () => {
    expect(toPodNetwork(NOTHING)).to.eql({
      addresses: [],
      routes: [],
      dns: { nameservers: [], searches: [] },
    })
  })
})
