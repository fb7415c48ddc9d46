// A VM straight on the pod network of a real cluster: it has its pod's place there, for other pods, for Services, for
// the kubelet, and for what the node filters.
import { expect } from 'chai'
import { after, before, describe, it } from 'mocha'

import { CommandError } from '../../core/errors.ts'
import { run } from '../../kernel/run.ts'
import { readGuestNic, readPodNic, type NicState } from '../../lab/guest-network.ts'
import type { Guest } from '../../lab/guest.ts'
import { TOOLS_IMAGE } from '../../lab/kube/images.ts'
import { getMapping, type Manifest } from '../../lab/manifests.ts'
import { expectSoon } from '../expect-soon.ts'
import { askDhcpv6 } from '../pods-place.ts'
import { findNetns, getLauncher, listVmNics, openGuest } from './fixture-guest.ts'
import { newPlace, toVm, type Place } from '../../lab/kube/place.ts'

const PORT = 80
const SERVICE_PORT = 8080
const PAGE = 'served by the VM\n'
/** The node is to see it at once, and a busy guest to have its time. */
const PROBE = { tcpSocket: { port: PORT }, periodSeconds: 1, timeoutSeconds: 20 }
/** As any pod: with IPv6, where the node has it. */
const TOOLS = { name: 'tools', image: TOOLS_IMAGE, command: ['sh', '-c', 'exec sleep infinity'] }

describe('a VM straight on the pod network of a cluster', function () {
  this.timeout(600_000)
  let place: Place
  let guest: Guest
  let pod: NicState
  let launcher: string
  /** As the API has them, IPv4 first. */
  let podIps: readonly string[]

  before(async () => {
    place = await newPlace()
    const { namespace, cluster } = place
    await cluster.apply(
      toVm({ name: 'web', namespace }, 'n1', [], {
        words: [],
        mgmt: { binding: { name: 'l2wire' }, ports: [{ name: 'http', port: PORT }] },
        labels: { app: 'web' },
        spec: { readinessProbe: PROBE },
      }),
      {
        apiVersion: 'v1',
        kind: 'Service',
        metadata: { name: 'shop', namespace },
        spec: { selector: { app: 'web' }, ports: [{ port: SERVICE_PORT, targetPort: 'http' }] },
      },
    )
    await Promise.all([
      place.waitUntilBooted('web'),
      ...['n1', 'n2'].map((node) => place.addPod(`on-${node}`, node, [], { containers: [TOOLS] })),
    ])
    guest = await openGuest(place, 'web')
    launcher = await getLauncher(place, 'web')
    const netns = await findNetns(place, launcher)
    pod = await readPodNic(
      { run: async (argv) => run(['nsenter', `--net=${netns}`, ...argv]) },
      'eth0',
    )
    podIps = await listPodIps(launcher)
  })
  after(async () => place[Symbol.asyncDispose]())

  const listPodIps = async (name: string): Promise<readonly string[]> => {
    const status = getMapping(await place.cluster.getObject('pod', name, place.namespace), 'status')
    return (status['podIPs'] as readonly Manifest[]).map(({ ip }) => String(ip))
  }
  const within = async (name: string, ...argv: readonly string[]): Promise<string> =>
    place.kubectl('exec', name, '--', ...argv)
  /** What the server says: a status, headers, and the page. Debian's static busybox, which has wget, cannot ask a resolver. */
  const get = async (
    name: string,
    host: string,
    port: number,
    patienceSeconds = 20,
  ): Promise<string> => {
    const ask = `printf 'GET / HTTP/1.0\\r\\n\\r\\n' | socat -t ${patienceSeconds} - TCP:${host}:${port},connect-timeout=${patienceSeconds}`
    return within(name, 'sh', '-c', ask)
  }
  const waitUntilReady = async (want: 'true' | 'false'): Promise<string> =>
    place.kubectl('wait', 'vmi/web', `--for=condition=Ready=${want}`, '--timeout=120s')
  const serve = async (): Promise<string> =>
    guest.run(`mkdir -p /srv; printf '${PAGE}' >/srv/index.html; httpd -p ${PORT} -h /srv`)

  it("has its pod's MAC, MTU, IPv4 address and routes by DHCP", async () => {
    await expectSoon('it has an address', async () =>
      (await readGuestNic(guest, 'eth0')).addresses.some(isIpv4),
    )
    const own = await readGuestNic(guest, 'eth0')
    expect(own.mac).to.equal(pod.mac)
    expect(own.mtu).to.equal(pod.mtu)
    expect(own.addresses.filter(isIpv4)).to.deep.equal(podIps.filter(isIpv4))
    expect(own.routes.filter(isIpv4)).to.deep.equal(pod.routes.filter(isIpv4))
    expect(own.routes.join()).to.include('default via 10.')
  })

  it("asks its pod's nameserver, with its search domains", async () => {
    const own = await guest.run('cat /etc/resolv.conf')
    const kubelet = await place.kubectl(
      'exec',
      launcher,
      '-c',
      'compute',
      '--',
      'cat',
      '/etc/resolv.conf',
    )
    for (const word of ['nameserver', 'search'])
      expect(pickLines(own, word)).to.deep.equal(pickLines(kubelet, word))
    const { apiService } = place.cluster.plan
    const answer = await guest.run('nslookup kubernetes.default.svc.cluster.local')
    expect(answer).to.match(new RegExp(`^Address: +${apiService}$`, 'm'))
    // It goes by the search domains; nobody answers a ping there.
    const { stdout } = await guest.exec('ping -c 1 -W 1 shop')
    expect(stdout).to.include(`shop.${place.namespace}.svc.cluster.local`)
    await guest.run(`nc -w 20 ${apiService} 443 </dev/null`)
  })

  it("has its pod's IPv6 address by DHCPv6, and the gateway by advertisements", async function () {
    if (podIps.every(isIpv4)) this.skip()
    await askDhcpv6(guest, 'eth0')
    const own = await readGuestNic(guest, 'eth0')
    expect(own.addresses).to.deep.equal(pod.addresses)
    expect(own.addresses).to.deep.equal([...podIps].toSorted())
  })

  it('stands in its status with these addresses, as one that cannot migrate', async () => {
    // The agent tells KubeVirt now and then.
    await expectSoon('the status has them', async () => {
      const [nic] = await listVmNics(place, 'web')
      const shown = nic?.['ipAddresses'] as readonly string[] | undefined
      return podIps.every((address) => shown?.includes(address) === true)
    })
    const [nic] = await listVmNics(place, 'web')
    expect(nic).to.include({ name: 'mgmt', mac: pod.mac, ipAddress: podIps[0] })
    const instance = await place.cluster.getObject('vmi', 'web', place.namespace)
    const conditions = getMapping(instance, 'status')['conditions'] as readonly Manifest[]
    const migratable = conditions.find(({ type }) => type === 'LiveMigratable')
    expect(migratable).to.include({ status: 'False' })
  })

  it('is ready once the kubelet reaches its server', async () => {
    await waitUntilReady('false')
    await serve()
    await waitUntilReady('true')
  })

  it('is reached by pods of its node and of another, and reaches them', async () => {
    for (const name of ['on-n1', 'on-n2']) {
      for (const address of podIps) {
        const host = isIpv4(address) ? address : `[${address}]`
        expect(await get(name, host, PORT)).to.include(PAGE)
        await within(name, 'ping', '-c', '2', '-W', '20', address)
      }
      for (const address of await listPodIps(name)) await guest.run(`ping -c 2 -W 20 ${address}`)
    }
  })

  it('is behind its Service, by the name of its port', async () => {
    const shop = await place.cluster.getObject('service', 'shop', place.namespace)
    const { clusterIP } = getMapping(shop, 'spec')
    for (const name of ['on-n1', 'on-n2'])
      for (const host of [String(clusterIP), 'shop'])
        await expectSoon(`${name} reaches the Service by ${host}`, async () =>
          get(name, host, SERVICE_PORT).then(
            (page) => page.includes(PAGE),
            (error: unknown) => {
              // kube-proxy hears of a ready pod a moment later.
              if (error instanceof CommandError) return false
              throw error
            },
          ),
        )
  })

  it('is governed by what the node filters at its end of the link, both ways', async () => {
    const { machine } = place.cluster.getNode('n1')
    const peer = Number(
      await place.kubectl(
        'exec',
        launcher,
        '-c',
        'compute',
        '--',
        'cat',
        '/sys/class/net/eth0/iflink',
      ),
    )
    const links = JSON.parse(await machine.run(['ip', '-j', 'link'])) as readonly Manifest[]
    const device = String(links.find(({ ifindex }) => ifindex === peer)?.['ifname'])
    const table = `netdev ${place.namespace}`
    const [far = ''] = await listPodIps('on-n2')
    const ping = `ping -c 2 -W 3 ${far}`
    // As a policy engine does it there: no way in to the server, none out to the pod, everything else goes on.
    const rules = `table ${table} {
      chain in { type filter hook egress device "${device}" priority 0; tcp dport ${PORT} counter drop; }
      chain out { type filter hook ingress device "${device}" priority 0; ip daddr ${far} icmp type echo-request counter drop; }
    }`
    await machine.run(['nft', '-f', '-'], { input: rules })
    try {
      const refused = await get('on-n2', podIps[0] ?? '', PORT, 3)
        .then(() => 'answered')
        .catch((error: unknown) => (error as CommandError).stderr)
      expect(refused).to.include('timed out')
      expect((await guest.exec(ping)).stdout).to.include('100% packet loss')
      await within('on-n2', 'ping', '-c', '2', '-W', '20', podIps[0] ?? '')
      const counted = await machine.run(['nft', 'list', 'table', ...table.split(' ')])
      expect(counted.match(/counter packets [1-9]\d*/g)).to.have.length(2)
    } finally {
      await machine.run(['nft', 'delete', 'table', ...table.split(' ')])
    }
    expect(await get('on-n2', podIps[0] ?? '', PORT)).to.include(PAGE)
    await guest.run(ping)
  })

  it('is not ready any more once its server is gone', async () => {
    await guest.run('killall httpd')
    await waitUntilReady('false')
  })
})

/** Of an address, and of a route as it stands in NicState. */
function isIpv4(text: string): boolean {
  return !text.includes(':')
}

/** The words behind the first word of lines. */
function pickLines(text: string, first: string): readonly string[] {
  const lines = text.split('\n').filter((line) => line.startsWith(`${first} `))
  return lines
    .flatMap((line) => line.trim().split(/ +/).slice(1))
    .map((word) => word.replace(/\.$/, ''))
}
