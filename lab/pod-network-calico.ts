// A pod's link like Calico's, made by hand because Debian has no plugin that makes it: a single address (/32),
// a gateway outside every subnet, and a node that answers ARP for it.
import { PRIMARY_POD_LINK } from '../core/name.ts'
import { newLabNetns } from './netns.ts'
import { POD_RESOLVER, type PodNetwork, type PodSandbox } from './pod-network.ts'
import { POD_MTU } from './pod-network-shapes.ts'

const GATEWAY = '169.254.1.1'

export async function newCalicoShape(): Promise<PodNetwork> {
  const node = await newLabNetns('podnet')
  const pods = new Map<string, { readonly address: string; readonly device: string }>()
  let count = 0
  const getPod = ({ containerID }: PodSandbox): { address: string; device: string } => {
    const pod = pods.get(containerID)
    if (pod !== undefined) return pod
    throw new Error(`Pod "${containerID}" is not plugged in`)
  }
  await node.run(['sysctl', '-qw', 'net.ipv4.ip_forward=1'])
  // A node answers for addresses that it routes elsewhere, so it needs a default route.
  await node.run(['ip', 'route', 'add', 'default', 'dev', 'lo'])
  return {
    node,
    resolver: POD_RESOLVER,
    plug: async (sandbox) => {
      count += 1
      const [address, device] = [`10.76.0.${count + 1}`, `l2wcali${count}`]
      const script = `
        ip link add name "$2" mtu ${POD_MTU} type veth \\
          peer name ${PRIMARY_POD_LINK} mtu ${POD_MTU} netns "$3"
        # The node answers ARP for every address that the pod asks for, and has no address of its own there.
        sysctl -qw "net.ipv4.conf.$2.proxy_arp=1" "net.ipv4.neigh.$2.proxy_delay=0"
        ip link set dev "$2" up
        ip route add "$1/32" dev "$2" scope link
        nsenter --net="$3" sh -eu <<END
        ip address add "$1/32" dev ${PRIMARY_POD_LINK}
        ip link set dev ${PRIMARY_POD_LINK} up
        ip route add ${GATEWAY} dev ${PRIMARY_POD_LINK} scope link
        ip route add default via ${GATEWAY} dev ${PRIMARY_POD_LINK}
END
      `
      await node.run(['sh', '-euc', script, 'sh', address, device, sandbox.netns])
      pods.set(sandbox.containerID, { address, device })
      return {}
    },
    check: async (sandbox) => {
      const { address } = getPod(sandbox)
      const pod = ['nsenter', `--net=${sandbox.netns}`, 'ip']
      const shown = await node.run([...pod, '-o', 'address', 'show', 'dev', PRIMARY_POD_LINK])
      const routes = await node.run([...pod, 'route', 'show'])
      const isSo =
        shown.includes(` ${address}/32 `) && routes.includes(`${GATEWAY} dev ${PRIMARY_POD_LINK}`)
      if (!isSo) throw new Error(`Not as it was plugged in: ${shown}${routes}`)
    },
    unplug: async (sandbox) => {
      const device = pods.get(sandbox.containerID)?.device
      pods.delete(sandbox.containerID)
      if (device !== undefined) await node.run(['ip', 'link', 'del', 'dev', device])
    },
    getFarDevice: (sandbox) => getPod(sandbox).device,
    [Symbol.asyncDispose]: async () => node[Symbol.asyncDispose](),
  }
}
