// The guest of a VM of the cluster, reached as KubeVirt's own probes reach it: by its agent, through libvirt in its
// launcher. And the ends of cables as stations of the cable tester, in guests and in pods.
import { gzipSync } from 'node:zlib'

import { run } from '../../kernel/run.ts'
import { newNetnsStation } from '../../kernel/tester/netns-station.ts'
import type { Station } from '../../kernel/tester/station.ts'
import { newGuestStation } from '../../lab/guest-station.ts'
import { newGuest, type Guest, type RawAnswer } from '../../lab/guest.ts'
import { getMapping, type Manifest } from '../../lab/manifests.ts'
import type { Place } from '../../lab/kube/place.ts'
import { waitFor } from '../../lab/kube/wait.ts'

/** Where a launcher's libvirt listens. */
export const LIBVIRT = 'qemu+unix:///session?socket=/var/run/libvirt/virtqemud-sock'

/**
 * Has the agent start what standard input says, and waits for its end; prints the agent's last answer. Here, as each
 * request by kubectl takes longer than most commands.
 */
const ASK = `set -e
ask() { virsh --quiet --connect "$uri" qemu-agent-command "$domain" --timeout 60 "$1"; }
uri=$1 domain=$2
pid=$(ask "$(cat)" | sed -n 's/.*"pid":\\([0-9]*\\).*/\\1/p')
while :; do
  answer=$(ask '{"execute":"guest-exec-status","arguments":{"pid":'"$pid"'}}')
  case $answer in *'"exited":true'*) break ;; esac
  sleep 0.1
done
printf '%s' "$answer"`

/**
 * The agent waits until nobody has its pipes any more, a daemon of the script's included. By its path the shell is
 * Debian's; busybox would take programs of its own before those on PATH.
 */
const APART = `out=$(mktemp) err=$(mktemp)
timeout -s KILL "$1" /bin/sh -c "$2" >"$out" 2>"$err" </dev/null
code=$?
cat "$out"; cat "$err" >&2
rm "$out" "$err"
exit $code`

/** Of a launcher that is to go, on a busy machine. */
const ALONE_MS = 300_000

/** Of one request: the command line of virsh has room for 128 KB, and base64 makes more of it. */
const CHUNK_BYTES = 60_000

interface Exited {
  readonly exitcode?: number
  readonly signal?: number
  readonly 'out-data'?: string
  readonly 'err-data'?: string
}

/** The keys we read. */
interface LauncherPod {
  readonly metadata: { readonly name: string }
  readonly status: {
    readonly containerStatuses?: readonly {
      readonly name: string
      readonly state: { readonly terminated?: { readonly exitCode: number } }
    }[]
  }
}

/** Its agent must be there. It is the guest of the VM's launcher of now. */
export async function openGuest(place: Place, vm: string): Promise<Guest> {
  const launcher = await getLauncher(place, vm)
  const domain = `${place.namespace}_${vm}`
  const execute = async (
    argv: readonly string[],
    timeoutMs: number,
    bytes?: Uint8Array,
  ): Promise<RawAnswer> => {
    const [path, ...arg] = argv
    const input = bytes === undefined ? {} : { 'input-data': toBase64(bytes) }
    const parameters = { path, arg, 'capture-output': true, ...input }
    const request = JSON.stringify({ execute: 'guest-exec', arguments: parameters })
    const inLauncher = ['exec', '-i', launcher, '-c', 'compute', '--', 'sh', '-c', ASK, 'sh']
    const said = await place.cluster.kubectl(
      ['--namespace', place.namespace, ...inLauncher, LIBVIRT, domain],
      // Its own limit comes first, so that what the command said is not lost.
      { input: request, timeoutMs: timeoutMs + 60_000 },
    )
    const exited = (JSON.parse(said) as { readonly return: Exited }).return
    return {
      // Whoever is ended by a signal has none.
      code: exited.exitcode ?? 128 + (exited.signal ?? 0),
      stdout: Buffer.from(exited['out-data'] ?? '', 'base64'),
      stderr: Buffer.from(exited['err-data'] ?? '', 'base64').toString('utf8'),
    }
  }
  return newGuest({
    run: async (script, timeoutMs) =>
      execute(
        ['/bin/sh', '-c', APART, 'sh', String(Math.ceil(timeoutMs / 1000)), script],
        timeoutMs,
      ),
    put: async (path, bytes, timeoutMs) => {
      const packed = gzipSync(bytes)
      for (let at = 0; at < packed.length; at += CHUNK_BYTES) {
        const chunk = packed.subarray(at, at + CHUNK_BYTES)
        const script = `cat ${at === 0 ? '>' : '>>'}${path}.gz`
        const answer = await execute(['/bin/sh', '-c', script], timeoutMs, chunk)
        if (answer.code !== 0) return answer
      }
      return execute(['/bin/sh', '-c', `gunzip -f ${path}.gz`], timeoutMs)
    },
    close: () => undefined,
  })
}

/** The name of the pod in which the VM runs, once it is the only one: a migration's source and a target go later. */
export async function getLauncher(place: Place, vm: string): Promise<string> {
  let names: readonly string[] = []
  await waitFor(
    `one launcher of ${vm} runs`,
    async () => {
      names = (await listLaunchers(place, vm)).map(({ name }) => name)
      return names.length === 1
    },
    { timeoutMs: ALONE_MS },
  )
  return names.join()
}

export interface Launcher {
  readonly name: string
  /** Of its virt-launcher, if that has ended: other containers of the pod run. */
  readonly exitCode: number | undefined
}

/** The VM's pods that run. */
export async function listLaunchers(place: Place, vm: string): Promise<readonly Launcher[]> {
  const running = ['-l', `vm.kubevirt.io/name=${vm}`, '--field-selector', 'status.phase=Running']
  const said = await place.kubectl('get', 'pods', ...running, '-o', 'json')
  const { items } = JSON.parse(said) as { readonly items: readonly LauncherPod[] }
  return items.map(({ metadata: { name }, status: { containerStatuses = [] } }) => {
    const compute = containerStatuses.find((container) => container.name === 'compute')
    return { name, exitCode: compute?.state.terminated?.exitCode }
  })
}

/** Of the instance's status. */
export async function listVmNics(place: Place, vm: string): Promise<readonly Manifest[]> {
  const instance = await place.cluster.getObject('vmi', vm, place.namespace)
  const { interfaces } = getMapping(instance, 'status')
  return (interfaces ?? []) as readonly Manifest[]
}

/** In the guest itself, at the NIC that the VM gives this name. */
export async function newVmStation(place: Place, vm: string, nic: string): Promise<Station> {
  const found = (await listVmNics(place, vm)).find(({ name }) => name === nic)
  if (found === undefined) throw new Error(`No NIC "${nic}" in the status of ${vm}`)
  return newGuestStation(await openGuest(place, vm), `${vm}:${nic}`, String(found['mac']))
}

export async function newPodStation(place: Place, pod: string, ifname: string): Promise<Station> {
  return newNetnsStation(run, {
    label: `${pod}:${ifname}`,
    netns: await findNetns(place, pod),
    ifname,
  })
}

/** Its path as this machine has it: the node's own folder of namespaces, seen through the node's first process. */
export async function findNetns(place: Place, pod: string): Promise<string> {
  const { nodeName } = getMapping(
    await place.cluster.getObject('pod', pod, place.namespace),
    'spec',
  )
  const { machine } = place.cluster.getNode(String(nodeName))
  const said = await place.kubectl('exec', pod, '--', 'readlink', '/proc/self/ns/net')
  const inode = /\d+/.exec(said)?.[0] ?? ''
  const listed = await machine.run(['sh', '-c', 'stat -Lc "%i %n" /run/netns/*'])
  const line = listed.split('\n').find((line) => line.startsWith(`${inode} `))
  if (line === undefined)
    throw new Error(`No namespace ${said.trim()} of ${pod} on ${machine.name}, expected one`)
  const path = line.slice(inode.length + 1)
  return `/proc/${await machine.getPid()}/root${path}`
}

function toBase64(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('base64')
}
