// The real agent and plugins on a distribution's kernel, which has classifiers that a kernel made for
// virtual machines may lack, booted with "ipv6.disable=1", as hardening guides have it: it refuses every
// setting of IPv6's.
import { expect } from 'chai'
import { after, before, describe, it } from 'mocha'

import { toPodLinkName } from '../../core/name.ts'
import { ROOT } from '../../lab/manifests.ts'
import { newNodeVm, type NodeVm } from '../../lab/node-vm.ts'
import { listTraces } from '../../lab/traces.ts'

const POD_LINK = toPodLinkName('ge0')
const PRELUDE = `cd ${ROOT}
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
export CNI_PATH=/none
export L2WIRE_SOCKET=/tmp/agent.sock
# COMMAND POD INTERFACE: the configuration is read from standard input.
call() {
  CNI_COMMAND=$1 CNI_CONTAINERID=$2 CNI_NETNS=/run/netns/$2 CNI_IFNAME=$3 "dist/bin/$4" && return
  echo "$1 of $3 in $2 failed; the agent said:"
  cat /tmp/log
  exit 1
} >&2
wire='{"cniVersion":"1.1.0","name":"w","type":"l2wire","prevResult":{}}'
# The network that it is about.
bind() {
  echo '{"cniVersion":"1.1.0","name":"b","type":"l2wire-bind","prevResult":{},'\
    '"args":{"cni":{"logicNetworkName":"'"$1"'"}}}'
}
`

describe("a node of a distribution's kernel, without IPv6", function () {
  // It boots, and runs Node and the plugins, emulated and beside others.
  this.timeout(420_000)
  let node: NodeVm
  let traces: readonly string[]

  before(async () => {
    traces = await listTraces()
    node = await newNodeVm('ipv6.disable=1')
  })
  after(async () => {
    await node[Symbol.asyncDispose]()
    expect(await listTraces()).to.deep.equal(traces)
  })

  const run = async (script: string): Promise<string> => node.run(PRELUDE + script)

  it('joins pods, and mends what somebody put in the way', async () => {
    await run(`set -e
      [ ! -e /proc/sys/net/ipv6 ]
      ip link set dev lo up
      # Towards other nodes, of which there are none: the agent guards the tunnels' port.
      ip link add name l2wul type veth peer name l2wfarul
      ip address add 10.7.0.1/24 dev l2wul
      for dev in l2wul l2wfarul; do ip link set dev $dev up; done
      for pod in l2wa l2wb; do ip netns add $pod; done
      dist/bin/l2wire-agent --store file:///tmp/store --node-name n1 --socket /tmp/agent.sock \
        --state-dir /tmp/state --underlay-address 10.7.0.1 >/dev/null 2>/tmp/log &
      until grep -q '"msg":"ready"' /tmp/log; do kill -0 $! || { cat /tmp/log >&2; exit 1; }; sleep 0.2; done
      for pod in l2wa l2wb; do echo "$wire" | call ADD $pod w1 l2wire; done
      ip -n l2wa address add 10.8.0.1/24 dev w1
      ip -n l2wb address add 10.8.0.2/24 dev w1
      reach() {
        for _ in $(seq 60); do
          ip netns exec l2wa busybox ping -q -c 1 -W 1 10.8.0.2 && return
        done
        cat /tmp/log >&2
        exit 1
      }
      reach
      # As an agent before this one left them, but leading elsewhere.
      kill -STOP $!
      for dev in $(ip -br link show | sed -n 's/^\\(lw[^@ ]*\\).*/\\1/p'); do
        tc filter del dev $dev ingress
        tc filter add dev $dev ingress pref 1 protocol all handle 1 matchall \\
          action mirred egress redirect dev lo
      done
      kill -CONT $!
      reach
      nft list table inet l2wire | grep -q 'udp dport 14789 .*drop'
    `)
  })

  it('gives a VM its NICs on such a cable and on its pod network, with the IPv4 address', async () => {
    const said = await run(`set -e
      ip -n l2wa link add eth0 type veth peer name l2wfar
      ip -n l2wa address add 10.9.0.2/24 dev eth0
      for dev in eth0 l2wfar; do ip -n l2wa link set dev $dev up; done
      ip -n l2wa route add default via 10.9.0.1
      echo "$wire" | call DEL l2wa w1 l2wire
      echo "$wire" | call ADD l2wa ${POD_LINK} l2wire
      bind ge0 | call ADD l2wa net1 l2wire-bind
      bind default | call ADD l2wa net2 l2wire-bind
      bind default | call CHECK l2wa net2 l2wire-bind
      for tap in tap0 ${POD_LINK.replace('pod', 'tap')}; do
        ip netns exec l2wa tc filter show dev $tap ingress
        ip -n l2wa -o link show dev $tap
      done
      ps -eo args= | grep '[d]nsmasq'
    `)
    expect(said).to.include('Redirect to device eth0')
    expect(said).to.include(`Redirect to device ${POD_LINK}`)
    expect(said).to.match(/tap0: <[^>]*\bUP\b/)
    expect(said).to.include('dnsmasq')
  })

  it('takes all of it away again', async () => {
    const left = await run(`set -e
      bind default | call DEL l2wa net2 l2wire-bind
      bind ge0 | call DEL l2wa net1 l2wire-bind
      echo "$wire" | call DEL l2wa ${POD_LINK} l2wire
      echo "$wire" | call DEL l2wb w1 l2wire
      for pod in l2wa l2wb; do ip -n $pod -br link show | cut -d ' ' -f 1; done
      ip -br link show | grep '^lw' || true
    `)
    expect(left.trim().split('\n')).to.deep.equal(['lo', 'l2wfar@eth0', 'eth0@l2wfar', 'lo'])
    const failed = (await run('cat /tmp/log'))
      .split('\n')
      .filter((line) => /"level":[56]0/.test(line))
    expect(failed).to.deep.equal([])
  })
})
