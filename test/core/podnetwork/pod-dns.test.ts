import { expect } from 'chai'
import { describe, it } from 'mocha'

import { DecodeError } from '../../../core/errors.ts'
import { NO_DNS, parseResolvConf, toPodDns, type PodDns } from '../../../core/podnetwork/pod-dns.ts'

function dns(nameservers: string, searches: string): PodDns {
  return { nameservers: split(nameservers), searches: split(searches) }
}

function split(text: string): string[] {
  return text.split(' ').filter((word) => word !== '')
}

describe('parseResolvConf()', () => {
  const rows: readonly { name: string; text: string; want: PodDns }[] = [
    { name: 'nothing', text: '', want: NO_DNS },
    {
      name: 'what the kubelet writes',
      text: 'search l2wire.svc.cluster.local svc.cluster.local\nnameserver 10.96.0.10\noptions ndots:5\n',
      want: dns('10.96.0.10', 'l2wire.svc.cluster.local svc.cluster.local'),
    },
    {
      name: 'comments, tabs and carriage returns',
      text: '# nameserver 10.0.0.9\n;search x\n\tnameserver\t10.0.0.1 # ours\r\nnameserver\n',
      want: dns('10.0.0.1', ''),
    },
    {
      name: 'the last of search and domain',
      text: 'domain a.example\nsearch b.example c.example\n',
      want: dns('', 'b.example c.example'),
    },
    { name: 'a domain', text: 'domain a.example\n', want: dns('', 'a.example') },
    {
      name: 'domains as they are compared',
      text: 'search Lab.Example. lab.example _tcp.lab .\n',
      want: dns('', 'lab.example _tcp.lab'),
    },
    {
      name: 'nameservers in one spelling, once',
      text: 'nameserver fd00:0::1\nnameserver fd00::1\n',
      want: dns('fd00::1', ''),
    },
    {
      name: "none that is the node's own",
      text: 'nameserver 127.0.0.53\nnameserver ::1\nnameserver fe80::1%eth0\nnameserver 10.0.0.1\n',
      want: dns('10.0.0.1', ''),
    },
    {
      name: 'nothing that is no domain',
      text: `search a,b ${'x'.repeat(64)} $(reboot) good.example ${'a.'.repeat(128)}\n`,
      want: dns('', 'good.example'),
    },
  ]
  for (const { name, text, want } of rows)
    it(`reads ${name}`, () => {
      expect(parseResolvConf(text)).to.deep.equal(want)
    })
})

describe('toPodDns()', () => {
  const cluster = dns(
    '10.96.0.10',
    'l2wire.svc.k8s.example svc.k8s.example k8s.example lan.example',
  )
  const plain = dns('192.0.2.1', 'lan.example')
  const rows: readonly {
    name: string
    spec?: object
    own?: PodDns
    node?: PodDns
    want: PodDns
  }[] = [
    {
      name: "a pod without policy has its own namespace where the agent's is",
      want: dns('10.96.0.10', 'lab.svc.k8s.example svc.k8s.example k8s.example lan.example'),
    },
    {
      name: 'ClusterFirstWithHostNet is no different',
      spec: { dnsPolicy: 'ClusterFirstWithHostNet' },
      want: dns('10.96.0.10', 'lab.svc.k8s.example svc.k8s.example k8s.example lan.example'),
    },
    {
      name: "ClusterFirst under an agent of policy Default: the node's",
      spec: { dnsPolicy: 'ClusterFirst' },
      own: plain,
      want: plain,
    },
    {
      name: 'a first domain that only looks like a namespace stays',
      own: dns('192.0.2.1', 'a.svc.lan.example lan.example'),
      want: dns('192.0.2.1', 'a.svc.lan.example lan.example'),
    },
    {
      name: "Default is the node's",
      spec: { dnsPolicy: 'Default' },
      node: plain,
      want: plain,
    },
    {
      name: "Default without the node's file: no domain of the cluster",
      spec: { dnsPolicy: 'Default' },
      want: dns('10.96.0.10', 'lan.example'),
    },
    {
      name: 'Default under an agent of policy Default',
      spec: { dnsPolicy: 'Default' },
      own: plain,
      want: plain,
    },
    { name: 'None is nothing', spec: { dnsPolicy: 'None' }, node: plain, want: NO_DNS },
    {
      name: 'None is what dnsConfig says',
      spec: {
        dnsPolicy: 'None',
        dnsConfig: { nameservers: ['1.1.1.1'], searches: ['corp.example'] },
      },
      want: dns('1.1.1.1', 'corp.example'),
    },
    {
      name: 'dnsConfig comes behind, once',
      spec: {
        dnsConfig: {
          nameservers: ['10.96.0.10', '1.1.1.1'],
          searches: ['corp.example', 'lan.example'],
          options: [{ name: 'ndots', value: '1' }],
        },
      },
      want: dns(
        '10.96.0.10 1.1.1.1',
        'lab.svc.k8s.example svc.k8s.example k8s.example lan.example corp.example',
      ),
    },
    {
      name: 'three nameservers at most',
      spec: { dnsConfig: { nameservers: ['1.1.1.1', '2.2.2.2', '3.3.3.3'] } },
      own: dns('10.96.0.10', ''),
      want: dns('10.96.0.10 1.1.1.1 2.2.2.2', ''),
    },
    {
      name: '32 domains at most',
      spec: {
        dnsPolicy: 'None',
        dnsConfig: { searches: Array.from({ length: 40 }, (_, at) => `d${at}.example`) },
      },
      want: dns('', Array.from({ length: 32 }, (_, at) => `d${at}.example`).join(' ')),
    },
    {
      name: '2048 characters at most',
      spec: {
        dnsPolicy: 'None',
        dnsConfig: { searches: Array.from({ length: 10 }, (_, at) => longDomain(at)) },
      },
      // Each of 250, and a blank between them.
      want: dns('', Array.from({ length: 8 }, (_, at) => longDomain(at)).join(' ')),
    },
    {
      name: "a VM's subdomain comes first",
      spec: { subdomain: 'routers' },
      want: dns(
        '10.96.0.10',
        'routers.lab.svc.k8s.example lab.svc.k8s.example svc.k8s.example k8s.example lan.example',
      ),
    },
    {
      name: 'a subdomain that is there already stays one',
      spec: { subdomain: 'routers', dnsConfig: { searches: ['routers.lab.svc.k8s.example'] } },
      want: dns(
        '10.96.0.10',
        'lab.svc.k8s.example svc.k8s.example k8s.example lan.example routers.lab.svc.k8s.example',
      ),
    },
    {
      name: 'a subdomain without a cluster is nobody’s',
      spec: { subdomain: 'routers' },
      own: plain,
      want: plain,
    },
  ]
  for (const { name, spec = {}, own = cluster, node, want } of rows)
    it(name, () => {
      expect(toPodDns({ path: 'pod.spec', value: spec }, 'lab', { own, node })).to.deep.equal(want)
    })

  it('names what is no list', () => {
    const value = { dnsConfig: { searches: 'x' } }
    const read = (): PodDns =>
      toPodDns({ path: 'pod.spec', value }, 'lab', { own: plain, node: undefined })
    expect(read).to.throw(DecodeError, '"pod.spec.dnsConfig.searches"')
  })
})

function longDomain(at: number): string {
  return `${at}${['x', 'x', 'x'].map((letter) => letter.repeat(61)).join('.')}.${'y'.repeat(63)}`
}
