// The hook of a KubeVirt Plugin, as virt-launcher asks it: real process, real socket, real gRPC, by both of its names.
import { status } from '@grpc/grpc-js'
import { expect } from 'chai'
import { readdirSync } from 'node:fs'
import { after, before, describe, it } from 'mocha'

import type { HookClient } from '../../proto/hook-client.ts'
import { INVOCATION_CONTEXTS } from '../../proto/load.ts'
import { newDomain, newVmi } from '../core/domain/samples.ts'
import { expectLogged } from '../expect-logged.ts'
import { findRefusal, newSidecar, PLUGIN_SOCKET } from './sidecar-process.ts'
import type { Sidecar } from './sidecar-process.ts'

const DOMAIN = newDomain('\n    <memballoon model="none"/>')
const NOT_OURS = newVmi({ interfaces: [{ name: 'mgmt', masquerade: {} }] })
const OURS = newVmi()
const MACVTAP = newVmi({ interfaces: [{ name: 'ge0', binding: { name: 'l2wire-macvtap' } }] })
const MISSING_LINK = 'Cannot plug in interface "ge0": the pod has no link "pod'

describe('l2wire-sidecar --plugin-socket', () => {
  it('serves the domain hook there, and no hook sidecar', async () => {
    await using sidecar = newSidecar({ serves: 'plugin' })
    const client = await sidecar.connect()
    expect(await sidecar.files()).to.eql([PLUGIN_SOCKET])
    expect((await client.mutateDomain(DOMAIN, NOT_OURS)).toString()).to.equal(DOMAIN)
    expect((await findRefusal(client.info())).code).to.equal(status.UNIMPLEMENTED)
    const refusal = await findRefusal(client.onDefineDomain('v1alpha3', DOMAIN, NOT_OURS))
    expect(refusal.code).to.equal(status.UNIMPLEMENTED)
  })

  it('serves hook sidecars as well when it has a folder for their sockets', async () => {
    await using sidecar = newSidecar({ serves: 'both' })
    const hooks = await sidecar.connect('l2wire.sock')
    const plugin = await sidecar.connect(PLUGIN_SOCKET)
    expect((await hooks.info()).name).to.equal('l2wire')
    expect((await plugin.mutateDomain(DOMAIN, NOT_OURS)).toString()).to.equal(DOMAIN)
    const refusal = await findRefusal(hooks.mutateDomain(DOMAIN, NOT_OURS))
    expect(refusal.code, 'on the other socket').to.equal(status.UNIMPLEMENTED)
    sidecar.child.kill('SIGTERM')
    expect(await sidecar.exited).to.eql({ code: 0, signal: null })
    expect(readdirSync(sidecar.dir)).to.eql([])
  })

  it('answers alike by the service of KubeVirt 1.9 and by that of 1.10', async () => {
    await using sidecar = newSidecar({ serves: 'plugin' })
    const client = await sidecar.connect()
    const ask = async (hook: 'mutateDomain' | 'guestDefinition'): Promise<readonly unknown[]> => {
      const answers: unknown[] = []
      for (const vmi of [NOT_OURS, OURS])
        for (const invocation_context of [...INVOCATION_CONTEXTS, 'Hibernate', '']) {
          const call = client[hook](DOMAIN, vmi, { sidecar_context: { invocation_context } })
          answers.push(await call.then(String, ({ code, details }) => [code, details] as const))
        }
      return answers
    }
    const answers = await ask('guestDefinition')
    expect(answers).to.eql(await ask('mutateDomain'))
    expect(answers).to.include(DOMAIN)
    expect(answers.flat()).to.include.members([status.FAILED_PRECONDITION, status.INVALID_ARGUMENT])
    const path = '/kubevirt.hooks.plugins.v1alpha1.LauncherHookService/GuestDefinition'
    await expectLogged({ readLog: () => sidecar.log() }, `cannot answer ${path}`)
  })

  it('ends on SIGTERM, and takes its socket along', async () => {
    await using sidecar = newSidecar({ serves: 'plugin' })
    await (await sidecar.connect()).mutateDomain(DOMAIN, NOT_OURS)
    sidecar.child.kill('SIGTERM')
    expect(await sidecar.exited).to.eql({ code: 0, signal: null })
    expect(readdirSync(sidecar.dir)).to.eql([])
  })

  it('is for all bindings of ours, whatever the one of the container', async () => {
    const env = { NETWORK_BINDING_PLUGIN_NAME: 'other' }
    await using sidecar = newSidecar({ serves: 'plugin', env })
    const client = await sidecar.connect()
    for (const vmi of [OURS, MACVTAP]) {
      const { details } = await findRefusal(client.mutateDomain(DOMAIN, vmi))
      expect(details).to.include(MISSING_LINK)
    }
  })

  it('is for the bindings it is told of', async () => {
    const args = ['--binding', 'cable', '--binding', 'l2wire-macvtap']
    await using sidecar = newSidecar({ serves: 'plugin', args })
    const client = await sidecar.connect()
    const cable = newVmi({ interfaces: [{ name: 'ge0', binding: { name: 'cable' } }] })
    expect((await client.mutateDomain(DOMAIN, OURS)).toString()).to.equal(DOMAIN)
    for (const vmi of [cable, MACVTAP]) {
      const { details } = await findRefusal(client.mutateDomain(DOMAIN, vmi))
      expect(details).to.include(MISSING_LINK)
    }
  })

  it('leaves the domain of a guest that migrates away as it is', async () => {
    await using sidecar = newSidecar({ serves: 'plugin' })
    const client = await sidecar.connect()
    const answers: string[] = []
    for (const invocation_context of INVOCATION_CONTEXTS) {
      const call = client.mutateDomain(DOMAIN, OURS, { sidecar_context: { invocation_context } })
      answers.push(await call.then(String, (error: { details: string }) => error.details))
    }
    const [boot, source, target] = answers
    expect(source).to.equal(DOMAIN)
    expect(boot).to.include(MISSING_LINK)
    expect(target).to.equal(boot)
  })
})

describe('l2wire-sidecar --plugin-socket refuses', () => {
  let sidecar: Sidecar
  let client: HookClient

  before(async () => {
    sidecar = newSidecar({ serves: 'plugin' })
    client = await sidecar.connect()
  })

  after(async () => {
    await sidecar[Symbol.asyncDispose]()
  })

  const rows = [
    {
      name: 'a domain that is not libvirt’s',
      request: { domain_type: 'cloud-hypervisor' },
      says: '"domain_type": it is "cloud-hypervisor", expected "libvirt"',
    },
    { name: 'no domain type', request: { domain_type: '' }, says: '"domain_type": it is ""' },
    {
      name: 'a context it does not know',
      request: { sidecar_context: { invocation_context: 'Hibernate' } },
      says: 'it is "Hibernate", expected one of "Boot", "MigrationSource", "MigrationTarget"',
    },
    {
      name: 'no context',
      request: { sidecar_context: null },
      says: '"sidecar_context.invocation_context": it is missing',
    },
    { name: 'an empty domain', request: { domain: Buffer.of() }, says: 'expected well-formed XML' },
    { name: 'an empty VMI', request: { vmi: Buffer.of() }, says: '"vmi": it is "", expected JSON' },
    { name: 'a VMI that is no object', request: { vmi: Buffer.from('[]') }, says: '"vmi"' },
    {
      name: 'two interfaces of one alias',
      request: {
        domain: Buffer.from(newDomain('<interface><alias name="ua-x"/></interface>'.repeat(2))),
      },
      says: 'it is "ua-x", expected a name that no other interface has',
    },
  ]
  for (const { name, request, says } of rows) {
    it(`${name}, and lives on`, async () => {
      const refusal = await findRefusal(client.mutateDomain(DOMAIN, NOT_OURS, request))
      expect(refusal.code).to.equal(status.INVALID_ARGUMENT)
      expect(refusal.details).to.include(says)
      expect((await client.mutateDomain(DOMAIN, NOT_OURS)).toString()).to.equal(DOMAIN)
    })
  }

  it('a socket that is in use', async () => {
    await using second = newSidecar({ serves: 'plugin', dir: sidecar.dir })
    expect(await second.exited).to.eql({ code: 1, signal: null })
    expect(second.log()).to.include('another sidecar of this name listens there')
    expect((await client.mutateDomain(DOMAIN, NOT_OURS)).toString()).to.equal(DOMAIN)
  })

  it('a folder that is not there', async () => {
    const args = ['--plugin-socket', '/nonexistent/x.sock']
    await using lost = newSidecar({ serves: 'plugin', args })
    expect(await lost.exited).to.eql({ code: 1, signal: null })
    expect(lost.log()).to.include('/nonexistent/x.sock')
    expect(lost.log()).not.to.match(/\n\s+at /)
  })
})
