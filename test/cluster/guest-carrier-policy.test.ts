// What an agent may change of a VirtualMachine, with the component and its policy, and what not: its right is on
// all of the object.
import { expect } from 'chai'
import { before, describe, it } from 'mocha'

import { CommandError } from '../../core/errors.ts'
import { getMapping, type Manifest } from '../../lab/manifests.ts'
import { expectSoon } from '../expect-soon.ts'
import { useGuests } from './fixture-guest-carrier.ts'

const REFUSED =
  /ValidatingAdmissionPolicy 'l2wire-agent-carrier-vm' .* denied request: of an? (VirtualMachine|interface)/
const NIC = '/spec/template/spec/domain/devices/interfaces/1'
const MARK = '/metadata/annotations/l2wire.dev~1carrier.ge0'

describe('an agent with the right to change VirtualMachines', function () {
  this.timeout(60_000)
  const { place, newVm, getVm } = useGuests()
  let agents: readonly [string, string]

  before(async () => {
    const { api } = place()
    agents = [await api.newAgentKubeconfig('n1'), await api.newAgentKubeconfig('n3')]
  })

  const patchAs = async (
    kubeconfig: string,
    patch: unknown,
    ...options: readonly string[]
  ): Promise<string> => {
    const { api, namespace } = place()
    const argv = ['patch', 'vm', 'r1', '-n', namespace, '--type=json', '-p', JSON.stringify(patch)]
    try {
      return await api.kubectl([...argv, ...options], { kubeconfig })
    } catch (error) {
      if (error instanceof CommandError) return error.stderr
      throw error
    }
  }
  // The API server takes a second to know a policy. What it allows until then is not done: who sets a field to what
  // it is already is never refused.
  const expectInForce = async (): Promise<void> => {
    const patch = [{ op: 'add', path: '/spec/runStrategy', value: 'Halted' }]
    await expectSoon('the policy is in force', async () =>
      REFUSED.test(await patchAs(agents[0], patch, '--dry-run=server')),
    )
  }
  const withoutVersion = async (): Promise<Manifest> => {
    const { metadata, ...vm } = await getVm()
    const { labels, annotations, finalizers, ownerReferences } = metadata as Manifest
    return { ...vm, metadata: { labels, annotations, finalizers, ownerReferences } }
  }

  it('may set the state of an interface, and its annotation', async () => {
    await newVm()
    await expectInForce()
    for (const patch of [
      [
        { op: 'add', path: `${NIC}/state`, value: 'down' },
        { op: 'add', path: MARK, value: 'down' },
      ],
      [
        { op: 'replace', path: `${NIC}/state`, value: 'up' },
        { op: 'remove', path: MARK },
      ],
      [{ op: 'remove', path: `${NIC}/state` }],
    ])
      expect(await patchAs(agents[0], patch)).to.include('patched')
  })

  const refused: readonly { readonly name: string; readonly patch: readonly Manifest[] }[] = [
    {
      name: 'start or stop it',
      patch: [{ op: 'add', path: '/spec/runStrategy', value: 'Halted' }],
    },
    {
      name: 'unplug an interface',
      patch: [{ op: 'add', path: `${NIC}/state`, value: 'absent' }],
    },
    {
      name: "set the pod network's interface down",
      patch: [{ op: 'add', path: NIC.replace('/1', '/0/state'), value: 'down' }],
    },
    {
      name: 'change another field of an interface',
      patch: [{ op: 'add', path: `${NIC}/macAddress`, value: '02:00:00:00:00:09' }],
    },
    { name: 'remove an interface', patch: [{ op: 'remove', path: NIC }] },
    {
      name: 'add an interface',
      patch: [{ op: 'add', path: NIC.replace('/1', '/-'), value: { name: 'x', masquerade: {} } }],
    },
    {
      name: 'plug an interface into another network',
      patch: [
        {
          op: 'replace',
          path: '/spec/template/spec/networks/1/multus/networkName',
          value: 'other',
        },
      ],
    },
    {
      name: 'add a volume',
      patch: [
        {
          op: 'add',
          path: '/spec/template/spec/volumes',
          value: [{ name: 'x', secret: { secretName: 'x' } }],
        },
      ],
    },
    {
      name: 'change a device',
      patch: [
        {
          op: 'add',
          path: '/spec/template/spec/domain/devices/autoattachPodInterface',
          value: false,
        },
      ],
    },
    {
      name: 'change its resources',
      patch: [{ op: 'add', path: '/spec/template/spec/domain/cpu', value: { cores: 64 } }],
    },
    {
      name: "change its template's labels",
      patch: [{ op: 'add', path: '/spec/template/metadata', value: { labels: { a: 'b' } } }],
    },
    {
      name: 'change a label',
      patch: [{ op: 'add', path: '/metadata/labels', value: { a: 'b' } }],
    },
    {
      name: "change somebody's annotation",
      patch: [{ op: 'replace', path: '/metadata/annotations/course', value: 'ccnp' }],
    },
    {
      name: 'add a finalizer',
      patch: [{ op: 'add', path: '/metadata/finalizers', value: ['example.com/stays'] }],
    },
  ]
  for (const { name, patch } of refused)
    it(`may not ${name}`, async () => {
      await newVm()
      await expectInForce()
      const vm = await withoutVersion()
      expect(await patchAs(agents[0], patch)).to.match(REFUSED)
      expect(await withoutVersion()).to.deep.equal(vm)
    })

  it('may not touch a VM whose launcher is on another node', async () => {
    await newVm()
    await expectInForce()
    const patch = [{ op: 'add', path: `${NIC}/state`, value: 'down' }]
    expect(await patchAs(agents[1], patch)).to.include('has no launcher on node n3')
    const vm = getMapping(await getVm(), 'spec', 'template', 'spec', 'domain', 'devices')
    expect(vm['interfaces']).to.not.have.nested.property('[1].state')
    expect(await patchAs(agents[0], patch)).to.include('patched')
  })
})
