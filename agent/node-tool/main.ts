// l2wire-node: what the agent's DaemonSet runs beside the agent: install, uninstall and the probes.
// A bundle of its own: a probe every few seconds must not load the Kubernetes client.
import { parseArgs } from 'node:util'

import { DEFAULT_SOCKET } from '../../core/cni/socket.ts'
import { DecodeError, renderCauses } from '../../core/errors.ts'
import { toPrintable } from '../../core/printable.ts'
import { run } from '../../kernel/run.ts'
import { installDropIns } from './drop-ins.ts'
import { installPlugins, installSocketPath } from './install.ts'
import { probeAlive, probeReady } from './probe.ts'
import { uninstall } from './uninstall.ts'

const USAGE = `Usage: l2wire-node install|uninstall|alive|ready [options]

  install      puts the CNI plugins into the node's folder, with the agent's socket where that is not
               the default, and tells its network daemons to leave l2wire's devices alone
  uninstall    takes all that off the node, and what the agent keeps; not while pods are plugged in
  alive        exit code 0 when the agent answers that it can run a child process
  ready        exit code 0 when the agent can plug wires, its store included

  --from DIR        where install finds the plugins; default: beside this program
  --plugins DIR     the node's folder of CNI plugins; default /opt/cni/bin
  --socket PATH     the agent's socket; default ${DEFAULT_SOCKET}
  --state-dir DIR   what the agent remembers; default /var/lib/l2wire
  --network-manager DIR   NetworkManager's conf.d; without this option nothing is written for it
  --networkd DIR    where systemd-networkd and udev look; without this option nothing is written
  --force           uninstall takes the cables of plugged pods out; the plugins stay until those pods
                    are gone, and it waits for that
  -h, --help        this text
`

async function main(): Promise<void> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      from: { type: 'string' },
      plugins: { type: 'string', default: '/opt/cni/bin' },
      socket: { type: 'string', default: DEFAULT_SOCKET },
      'state-dir': { type: 'string', default: '/var/lib/l2wire' },
      'network-manager': { type: 'string' },
      networkd: { type: 'string' },
      force: { type: 'boolean', default: false },
      help: { type: 'boolean', short: 'h', default: false },
    },
  })
  if (values.help) {
    process.stdout.write(USAGE)
    return
  }
  const [command, ...more] = positionals
  if (more.length > 0) throw new DecodeError('command', positionals, 'one command')
  const dropIns = { networkManager: values['network-manager'], networkd: values.networkd }
  switch (command) {
    case 'install': {
      // The bundle is in lib/, the plugins are in bin/.
      const from = values.from ?? `${import.meta.dirname}/../bin`
      // First: a plugin that is new here asks at once.
      await installSocketPath(values.socket, values.plugins)
      tell(values.plugins, await installPlugins(run, from, values.plugins))
      for (const { folder, replaced } of await installDropIns(import.meta.dirname, dropIns))
        tell(folder, replaced)
      return
    }
    case 'uninstall':
      await uninstall(
        run,
        {
          pluginFolder: values.plugins,
          stateDir: values['state-dir'],
          socketPath: values.socket,
          dropIns,
        },
        values.force,
        complain,
      )
      process.stdout.write('l2wire is off this node\n')
      return
    case 'alive':
      return probeAlive(values.socket)
    case 'ready':
      return probeReady(values.socket)
    case undefined:
    default:
      throw new DecodeError('command', command, 'install, uninstall, alive or ready')
  }
}

/** Names of devices and sandboxes are among it. */
function complain(text: string): void {
  process.stderr.write(`l2wire-node: ${toPrintable(text)}\n`)
}

/** Undefined where there is no such folder. */
function tell(folder: string, replaced: readonly string[] | undefined): void {
  const said = replaced?.length === 0 ? 'up to date' : `installed ${replaced?.join(' and ')}`
  process.stdout.write(`${folder}: ${replaced === undefined ? 'no such folder, left out' : said}\n`)
}

try {
  await main()
} catch (error) {
  complain(renderCauses(error))
  process.exitCode = 1
}
