// A node where all cgroups are the new ones, version 2, whatever this machine has: in a VM, since a controller is with the
// old ones or with the new ones for all of a machine. Without a control plane, which would take minutes there.
import { expect } from 'chai'
import { before, describe, it } from 'mocha'

import type { Say } from '../../lab/go-build.ts'
import { ensurePause } from '../../lab/kube/images.ts'
import { ensureKubernetesProgram } from '../../lab/kube/programs.ts'
import { LAB_DIRECTORY } from '../../lab/lab-directory.ts'
import { ROOT } from '../../lab/manifests.ts'
import { newNodeVm } from '../../lab/node-vm.ts'
import type { CgroupReports, NodeReport } from './fixture-cgroup2.ts'

const MEMORY_MIB = 1536
const FIXTURE_MS = 600_000
const PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'

const say: Say = (line) => process.stdout.write(`${line}\n`)

/** Limits of memory and CPU, and processes, of the cgroups that are called so. */
function pick(cgroups: CgroupReports, pattern: RegExp): readonly (readonly string[])[] {
  return Object.entries(cgroups).flatMap(([path, { memory, cpu, processes }]) =>
    pattern.test(path) ? [[memory, cpu, ...processes]] : [],
  )
}

describe('a node with cgroups of version 2', function () {
  this.timeout(900_000)
  let report: NodeReport

  before(async () => {
    const kubelet = await ensureKubernetesProgram('kubelet', say)
    const multus = await ensureKubernetesProgram('multus', say)
    const { file: pause } = await ensurePause(say)
    await using vm = await newNodeVm('', MEMORY_MIB)
    // With the options that systemd gives them. And a cluster writes where this machine's own files are.
    const script = `set -e
      mount -t cgroup2 -o nsdelegate,memory_recursiveprot cgroup2 /sys/fs/cgroup
      mount -t tmpfs tmpfs ${LAB_DIRECTORY}
      ip link set dev lo up
      cd ${ROOT}
      export HOME=/root PATH=${ROOT}/node_modules/.bin:${PATH}
      node test/kubevirt/fixture-cgroup2.ts ${kubelet} ${multus} ${pause}`
    report = JSON.parse(await vm.run(script, FIXTURE_MS)) as NodeReport
  })

  it('has its daemons where no kubelet makes cgroups', () => {
    expect(report.on['n1']?.processes).to.deep.equal([])
    expect(report.on['n1/init']?.processes).to.include.members([
      'containerd',
      'kubelet',
      'containerd-shim',
    ])
  })

  it("runs a pod below its own cgroup, within the pod's limits", () => {
    const limits = [String(64 * 1024 ** 2), '25000 100000']
    const [pod, containers] = [/^n1\/kubepods\/burstable\/pod\w+$/, /\/pod\w+\/\w+$/]
    expect(pick(report.on, pod)).to.deep.equal([limits])
    expect(pick(report.on, containers)).to.have.deep.members([
      ['max', 'max 100000', 'pause'],
      [...limits, 'pause'],
    ])
  })

  it('is off with all that runs and all its cgroups, and the others are not', () => {
    expect(Object.keys(report.off)).to.have.members(['', 'fabric', 'fabric/init'])
    expect(report.processesWhenOff).to.include('sleep')
    const ended = report.processesWhenOff.filter((name) => /^(containerd|kubelet|pause)/.test(name))
    expect(ended).to.deep.equal([])
  })

  it('leaves nothing', () => {
    expect(report.left).to.deep.equal({})
  })
})
