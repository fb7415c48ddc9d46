// l2wire's own images, made without a container engine, in the containerd of a node: what is in them, and what not. That
// the others are whole is shown by the cluster that runs.
import { randomBytes } from 'node:crypto'

import { expect } from 'chai'
import { before, describe, it } from 'mocha'

import { openKubeCluster, type KubeNode } from '../../lab/kube/cluster.ts'
import { RUNTIME_SOCKET } from '../../lab/kube/node-config.ts'
import { ensureOwnImages, OWN_IMAGES } from '../../lab/kube/own-images.ts'
import type { Image } from '../../lab/kube/docker-archive.ts'

describe('images made without a container engine', function () {
  this.timeout(5 * 60_000)
  let node: KubeNode
  let images: readonly Image[]
  const said: string[] = []

  before(async () => {
    node = (await openKubeCluster()).getNode('n1')
    images = await ensureOwnImages((line) => said.push(line))
  })

  const runIn = async (
    part: (typeof OWN_IMAGES)[number],
    argv: readonly string[],
  ): Promise<string> => {
    const image = images.find(({ name }) => name.includes(`/${part}:`))?.name ?? ''
    const id = `l2w-${randomBytes(4).toString('hex')}`
    const ctr = ['ctr', '--address', RUNTIME_SOCKET, '--namespace', 'k8s.io']
    return node.run([...ctr, 'run', '--rm', image, id, ...argv], { timeoutMs: 120_000 })
  }

  it('are made once', () => {
    expect(images).to.have.length(OWN_IMAGES.length)
    expect(said).to.deep.equal([])
  })

  it("l2wire's agent starts, unpacks its plugins, and has every program that it calls", async () => {
    expect(await runIn('agent', ['l2wire-agent', '--help'])).to.include('Usage: l2wire-agent')
    const script = `mkdir /tmp/plugins && l2wire-node install --plugins /tmp/plugins && CNI_COMMAND=VERSION /tmp/plugins/l2wire-bind`
    const said = await runIn('agent', ['sh', '-ec', script])
    expect(said).to.include('installed l2wire and l2wire-bind').and.include('supportedVersions')
    const programs = `ip tc bridge nft ethtool dnsmasq tcpdump tcpreplay nsenter setpriv unshare flock mknod env cat`
    const versions = `for name in ${programs}; do command -v $name >/dev/null || echo "no $name"; done
      ip -V; nft --version; ethtool --version; dnsmasq --version; tcpdump --version 2>&1; tcpreplay --version 2>&1
      setpriv --version; unshare --version; grep -E '^(tcpdump|dnsmasq):' /etc/passwd`
    const answers = await runIn('agent', ['sh', '-ec', versions])
    expect(answers).to.not.match(/^no /m)
    expect(answers)
      .to.match(/^tcpdump:x:/m)
      .and.match(/^dnsmasq:x:/m)
  })

  it("l2wire's agent is without what only installs", async () => {
    const script = 'for name in apt-get dpkg perl; do command -v $name || echo "no $name"; done'
    expect(await runIn('agent', ['sh', '-c', script])).to.equal('no apt-get\nno dpkg\nno perl\n')
  })

  it("l2wire's sidecar starts by its entry point's program, as user 107", async () => {
    const script =
      'console.log(process.version, process.getuid(), require("fs").readdirSync("/l2wire/lib").length > 3)'
    const answer = await runIn('sidecar', ['/usr/local/bin/node', '-e', script])
    expect(answer).to.equal(`${process.version} 107 true\n`)
  })
})
