// What no virt-launcher sends: the sidecar says what is wrong, and lives on.
import { join } from 'node:path'

import { Client, credentials, status } from '@grpc/grpc-js'
import { expect } from 'chai'
import { after, before, describe, it } from 'mocha'

import type { HookClient } from '../../proto/hook-client.ts'
import { newDomain, newVmi } from '../core/domain/samples.ts'
import { findRefusal, newSidecar, PLUGIN_SOCKET } from './sidecar-process.ts'
import type { Sidecar } from './sidecar-process.ts'

const DOMAIN = newDomain('\n    <memballoon model="none"/>')
const NOT_OURS = newVmi({ interfaces: [{ name: 'mgmt', masquerade: {} }] })
const CALLBACKS = 'kubevirt.hooks.v1alpha3.Callbacks'

const asIs = (bytes: Buffer): Buffer => bytes

describe('l2wire-sidecar, given what is wrong,', () => {
  let sidecar: Sidecar
  let hooks: HookClient
  let plugin: HookClient

  before(async () => {
    sidecar = newSidecar({ serves: 'both' })
    hooks = await sidecar.connect('l2wire.sock')
    plugin = await sidecar.connect(PLUGIN_SOCKET)
  })

  after(async () => {
    await sidecar[Symbol.asyncDispose]()
  })

  const define = async (xml: string, vmi: string | object = NOT_OURS): Promise<Buffer> =>
    hooks.onDefineDomain('v1alpha3', xml, vmi)
  const mutate = async (xml: string, vmi: string | object = NOT_OURS): Promise<Buffer> =>
    plugin.mutateDomain(xml, vmi)
  const expectAlive = async (): Promise<void> => {
    expect((await define(DOMAIN)).toString()).to.equal(DOMAIN)
    expect((await mutate(DOMAIN)).toString()).to.equal(DOMAIN)
  }
  /** Bytes as they are, to any method of any service. */
  const sendRaw = async (socket: string, path: string, message: Buffer): Promise<Buffer> => {
    const client = new Client(`unix:${join(sidecar.dir, socket)}`, credentials.createInsecure())
    try {
      return await new Promise((resolve, reject) => {
        const options = { deadline: Date.now() + 60_000 }
        client.makeUnaryRequest(path, asIs, asIs, message, options, (error, answer) => {
          if (error === null) resolve(answer ?? Buffer.of())
          else reject(error)
        })
      })
    } finally {
      client.close()
    }
  }

  const documents = [
    {
      name: 'two interfaces of one alias',
      xml: newDomain('<interface><alias name="ua-x"/></interface>'.repeat(2)),
      vmi: NOT_OURS,
      says: 'it is "ua-x", expected a name that no other interface has',
    },
    {
      name: 'an interface of ours without its network',
      xml: DOMAIN,
      vmi: newVmi({ networks: [] }),
      says: 'it is "ge0", expected the name of one of spec.networks',
    },
    {
      name: 'two interfaces of one name in the VMI',
      xml: DOMAIN,
      vmi: newVmi({ interfaces: [{ name: 'a' }, { name: 'a' }] }),
      says: 'it is "a", expected a name that no other interface has',
    },
    {
      name: 'a binding without a name',
      xml: DOMAIN,
      vmi: newVmi({ interfaces: [{ name: 'ge0', binding: {} }] }),
      says: '"spec.domain.devices.interfaces[0].binding.name"',
    },
  ]
  for (const { name, xml, vmi, says } of documents)
    it(`refuses ${name}`, async () => {
      for (const call of [define, mutate]) {
        const refusal = await findRefusal(call(xml, vmi))
        expect(refusal.code).to.equal(status.INVALID_ARGUMENT)
        expect(refusal.details).to.include(says)
      }
      await expectAlive()
    })

  const nothingToDo: readonly { name: string; vmi: object }[] = [
    { name: 'no interfaces and no networks', vmi: { spec: { domain: { devices: {} } } } },
    { name: 'no spec', vmi: {} },
    {
      name: 'none of our bindings',
      vmi: newVmi({ interfaces: [{ name: 'a', binding: { name: 'x' } }] }),
    },
  ]
  for (const { name, vmi } of nothingToDo)
    it(`returns the domain of a VMI with ${name}`, async () => {
      for (const call of [define, mutate])
        expect((await call(DOMAIN, vmi)).toString()).to.equal(DOMAIN)
    })

  it('takes a domain of 10 MB, and a VMI of 10 MB, on either socket', async () => {
    const xml = newDomain(`<!--${'x'.repeat(10_000_000)}-->`)
    const vmi = { ...NOT_OURS, metadata: { annotations: { large: 'x'.repeat(10_000_000) } } }
    for (const call of [define, mutate]) {
      expect((await call(xml)).toString() === xml).to.equal(true)
      expect((await call(DOMAIN, vmi)).toString()).to.equal(DOMAIN)
    }
  })

  const strangers = [
    {
      name: 'a version of hooks to come',
      path: '/kubevirt.hooks.v1alpha4.Callbacks/OnDefineDomain',
    },
    { name: 'a method to come', path: `/${CALLBACKS}/OnResume` },
    {
      name: 'a hook for cloud-init, which it does not subscribe to',
      path: `/${CALLBACKS}/PreCloudInitIso`,
    },
    { name: 'no method at all', path: '/' },
    {
      name: "a node's hook",
      path: '/kubevirt.hooks.plugins.v1alpha1.NodeHookService/ExecuteNodeHook',
    },
  ]
  for (const { name, path } of strangers)
    it(`does not have ${name}`, async () => {
      for (const socket of ['l2wire.sock', PLUGIN_SOCKET]) {
        const refusal = await findRefusal(sendRaw(socket, path, Buffer.from('x')))
        expect(refusal.code).to.equal(status.UNIMPLEMENTED)
      }
      await expectAlive()
    })

  const MUTATE = '/kubevirt.hooks.plugins.v1alpha1.DomainHookService/MutateDomain'
  const messages = [
    { name: 'bytes that are no message', message: Buffer.from('\xff\xff\xff\xff', 'latin1') },
    { name: 'a message that ends early', message: Buffer.of(0x12, 0x7f, 0x3c) },
    { name: 'an empty message', message: Buffer.of() },
  ]
  for (const { name, message } of messages)
    it(`refuses ${name}`, async () => {
      for (const [socket, path] of [
        ['l2wire.sock', `/${CALLBACKS}/OnDefineDomain`],
        [PLUGIN_SOCKET, MUTATE],
      ] as const) {
        const { code } = await findRefusal(sendRaw(socket, path, message))
        expect([status.INVALID_ARGUMENT, status.INTERNAL]).to.include(code)
      }
      await expectAlive()
    })

  it('goes on when clients of the domain hook hang up in the middle', async () => {
    const xml = newDomain(`<!--${'x'.repeat(1_000_000)}-->`)
    for (let delay = 0; delay < 5; delay += 1) {
      const hasty = await sidecar.connect(PLUGIN_SOCKET)
      const call = hasty.mutateDomain(xml, NOT_OURS).catch(() => undefined)
      setTimeout(() => hasty.close(), delay)
      await call
    }
    await expectAlive()
  })
})
