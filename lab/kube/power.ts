// Switches a node of the cluster off and on, and stops and starts daemons of it or of the control plane.
// Usage: node lab/kube/power.ts on|off NODE
//        node lab/kube/power.ts start|stop|restart NODE|fabric DAEMON
import { openKubeCluster, type KubeCluster } from './cluster.ts'
import { DNS, installDns } from './dns.ts'
import { NODE_DAEMONS, type NodeDaemon } from './node.ts'

const [verb = '', name = '', daemon] = process.argv.slice(2)
await act(await openKubeCluster())

async function act(cluster: KubeCluster): Promise<void> {
  switch (verb) {
    case 'off':
      return cluster.getNode(name).powerOff()
    case 'on':
      return cluster.getNode(name).powerOn()
    case 'stop':
      return stop(cluster)
    case 'start':
      return start(cluster)
    case 'restart':
      await stop(cluster)
      return start(cluster)
    default:
      throw new RangeError(`Cannot "${verb}", expected on, off, start, stop or restart`)
  }
}

async function stop(cluster: KubeCluster): Promise<void> {
  if (daemon !== undefined && name === cluster.fabric.name) return cluster.fabric.stop(daemon)
  return cluster.getNode(name).stop(toNodeDaemon())
}

async function start(cluster: KubeCluster): Promise<void> {
  if (name === cluster.fabric.name)
    return daemon === DNS ? installDns(cluster) : cluster.startControlPlane()
  return cluster.getNode(name).start(toNodeDaemon())
}

function toNodeDaemon(): NodeDaemon {
  const found = NODE_DAEMONS.find((name) => name === daemon)
  if (found !== undefined) return found
  throw new RangeError(`No daemon "${daemon}" on a node, expected ${NODE_DAEMONS.join(', ')}`)
}
