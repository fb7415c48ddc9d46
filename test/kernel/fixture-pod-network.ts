// A launcher's pod link as another CNI plugin makes it, taken over by a VM whose NIC is in a namespace of
// its own, where stock clients run.
import { expect } from 'chai'

import { callPlugin, type CniAnswer } from '../../lab/cni.ts'
import { getNadConfig, readManifest, type Manifest } from '../../lab/manifests.ts'
import { newLabNetns, type LabNetns } from '../../lab/netns.ts'
import type { LabNode } from '../../lab/node.ts'
import { GUEST_NIC, openTap } from '../../lab/tap-opener.ts'
import { run } from '../../kernel/run.ts'

export const BRIDGE = 'l2wpn0'
export const CONTAINER = 'c1'

/** What host-local gives: IPv4, IPv6, or both. */
export const RANGES = {
  4: {
    subnet: '198.51.100.0/24',
    route: '0.0.0.0/0',
    gateway: '198.51.100.1',
  },
  6: { subnet: 'fd00:9::/64', route: '::/0', gateway: 'fd00:9::1' },
} as const

export interface PodNetwork extends AsyncDisposable {
  readonly pod: LabNetns
  /** Where the VM's NIC is. */
  readonly guest: LabNetns
  /** The pod link's, and the VM's. */
  readonly mac: string
  /** As host-local gave them, "198.51.100.2/24". */
  readonly addresses: readonly string[]
  readonly bind: (command: 'ADD' | 'CHECK' | 'DEL', more?: Manifest) => Promise<CniAnswer>
  /** CHECK of the plugin that made the pod link. */
  readonly checkPrimary: () => Promise<CniAnswer>
  /** The VM starts: its tap is opened. */
  readonly open: () => Promise<AsyncDisposable>
  /** udhcpc of busybox: what its script was told. */
  readonly askIpv4: () => Promise<ReadonlyMap<string, string>>
}

export interface PodNetworkOptions {
  readonly plugin: 'bridge' | 'ptp' | 'macvlan'
  readonly families: readonly (4 | 6)[]
  /** Further keys of the plugin's configuration, and of host-local's. */
  readonly more?: Manifest
  readonly routes?: readonly Manifest[]
  readonly link?: string
}

export async function newPodNetwork(
  node: LabNode,
  { plugin, families, more = {}, routes = [], link = 'eth0' }: PodNetworkOptions,
): Promise<PodNetwork> {
  const pod = await newLabNetns('launcher', { ipv6: true })
  const guest = await newLabNetns('guest', { ipv6: true })
  const config = {
    cniVersion: '1.0.0',
    name: 'primary',
    type: plugin,
    mtu: 1450,
    ...(plugin === 'bridge' ? { bridge: BRIDGE, isGateway: true } : {}),
    ...more,
    ipam: {
      type: 'host-local',
      dataDir: `${node.folder}/ipam`,
      ranges: families.map((family) => [{ subnet: RANGES[family].subnet }]),
      routes: [...families.map((family) => ({ dst: RANGES[family].route })), ...routes],
    },
  }
  const call = { containerID: CONTAINER, netns: pod.path }
  const executable = `/usr/lib/cni/${plugin}`
  const callPrimary = async (command: string, extra: Manifest = {}): Promise<CniAnswer> =>
    callPlugin(
      executable,
      { command, ...call, ifname: link },
      JSON.stringify({ ...config, ...extra }),
    )
  const added = await callPrimary('ADD')
  expect(added.exitCode, added.stdout).to.equal(0)
  const mac = await readMac(pod, link)
  const nad = getNadConfig(await readManifest('deploy/base/binding-nad.yaml'))
  const bound = { ...nad, args: { cni: { logicNetworkName: 'default' } } }
  const bind: PodNetwork['bind'] = async (command, extra = {}) =>
    node.call(
      { ...bound, ...extra, ...(command === 'CHECK' ? { prevResult: {} } : {}) },
      {
        command,
        ...call,
        ifname: 'net1',
        args: 'IgnoreUnknown=1;K8S_POD_NAMESPACE=default;K8S_POD_NAME=r1-launcher',
      },
    )
  return {
    pod,
    guest,
    mac,
    addresses: listAddresses(added),
    bind,
    checkPrimary: async () => callPrimary('CHECK', { prevResult: added.output }),
    open: async () => openTap(pod, 'tap0', guest, mac),
    askIpv4: async () => askIpv4(guest),
    [Symbol.asyncDispose]: async () => {
      await bind('DEL')
      await callPrimary('DEL')
      await guest[Symbol.asyncDispose]()
      await pod[Symbol.asyncDispose]()
      if (plugin === 'bridge') await run(['ip', 'link', 'del', 'dev', BRIDGE])
    },
  }
}

function listAddresses({ output }: CniAnswer): readonly string[] {
  const ips = (output?.['ips'] ?? []) as readonly { readonly address: string }[]
  return ips.map(({ address }) => address)
}

async function readMac(netns: LabNetns, dev: string): Promise<string> {
  const [link] = JSON.parse(await netns.run(['ip', '-j', 'link', 'show', 'dev', dev])) as [
    { readonly address: string },
  ]
  return link.address
}

// Says what it is told, and sets nothing.
const SCRIPT = '#!/bin/sh\n[ "$1" != bound ] || env\n'

async function askIpv4(guest: LabNetns): Promise<ReadonlyMap<string, string>> {
  const client = `
    script=$(mktemp) && trap 'rm "$script"' EXIT
    cat > "$script" && chmod 755 "$script"
    busybox udhcpc -i ${GUEST_NIC} -f -q -n -t 5 -T 1 -s "$script" -O mtu -O search -O staticroutes`
  const said = await run(['nsenter', `--net=${guest.path}`, 'sh', '-euc', client], {
    input: SCRIPT,
  })
  return new Map(
    said.split('\n').flatMap((line) => {
      const [, key = '', value = ''] = /^(\w+)=(.*)$/.exec(line) ?? []
      return key === '' ? [] : [[key, value] as const]
    }),
  )
}
