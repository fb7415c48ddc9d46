// A user's shell in the cluster: in the checkout, with kubectl's current namespace set.
import { chmod, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'

import { byName, EXAMPLES, readExample } from '../../lab/example.ts'
import type { KubeCluster } from '../../lab/kube/cluster.ts'
import { toShellEnvironment } from '../../lab/kube/kubectl.ts'
import { ROOT } from '../../lab/manifests.ts'
import { newTemporaryFolder } from '../../lab/temporary-folder.ts'

export interface Shell extends AsyncDisposable {
  /** Runs a line as it stands in a document, and returns what it prints, errors too. Throws unless it succeeds. */
  readonly run: (line: string, env?: Readonly<Record<string, string>>) => Promise<string>
}

/** What a check.sh says of each thing that is as it should be. */
export const listYes = (text: string): readonly string[] =>
  [...text.matchAll(/^ *(yes {2}.*)$/gm)].map(([, line = '']) => line)

/** What the README of an example says that its check says. */
export async function readPromises(example: string): Promise<readonly string[]> {
  return listYes(await readFile(join(ROOT, EXAMPLES, example, 'README.md'), 'utf8'))
}

const LINE_MS = 20 * 60_000
// What it prints is wanted most where it fails.
const SCRIPT = 'cd "$1" && eval "$2" 2>&1; echo "exit code $?"'

export async function newShell(cluster: KubeCluster, namespace: string): Promise<Shell> {
  const folder = await newTemporaryFolder('shell')
  const KUBECONFIG = join(folder.path, 'kubeconfig')
  await writeFile(KUBECONFIG, await cluster.kubectl(['config', 'view', '--raw', '--flatten']))
  await chmod(KUBECONFIG, 0o600)
  const run: Shell['run'] = async (line, more = {}) => {
    const env = { ...toShellEnvironment(), KUBECONFIG, ...more }
    const output = await cluster.run(['sh', '-c', SCRIPT, 'sh', ROOT, line], {
      timeoutMs: LINE_MS,
      env,
    })
    const [, said = '', code] = /^([^]*)exit code (\d+)\n$/.exec(output) ?? []
    if (code !== '0') throw new Error(`"${line}" ended with exit code ${code}:\n${said}`)
    return said
  }
  await run(`kubectl config set-context --current --namespace ${namespace}`)
  return { run, [Symbol.asyncDispose]: async () => folder[Symbol.asyncDispose]() }
}

/** Whatever is there of it. */
export async function removeExample(shell: Shell, example: string): Promise<void> {
  // A guest that is to shut down takes its time.
  for (const vm of Object.keys(byName(await readExample(example), 'VirtualMachine')))
    await shell.run(`virtctl stop ${vm} --force --grace-period=0 || true`)
  const how = '--ignore-not-found --grace-period=1 --timeout=10m'
  await shell.run(`kubectl delete ${how} -f ${EXAMPLES}/${example}/`)
}
