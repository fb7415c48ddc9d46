// The machine that joins the nodes' cables: its only interface is a bridge. The control plane lives in it.
import { run } from '../../kernel/run.ts'
import type { Machine } from './machine.ts'
import {
  toDefaultRoutes,
  toInterfaceAddress,
  toPodRoutes,
  type ClusterPlan,
  type NodePlan,
  type Route,
} from './plan.ts'
import { succeeds } from './wait.ts'

const BRIDGE = 'br0'
const NODE_DEVICE = 'eth0'

/** Does nothing if it is up. */
export async function startFabric(plan: ClusterPlan, fabric: Machine): Promise<void> {
  await fabric.powerOn('fabric-setup.sh', [])
  await forward(plan, fabric)
  if (!(await hasLink(fabric, BRIDGE)))
    await fabric.run(['ip', 'link', 'add', 'name', BRIDGE, 'type', 'bridge'])
  await setUp(fabric, BRIDGE, plan.fabric.addresses)
}

/** Plugs a node into the fabric. Does nothing if it is plugged in. */
export async function plugInNode(
  plan: ClusterPlan,
  fabric: Machine,
  { node, machine }: { readonly node: NodePlan; readonly machine: Machine },
): Promise<void> {
  const port = toPort(node.name)
  if (!(await hasLink(machine, NODE_DEVICE))) await addPair(fabric, machine, port)
  await fabric.run(['ip', 'link', 'set', 'dev', port, 'master', BRIDGE, 'up'])
  await forward(plan, machine)
  await setUp(machine, NODE_DEVICE, node.addresses)
  await addRoutes(machine, [...toDefaultRoutes(plan), ...toPodRoutes(plan, node)])
  // The API server reaches webhooks and aggregated APIs at their pods.
  await addRoutes(fabric, toPodRoutes({ ...plan, nodes: [node] }))
}

/** Pulls the node's cable. The node keeps running, and nobody reaches it. plugInNode puts the cable back. */
export async function unplugNode(fabric: Machine, name: string): Promise<void> {
  await fabric.run(['ip', 'link', 'set', 'dev', toPort(name), 'down'])
}

function toPort(name: string): string {
  return `port-${name}`
}

// Made directly from one namespace to the other, so it never shows in this machine's own. Processes are
// numbered as on this machine, so the command does not run inside.
async function addPair(fabric: Machine, node: Machine, port: string): Promise<void> {
  const [near, far] = [await fabric.getPid(), await node.getPid()]
  const inside = `nsenter --net=/proc/${near}/ns/net --`
  const words = `${inside} ip link add name ${port} type veth peer name ${NODE_DEVICE} netns ${far}`
  await run(words.split(' '))
}

async function hasLink(machine: Machine, name: string): Promise<boolean> {
  return succeeds(async () => machine.run(['ip', 'link', 'show', 'dev', name]))
}

async function forward({ fabric }: ClusterPlan, machine: Machine): Promise<void> {
  const hasIpv6 = fabric.addresses.length > 1
  const ipv6 = ['net.ipv6.conf.all.disable_ipv6=0', 'net.ipv6.conf.all.forwarding=1']
  await machine.run(['sysctl', '-qw', 'net.ipv4.ip_forward=1', ...(hasIpv6 ? ipv6 : [])])
}

async function setUp(
  machine: Machine,
  device: string,
  addresses: readonly string[],
): Promise<void> {
  await machine.run(['ip', 'link', 'set', 'dev', device, 'up'])
  for (const address of addresses) {
    // The address is unique, and daemons need it at once.
    const ipv6 = address.includes(':') ? ['nodad'] : []
    const words = [toInterfaceAddress(address), 'dev', device, ...ipv6]
    await machine.run(['ip', 'address', 'replace', ...words])
  }
}

async function addRoutes(machine: Machine, routes: readonly Route[]): Promise<void> {
  for (const { to, via } of routes) await machine.run(['ip', 'route', 'replace', to, 'via', via])
}
