// What virt-launcher sees of the sidecar: real process, real socket, real gRPC.
import { status } from '@grpc/grpc-js'
import { expect } from 'chai'
import { mkdirSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { connect as connectSocket } from 'node:net'
import { join } from 'node:path'
import { describe, it } from 'mocha'

import { HOOK_VERSIONS } from '../../proto/load.ts'
import { newDomain, newVmi } from '../core/domain/samples.ts'
import { findRefusal, newSidecar, newSocketDir } from './sidecar-process.ts'

const DOMAIN = newDomain('\n    <memballoon model="none"/>')
const NOT_OURS = newVmi({ interfaces: [{ name: 'mgmt', masquerade: {} }] })
const OURS = newVmi()

describe('l2wire-sidecar', () => {
  it('says who it is and what it subscribes to', async () => {
    await using sidecar = newSidecar()
    const info = await (await sidecar.connect()).info()
    expect(info).to.eql({
      name: 'l2wire',
      hookPoints: [
        { name: 'OnDefineDomain', priority: 0 },
        { name: 'Shutdown', priority: 0 },
      ],
      versions: ['v1alpha1', 'v1alpha2', 'v1alpha3'],
    })
  })

  it('serves all three versions, and returns the bytes of a VM without its binding', async () => {
    await using sidecar = newSidecar()
    const client = await sidecar.connect()
    for (const version of HOOK_VERSIONS) {
      const answer = await client.onDefineDomain(version, DOMAIN, NOT_OURS)
      expect(answer.toString()).to.equal(DOMAIN)
    }
  })

  it('answers by the binding it was registered under', async () => {
    await using sidecar = newSidecar({ env: { NETWORK_BINDING_PLUGIN_NAME: 'l2wire-macvtap' } })
    const client = await sidecar.connect()
    expect((await client.info()).name).to.equal('l2wire-macvtap')
    expect((await client.onDefineDomain('v1alpha3', DOMAIN, OURS)).toString()).to.equal(DOMAIN)
  })

  it('takes a domain of 5 MB', async () => {
    await using sidecar = newSidecar()
    const client = await sidecar.connect()
    const xml = newDomain(`<!--${'x'.repeat(5_000_000)}-->`)
    expect((await client.onDefineDomain('v1alpha3', xml, NOT_OURS)).toString()).to.equal(xml)
  })
})

describe("l2wire-sidecar's socket", () => {
  const names = [
    {
      name: 'is named after the container',
      env: { CONTAINER_NAME: 'hook-sidecar-1' },
      want: 'hook-sidecar-1.sock',
    },
    {
      name: 'is named after the binding without a container',
      env: { NETWORK_BINDING_PLUGIN_NAME: 'other' },
      want: 'other.sock',
    },
    { name: 'has a name without either', env: { CONTAINER_NAME: '' }, want: 'l2wire.sock' },
    {
      name: 'stays in its folder whatever the name',
      env: { CONTAINER_NAME: '../../x/y' },
      want: '-..-x-y.sock',
    },
  ]
  for (const { name, env, want } of names) {
    it(name, async () => {
      await using sidecar = newSidecar({ env })
      expect(await sidecar.files()).to.eql([want])
      expect(statSync(join(sidecar.dir, want)).isSocket()).to.equal(true)
      await (await sidecar.connect()).info()
      expect(readdirSync(sidecar.dir)).to.eql([want])
    })
  }

  it('has another name for another container with the same binding', async () => {
    await using first = newSidecar({ env: { CONTAINER_NAME: 'hook-sidecar-0' } })
    await using second = newSidecar({ env: { CONTAINER_NAME: 'hook-sidecar-1' } })
    expect([...(await first.files()), ...(await second.files())]).to.eql([
      'hook-sidecar-0.sock',
      'hook-sidecar-1.sock',
    ])
  })

  it('answers as soon as it is there', async () => {
    await using sidecar = newSidecar()
    while (readdirSync(sidecar.dir).length === 0) await new Promise(setImmediate)
    await (await sidecar.connect()).info()
  })

  it('replaces what a crashed instance has left', async () => {
    await using crashed = newSidecar()
    await crashed.files()
    crashed.child.kill('SIGKILL')
    await crashed.exited
    expect(readdirSync(crashed.dir)).to.eql(['l2wire.sock'])
    await using sidecar = newSidecar({ dir: crashed.dir })
    expect((await (await sidecar.connect()).info()).name).to.equal('l2wire')
  })

  it('is not taken from a sidecar that lives', async () => {
    await using sidecar = newSidecar()
    const client = await sidecar.connect()
    await using second = newSidecar({ dir: sidecar.dir })
    expect(await second.exited).to.eql({ code: 1, signal: null })
    expect(second.log()).to.include('another sidecar of this name listens there')
    expect((await client.info()).name).to.equal('l2wire')
  })

  const unusable = [
    {
      name: 'the folder is missing',
      prepare: (dir: string) => {
        rmSync(dir, { recursive: true })
      },
      says: 'ENOENT',
    },
    {
      name: 'a file has its name',
      prepare: (dir: string) => {
        writeFileSync(join(dir, 'l2wire.sock'), '')
      },
      says: 'it exists and is no socket',
    },
    {
      name: 'a folder has its name',
      prepare: (dir: string) => {
        mkdirSync(join(dir, 'l2wire.sock'))
      },
      says: 'it exists and is no socket',
    },
  ]
  for (const { name, prepare, says } of unusable) {
    it(`is refused with a sentence when ${name}`, async () => {
      const dir = newSocketDir()
      try {
        prepare(dir)
        await using sidecar = newSidecar({ dir })
        expect(await sidecar.exited).to.eql({ code: 1, signal: null })
        expect(sidecar.log()).to.include(says)
        expect(sidecar.log()).not.to.match(/\n\s+at /)
      } finally {
        rmSync(dir, { recursive: true, force: true })
      }
    })
  }

  it('is refused when its path does not fit', async () => {
    await using sidecar = newSidecar({ env: { CONTAINER_NAME: 'x'.repeat(100) } })
    expect(await sidecar.exited).to.eql({ code: 1, signal: null })
    expect(sidecar.log()).to.include('at most 107 fit')
  })
})

describe('l2wire-sidecar ends', () => {
  for (const signal of ['SIGTERM', 'SIGINT'] as const) {
    it(`on ${signal}, and takes its socket along`, async () => {
      await using sidecar = newSidecar()
      const client = await sidecar.connect()
      await client.info()
      sidecar.child.kill(signal)
      expect(await sidecar.exited).to.eql({ code: 0, signal: null })
      expect(readdirSync(sidecar.dir)).to.eql([])
    })
  }

  it('after a call to Shutdown is answered', async () => {
    await using sidecar = newSidecar()
    const client = await sidecar.connect()
    await client.shutdown()
    expect(await sidecar.exited).to.eql({ code: 0, signal: null })
    expect(readdirSync(sidecar.dir)).to.eql([])
  })

  it('though a client stays connected and says nothing', async () => {
    await using sidecar = newSidecar()
    const [socket = ''] = await sidecar.files()
    const idle = connectSocket(join(sidecar.dir, socket))
    try {
      await new Promise((resolve) => idle.once('connect', resolve))
      sidecar.child.kill('SIGTERM')
      expect(await sidecar.exited).to.eql({ code: 0, signal: null })
    } finally {
      idle.destroy()
    }
  })
})

describe('l2wire-sidecar refuses', () => {
  it('arguments it does not know', async () => {
    await using sidecar = newSidecar({ args: ['--colour'] })
    expect(await sidecar.exited).to.eql({ code: 1, signal: null })
    expect(sidecar.log()).to.include("Unknown option '--colour'")
  })

  const rows = [
    {
      name: 'a domain that is no XML',
      xml: 'no XML',
      vmi: OURS,
      code: status.INVALID_ARGUMENT,
      says: 'it is "no XML", expected well-formed XML',
    },
    {
      name: 'an empty domain',
      xml: '',
      vmi: OURS,
      code: status.INVALID_ARGUMENT,
      says: 'it is "", expected well-formed XML',
    },
    {
      name: 'XML that is no domain',
      xml: '<network/>',
      vmi: OURS,
      code: status.INVALID_ARGUMENT,
      says: 'it is "<network>", expected a <domain>',
    },
    {
      name: 'a domain without devices',
      xml: '<domain/>',
      vmi: OURS,
      code: status.INVALID_ARGUMENT,
      says: '"domain/devices": it is missing',
    },
    {
      name: 'a domain that is not UTF-8',
      xml: Buffer.from([0x3c, 0xff, 0xfe]),
      vmi: OURS,
      code: status.INVALID_ARGUMENT,
      says: 'it is "3 bytes", expected text in UTF-8',
    },
    {
      name: 'a VMI that is no JSON',
      xml: DOMAIN,
      vmi: 'no JSON',
      code: status.INVALID_ARGUMENT,
      says: 'Cannot decode "vmi": it is "no JSON", expected JSON',
    },
    {
      name: 'an empty VMI',
      xml: DOMAIN,
      vmi: '',
      code: status.INVALID_ARGUMENT,
      says: 'Cannot decode "vmi": it is "", expected JSON',
    },
    {
      name: 'a VMI of the wrong type',
      xml: DOMAIN,
      vmi: '{"spec":{"domain":{"devices":{"interfaces":"ge0"}}}}',
      code: status.INVALID_ARGUMENT,
      says: '"spec.domain.devices.interfaces": it is "ge0", expected an array',
    },
    {
      name: 'a VMI nested without end',
      xml: DOMAIN,
      vmi: '['.repeat(90_000) + ']'.repeat(90_000),
      code: status.INVALID_ARGUMENT,
      says: 'Cannot decode "vmi"',
    },
    {
      name: 'a NIC whose pod link is missing',
      xml: DOMAIN,
      vmi: OURS,
      code: status.FAILED_PRECONDITION,
      says: 'Cannot plug in interface "ge0": the pod has no link "pod',
    },
  ]
  it('bad calls with a sentence each, and lives on', async () => {
    await using sidecar = newSidecar()
    const client = await sidecar.connect()
    for (const { name, xml, vmi, code, says } of rows) {
      for (const version of HOOK_VERSIONS) {
        const refusal = await findRefusal(client.onDefineDomain(version, xml, vmi))
        expect(refusal.code, name).to.equal(code)
        expect(refusal.details, name).to.include(says)
        expect(refusal.details, name).not.to.match(/\n|\bat .*\.[mt]?[jt]s:/)
      }
    }
    expect((await client.info()).name).to.equal('l2wire')
    expect(readdirSync(sidecar.dir)).to.eql(['l2wire.sock'])
  })

  it('a message of more than 16 MB, and lives on', async () => {
    await using sidecar = newSidecar()
    const client = await sidecar.connect()
    const xml = 'x'.repeat(17_000_000)
    const refusal = await findRefusal(client.onDefineDomain('v1alpha3', xml, '{}'))
    expect(refusal.code).to.equal(status.RESOURCE_EXHAUSTED)
    expect(refusal.details).to.include('Received message larger than max')
    expect((await client.info()).name).to.equal('l2wire')
  })

  it('whatever does not speak gRPC, and whoever hangs up, and lives on', async () => {
    await using sidecar = newSidecar()
    const client = await sidecar.connect()
    const [socket = ''] = await sidecar.files()
    const garbage = [
      '',
      'GET / HTTP/1.1\r\n\r\n',
      '\0'.repeat(1000),
      'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\xff\xff\xff',
    ]
    for (const text of garbage) {
      await new Promise<void>((resolve) => {
        const raw = connectSocket(join(sidecar.dir, socket), () => raw.end(text, 'latin1'))
        raw.on('error', () => undefined)
        raw.on('close', () => {
          resolve()
        })
        raw.resume()
      })
    }
    const xml = newDomain(`<!--${'x'.repeat(1_000_000)}-->`)
    for (let i = 0; i < 5; i += 1) {
      const hasty = await sidecar.connect()
      const call = hasty.onDefineDomain('v1alpha3', xml, NOT_OURS).catch(() => undefined)
      setTimeout(() => {
        hasty.close()
      }, i)
      await call
    }
    expect((await client.onDefineDomain('v1alpha3', DOMAIN, NOT_OURS)).toString()).to.equal(DOMAIN)
  })
})
