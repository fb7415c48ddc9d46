// What the project may leave on a machine, as text: devices, namespaces, processes, mounts. A test
// that leaves it as it found it compares two of these.
import { run } from '../kernel/run.ts'
import { ROOT } from './manifests.ts'

const PROGRAMS =
  'l2wire-(agent|sidecar)|(ip|tc) (-.* )?monitor|qemu-system|libvirtd|lldpd|keepalived|dnsmasq|/usr/lib/frr/'

/** Sorted lines; empty on a machine where nothing of ours is. */
export async function listTraces(): Promise<readonly string[]> {
  const [links, netns, processes, mounts] = await Promise.all([
    run(['ip', '-br', 'link', 'show']),
    run(['ip', 'netns', 'list']),
    run(['ps', '-eo', 'pid=,ppid=,args=']).then(listProcesses),
    run(['cat', '/proc/self/mounts']),
  ])
  return [
    ...pick('link', links, /^(lw|l2w)/),
    ...pick('netns', netns, /^l2w/),
    ...pick('process', processes, new RegExp(`${ROOT}/dist/|${PROGRAMS}|tcpdump -i (lw|eth)`)),
    ...pick('mount', mounts, /l2w/),
  ]
}

// One that has not yet become the program it was made for looks like its parent, for a moment.
function listProcesses(table: string): string {
  const rows = table.split('\n').map((line) => {
    const [, pid = '', parent = '', args = ''] = /^ *(\d+) +(\d+) (.*)$/.exec(line) ?? []
    return { pid, parent, args }
  })
  const programs = new Map(rows.map(({ pid, args }) => [pid, args]))
  return rows
    .filter(({ parent, args }) => programs.get(parent) !== args)
    .map(({ pid, args }) => `${pid} ${args}`)
    .join('\n')
}

function pick(kind: string, text: string, pattern: RegExp): readonly string[] {
  return (
    text
      .split('\n')
      // A namespace gets an id for others to see it by once it has a veth; that is no trace.
      .map((line) => line.trim().replace(/ \(id: \d+\)$/, ''))
      .filter((line) => pattern.test(line))
      .sort()
      .map((line) => `${kind} ${line}`)
  )
}
