// The cluster on one machine: what follows from the number of nodes, and from the machine's cgroups.
import { expect } from 'chai'
import { describe, it } from 'mocha'

import { parseHierarchies, toMountWords } from '../lab/kube/cgroup-mounts.ts'
import { toKubevirtObject } from '../lab/kube/kubevirt-object.ts'
import { toCniConfig } from '../lab/kube/node-config.ts'
import { newPlan, NODES_MAX, toDefaultRoutes, toPodRoutes } from '../lab/kube/plan.ts'
import { hasCondition, isUp } from '../lab/kube/status.ts'
import { getMapping, type Manifest } from '../lab/manifests.ts'

describe('plan of a cluster', () => {
  it('no two nodes share an address or a pod subnet', () => {
    const { fabric, nodes } = newPlan(NODES_MAX, true)
    const all = [
      ...fabric.addresses,
      ...nodes.flatMap(({ addresses, podSubnets }) => [...addresses, ...podSubnets]),
    ]
    expect(new Set(all).size).to.equal(all.length)
    expect(all).to.have.length(2 + 4 * NODES_MAX)
  })

  it('a node reaches the pods of all others', () => {
    const plan = newPlan(3, true)
    const [, second] = plan.nodes
    expect(toPodRoutes(plan, second)).to.deep.equal([
      { to: '10.244.1.0/24', via: '10.99.0.11' },
      { to: 'fd00:10:244:1::/64', via: 'fd00:10:99::11' },
      { to: '10.244.3.0/24', via: '10.99.0.13' },
      { to: 'fd00:10:244:3::/64', via: 'fd00:10:99::13' },
    ])
  })

  it('has no IPv6 where the machine has none', () => {
    const plan = newPlan(2, false)
    expect(JSON.stringify(plan)).to.not.include('::')
    expect(toDefaultRoutes(plan)).to.deep.equal([{ to: '0.0.0.0/0', via: '10.99.0.1' }])
    expect(toCniConfig(plan.nodes[0] ?? expect.fail())).to.have.nested.property(
      'delegates[0].ipam.ranges.length',
      1,
    )
  })

  for (const nodes of [0, 10, 1.5, Number.NaN])
    it(`refuses ${nodes} nodes`, () => {
      expect(() => newPlan(nodes, true)).to.throw(RangeError, `"${nodes}" nodes, expected a number`)
    })
})

describe('cgroups of a machine', () => {
  const MACHINES: readonly (readonly [string, string, readonly string[]])[] = [
    [
      'new ones alone, as Debian has them',
      'cgroup2 /sys/fs/cgroup cgroup2 rw,nosuid,nodev,noexec,relatime,nsdelegate,memory_recursiveprot 0 0',
      ['/sys/fs/cgroup cgroup2 rw'],
    ],
    [
      'old ones, the new one beside them',
      `tmpfs /sys/fs/cgroup tmpfs rw,relatime,mode=755 0 0
cgroup /sys/fs/cgroup/cpu,cpuacct cgroup rw,nosuid,nodev,noexec,relatime,cpu,cpuacct 0 0
cgroup /sys/fs/cgroup/systemd cgroup rw,relatime,xattr,release_agent=/lib/systemd/systemd-cgroups-agent,name=systemd 0 0
cgroup2 /sys/fs/cgroup/unified cgroup2 rw,relatime 0 0`,
      [
        '/sys/fs/cgroup/cpu,cpuacct cgroup cpu,cpuacct',
        '/sys/fs/cgroup/systemd cgroup none,name=systemd',
      ],
    ],
    [
      'new ones, with an old one for systemd alone',
      `cgroup2 /sys/fs/cgroup cgroup2 rw,nosuid 0 0
cgroup /sys/fs/cgroup/systemd cgroup rw,name=systemd 0 0`,
      ['/sys/fs/cgroup cgroup2 rw'],
    ],
    [
      "others' mounts",
      `cgroup2 /sys/fs/cgroup cgroup2 rw 0 0
cgroup2 /sys/fs/cgroupish cgroup2 rw 0 0
cgroup2 /var/lib/x/sys/fs/cgroup cgroup2 rw 0 0`,
      ['/sys/fs/cgroup cgroup2 rw'],
    ],
  ]
  for (const [name, mounts, words] of MACHINES)
    it(name, () => {
      expect(parseHierarchies(mounts).map(toMountWords)).to.deep.equal(words)
    })
})

const withStatus = (conditions: unknown): Manifest => ({ status: { conditions } })

describe('what objects say', () => {
  const OBJECTS: readonly (readonly [string, Manifest, boolean])[] = [
    ['no status yet', {}, false],
    ['no conditions yet', { status: {} }, false],
    ['another condition', withStatus([{ type: 'Created', status: 'True' }]), false],
    ['not so', withStatus([{ type: 'Ready', status: 'False' }]), false],
    ['not known', withStatus([{ type: 'Ready', status: 'Unknown' }]), false],
    ['so', withStatus([{ type: 'x' }, { type: 'Ready', status: 'True' }]), true],
  ]
  for (const [name, object, isReady] of OBJECTS)
    it(`is ready: ${name}`, () => {
      expect(hasCondition(object, 'Ready')).to.equal(isReady)
    })

  const PODS = [
    ['2/2 Running 0 3s', true],
    ['1/2 Running 0 3s', false],
    ['0/1 ContainerCreating 0 3s', false],
    ['0/1 Completed 0 3s', true],
    ['1/1 Terminating 0 3s', false],
  ] as const
  for (const [line, expected] of PODS)
    it(`a pod is up: ${line}`, () => {
      expect(isUp(line.split(' '))).to.equal(expected)
    })
})

describe('object of KubeVirt', () => {
  it('says nothing that an older one does not know', () => {
    const configuration = getMapping(toKubevirtObject('1.7.0'), 'spec', 'configuration')
    expect(configuration).to.deep.equal({ developerConfiguration: { useEmulation: true } })
  })

  it('switches off what a newer one has on and nothing here serves', () => {
    const configuration = getMapping(toKubevirtObject('1.9.0'), 'spec', 'configuration')
    expect(configuration).to.deep.equal({
      developerConfiguration: { useEmulation: true, disabledFeatureGates: ['ImageVolume'] },
      virtTemplateDeployment: { enabled: false },
    })
  })
})
