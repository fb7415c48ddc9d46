// The file store against itself: many writers, dead owners of a lock, documents it cannot read.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { expect } from 'chai'
import { afterEach, beforeEach, describe, it } from 'mocha'

import { DecodeError } from '../../core/errors.ts'
import { claimEnd, releaseEnd } from '../../core/wire/ends.ts'
import { reportWire } from '../../core/wire/wire.ts'
import { ROOT } from '../../lab/manifests.ts'
import { newFileStore } from '../../store/file-store.ts'
import { decodeFileUrl } from '../../store/file-url.ts'
import type { WireStore } from '../../store/wire-store.ts'
import { describeWireStore, newClaim } from './wire-store-suite.ts'

const ID = { namespace: 'lab', name: 'r1.r2' }

describeWireStore('the file store', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'l2w-store-'))
  return {
    namespace: 'lab',
    open: () => newFileStore(join(folder, 'wires')),
    [Symbol.asyncDispose]: async () => rm(folder, { recursive: true, force: true }),
  }
})

describe('the file store, in its folder', () => {
  let folder: string
  let store: WireStore

  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'l2w-store-'))
    store = newFileStore(join(folder, 'wires'))
  })
  afterEach(async () => {
    await rm(folder, { recursive: true, force: true })
  })

  it('keeps a wire in one document with its name', async () => {
    await store.update(ID, (old) => claimEnd(old, ID, newClaim('vm/r1')))
    expect(await readdir(join(folder, 'wires'))).to.deep.equal(['lab.r1.r2.json'])
    await store.update(ID, (old) => releaseEnd(old, newClaim('vm/r1')))
    expect(await readdir(join(folder, 'wires'))).to.deep.equal([])
  })

  it('two of a hundred get the ends when they claim from eight processes at once', async () => {
    const script = `
      import { newFileStore } from '${ROOT}/store/file-store.ts'
      import { claimEnd } from '${ROOT}/core/wire/ends.ts'
      const id = ${JSON.stringify(ID)}
      const store = newFileStore('${join(folder, 'wires')}')
      let won = 0
      await Promise.all(Array.from({ length: 12 }, async (_, at) => {
        const holder = 'pod/' + process.argv[1] + '-' + at
        try {
          await store.update(id, (wire) => claimEnd(wire, id, { holder, containerID: holder.replace("/", "-"), ifname: 'eth1', node: 'n', address: '192.0.2.1', mtuBytes: 1500 }))
          won += 1
        } catch (error) {
          if (error.code !== 101) throw error
        }
      }))
      process.stdout.write(String(won))
    `
    const results = await Promise.all(
      Array.from({ length: 8 }, async (_, at) => runScript(script, String(at))),
    )
    expect(results.reduce((sum, won) => sum + Number(won), 0)).to.equal(2)
    expect((await store.read(ID))?.ends).to.have.length(2)
    expect(await readdir(join(folder, 'wires'))).to.deep.equal(['lab.r1.r2.json'])
  })

  it('breaks the lock of a dead process, also when its pid is taken again', async () => {
    await store.update(ID, (old) => claimEnd(old, ID, newClaim('vm/r1')))
    const lock = join(folder, 'wires', 'lab.r1.r2.json.lock')
    for (const owner of ['999999999 1', `${process.pid} 1`]) {
      await writeFile(lock, owner)
      await Promise.all(
        ['a', 'b', 'c'].map(async (name) =>
          store.update(ID, (wire) =>
            reportWire(wire, {
              node: 'n1',
              state: 'waiting',
              ends: [`${name}-${owner.replace(' ', '-')}@eth1`],
            }),
          ),
        ),
      )
      expect(await readdir(join(folder, 'wires'))).to.deep.equal(['lab.r1.r2.json'])
    }
  })

  it('breaks a lock of its own that could not be removed', async () => {
    await store.update(ID, (old) => claimEnd(old, ID, newClaim('vm/r1')))
    const stat = await readFile('/proc/self/stat', 'utf8')
    const startTime = stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19]
    await writeFile(join(folder, 'wires', 'lab.r1.r2.json.lock'), `${process.pid} ${startTime}`)
    await store.update(ID, (wire) => releaseEnd(wire, newClaim('vm/r1')))
    expect(await readdir(join(folder, 'wires'))).to.deep.equal([])
  })

  const broken = [
    { name: 'half of a JSON', text: '{"version":1', word: 'JSON' },
    { name: 'a newer version', text: '{"version":2}', word: 'version' },
    { name: 'no ends', text: '{"version":1,"namespace":"lab","name":"w"}', word: 'ends' },
    {
      name: 'an end without a holder',
      text: '{"version":1,"namespace":"lab","name":"w","ends":[{}]}',
      word: 'holder',
    },
    { name: 'a list', text: '[]', word: 'JSON object' },
  ]
  for (const { name, text, word } of broken)
    it(`refuses a document that is ${name}, and leaves it as it is`, async () => {
      await store.update(ID, (old) => claimEnd(old, ID, newClaim('vm/r1')))
      const path = join(folder, 'wires', 'lab.r1.r2.json')
      await writeFile(path, text)
      const error: unknown = await store
        .update(ID, (old) => claimEnd(old, ID, newClaim('vm/r2')))
        .catch((thrown: unknown) => thrown)
      expect(error).to.be.instanceOf(DecodeError).with.property('message').that.includes(word)
      expect(await readFile(path, 'utf8')).to.equal(text)
    })
})

describe('decodeFileUrl()', () => {
  it('takes file:///DIR', () => {
    expect(decodeFileUrl('file:///var/lib/a%20b')).to.equal('/var/lib/a b')
  })
  for (const url of [undefined, '', '/var/lib', 'file://x', 'file:///', 'http://x/'])
    it(`refuses ${JSON.stringify(url)}`, () => {
      expect(() => decodeFileUrl(url)).to.throw(DecodeError, 'file:///DIR')
    })
})

async function runScript(script: string, argument: string): Promise<string> {
  const child = spawn(process.execPath, ['--input-type=module', '-e', script, argument], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  let out = ''
  child.stdout.setEncoding('utf8').on('data', (text: string) => (out += text))
  await once(child, 'close')
  return out
}
