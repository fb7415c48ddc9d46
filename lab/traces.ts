// The project's possible traces on a machine, as text: devices, namespaces, processes, mounts. A test that
// leaves the machine as it found it compares two of these.
import { readFile } from 'node:fs/promises'

import { run } from '../kernel/run.ts'
import { ROOT } from './manifests.ts'

const PROGRAMS =
  'l2wire-(agent|sidecar)|(ip|tc) (-.* )?monitor|qemu-system|libvirtd|lldpd|keepalived|dnsmasq|/usr/lib/frr/'

/** Sorted lines; empty on a machine without anything of ours. */
export async function listTraces(): Promise<readonly string[]> {
  const [links, netns, processes, mounts] = await Promise.all([
    run(['ip', '-br', 'link', 'show']),
    run(['ip', 'netns', 'list']),
    run(['ps', '-eo', 'pid=,ppid=,args=']).then(listProcesses),
    run(['cat', '/proc/self/mounts']),
  ])
  const ours = pick(
    'process',
    processes,
    new RegExp(`${ROOT}/dist/|${PROGRAMS}|tcpdump -i (lw|eth)`),
  )
  const alone = await Promise.all(
    ours.map(async (line) => ((await isOfCluster(line)) ? [] : [line])),
  )
  return [
    // Only its name, because its state follows its carrier by up to a second.
    ...pick('link', links.replaceAll(/ .*$/gm, ''), /^(lw|l2w)/),
    ...pick('netns', netns, /^l2w/),
    ...alone.flat(),
    ...pick('mount', mounts, /l2w/),
  ]
}

// Belongs to a whole cluster that runs on this machine, "make cluster-up", which has traces of its own.
async function isOfCluster(line: string): Promise<boolean> {
  const pid = /^process (\d+)/.exec(line)?.[1] ?? ''
  const cgroups = await readFile(`/proc/${pid}/cgroup`, 'utf8').catch(() => '')
  return cgroups.includes('/l2w-kube-')
}

// A process that has not yet become its program looks like its parent for a moment.
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
      // A namespace gets an ID for others once it has a veth. That is no trace.
      .map((line) => line.trim().replace(/ \(id: \d+\)$/, ''))
      .filter((line) => pattern.test(line))
      .sort()
      .map((line) => `${kind} ${line}`)
  )
}
