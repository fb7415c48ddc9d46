// README's commands, run as a newcomer copies them. What needs a container engine, a kubelet or the
// suites themselves is named here with where it runs, so that no command is left to hope.
import { mkdtemp, readFile, rm, symlink } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { expect } from 'chai'
import { after, before, describe, it } from 'mocha'

import { claimEnd } from '../../core/wire.ts'
import { run } from '../../kernel/run.ts'
import type { LabApiServer } from '../../lab/api-server.ts'
import { ROOT } from '../../lab/manifests.ts'
import { newClaim } from '../process/wire-store-suite.ts'
import { getApi } from './fixture-api.ts'
import { openStore } from './fixture-store.ts'

/** What the command must print here, or where else it runs. */
const COMMANDS: Readonly<Record<string, { readonly prints: RegExp } | { readonly runs: string }>> =
  {
    'make kind-up': { runs: '.github/workflows/e2e.yaml' },
    'make kind-down': { runs: '.github/workflows/e2e.yaml' },
    'make demo': { runs: '.ci/run' },
    'make test': { runs: '.ci/run' },
    'kubectl apply -k deploy/': { prints: /daemonset\.apps\/l2wire-agent/ },
    'kubectl patch kubevirt kubevirt -n kubevirt --type merge --patch-file kubevirt-patches/register-binding.yaml':
      { prints: /kubevirt\.kubevirt\.io\/kubevirt patched/ },
    'kubectl apply -f examples/lldp/': { prints: /pod\/h1 [^]*virtualmachine\.kubevirt\.io\/r1 / },
    // Pods and agents need a kubelet; on one machine the same script asks the same daemons.
    'kubectl -n l2wire rollout status daemonset/l2wire-agent': { runs: 'test/e2e' },
    'kubectl wait vm/r1 --for condition=Ready --timeout=15m': { runs: 'test/e2e' },
    'L2WIRE_PATIENCE=900 examples/lldp/check.sh': { runs: 'test/examples' },
    'kubectl get wires': { prints: /^NAME +ENDS +NODES +STATE +VNI +MTU +AGE\nr1-h1 / },
    'kubectl l2wire describe r1-h1': { prints: /vm\/r1[^]*pod\/h1/ },
    // They wait for agents.
    'kubectl l2wire unplug r1-h1': { runs: 'lab/demo-healing.ts' },
    'kubectl l2wire plug r1-h1': { runs: 'lab/demo-healing.ts' },
    'kubectl l2wire doctor': { runs: 'lab/demo-healing.ts' },
  }

describe("README's commands", function () {
  this.timeout(90_000)
  let api: LabApiServer
  let commands: readonly string[]
  let path: string
  let kubeconfig: string

  before(async () => {
    const readme = await readFile(join(ROOT, 'README.md'), 'utf8')
    commands = [...readme.matchAll(/^ {4}((?:make|kubectl|L2WIRE_PATIENCE=)[^#\n]*)/gm)].map(
      (match) => (match[1] ?? '').trim(),
    )
    api = await getApi()
    path = await mkdtemp(join(tmpdir(), 'l2w-path-'))
    await symlink(api.kubectlPath, join(path, 'kubectl'))
    // An empty cluster has KubeVirt's object, and a namespace that is the user's.
    const namespace = await api.newNamespace('readme')
    kubeconfig = join(path, 'kubeconfig')
    await run(['cp', api.kubeconfig, kubeconfig])
    const config = [api.kubectlPath, '--kubeconfig', kubeconfig, 'config']
    await run([...config, 'set-context', '--current', '--namespace', namespace])
    await api.kubectl(['create', 'namespace', 'kubevirt'])
    await api.apply({
      apiVersion: 'kubevirt.io/v1',
      kind: 'KubeVirt',
      metadata: { name: 'kubevirt', namespace: 'kubevirt' },
      spec: {},
    })
    const id = { namespace, name: 'r1-h1' }
    await openStore(kubeconfig).update(id, (wire) => {
      const vm = claimEnd(wire, id, newClaim('vm/r1', { ifname: 'pod1' }))
      return claimEnd(vm, id, newClaim('pod/h1', { node: 'n2' }))
    })
  })
  after(async () => {
    await rm(path, { recursive: true, force: true })
    await api.kubectl(['delete', 'namespace', 'kubevirt', '--wait=false'])
  })

  it('are all in the table of this test, and the other way round', () => {
    expect(commands).to.have.members(Object.keys(COMMANDS))
  })

  for (const [command, want] of Object.entries(COMMANDS))
    if ('prints' in want)
      it(command, async () => {
        const env = ['env', `PATH=${path}:${join(ROOT, 'dist/bin')}:${process.env['PATH'] ?? ''}`]
        // kubectl keeps a cache in the home folder.
        const argv = [
          ...env,
          `HOME=${path}`,
          `KUBECONFIG=${kubeconfig}`,
          'sh',
          '-c',
          `cd ${ROOT} && ${command}`,
        ]
        expect(await run(argv)).to.match(want.prints)
      })
    else
      it(`${command} runs elsewhere: ${want.runs}`, async () => {
        const [word = ''] = /rollout status|--for condition=Ready|lldp|[a-z-]+$/.exec(command) ?? []
        const text = await run(['grep', '-rlF', '--', word, join(ROOT, want.runs)])
        expect(text).to.not.equal('')
      })
})
