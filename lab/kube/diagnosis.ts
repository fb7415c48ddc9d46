// Explains why a cluster did not come up: daemons that ended and their last output, and pods that do not run
// and their events.
import type { KubeCluster } from './cluster.ts'
import { CONTROL_PLANE } from './control-plane.ts'
import { NODE_DAEMONS } from './node.ts'
import { toLogFile } from './state.ts'
import { isUp } from './status.ts'
import { succeeds, toLastLines } from './wait.ts'

const EVENTS = 15

/** Lines to read. Skips parts that cannot be read. */
export async function diagnose(cluster: KubeCluster): Promise<readonly string[]> {
  const { fabric, nodes, kubectl } = cluster
  const machines = [
    { machine: fabric, daemons: CONTROL_PLANE },
    ...nodes.map(({ machine }) => ({ machine, daemons: NODE_DAEMONS })),
  ]
  const lines: string[] = []
  for (const { machine, daemons } of machines) {
    if (!(await machine.isOn())) lines.push(`Machine ${machine.name} is off.`)
    else
      for (const daemon of daemons)
        if (!(await machine.runs(daemon))) {
          const log = toLastLines(await machine.readLog(daemon))
          lines.push(
            `${daemon} of ${machine.name} does not run; ${toLogFile(machine.name, daemon)} ends:\n${log}`,
          )
        }
  }
  const ask = async (argv: readonly string[]): Promise<string> => kubectl(argv).catch(() => '')
  if (!(await succeeds(async () => kubectl(['get', '--raw', '/readyz']))))
    return [...lines, 'The API server does not answer.']
  const pods = await ask(['get', 'pods', '-A', '--no-headers', '-o', 'wide'])
  const waiting = pods.split('\n').filter((line) => line !== '' && !isUp(line.split(/ +/).slice(2)))
  if (waiting.length > 0) lines.push(`Pods that are not up:\n${toLastLines(waiting.join('\n'))}`)
  const events = await ask([
    'get',
    'events',
    '-A',
    '--field-selector',
    'type=Warning',
    '--sort-by=.lastTimestamp',
    '--no-headers',
  ])
  if (events !== '')
    lines.push(`Warnings:\n${toLastLines(events.trimEnd().split('\n').slice(-EVENTS).join('\n'))}`)
  return lines
}
