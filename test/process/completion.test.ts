// What is typed, what is offered: kubectl asks an executable beside its plugin, and a shell has it from there.
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { expect } from 'chai'
import { after, before, describe, it } from 'mocha'

import { claimEnd } from '../../core/wire/ends.ts'
import { runCommand } from '../../lab/command.ts'
import { newFileStore } from '../../store/file-store.ts'
import { newClaim } from './wire-store-suite.ts'

describe('kubectl_complete-l2wire', () => {
  let folder: string
  let store: string

  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'l2w-complete-'))
    store = `file://${folder}`
    for (const [namespace, name] of [
      ['default', 'r1-r2'],
      ['default', 'r1-h1'],
      ['lab', 'core'],
    ] as const)
      await newFileStore(folder).update({ namespace, name }, (wire) =>
        claimEnd(wire, { namespace, name }, newClaim('pod/h1')),
      )
  })
  after(async () => {
    await rm(folder, { recursive: true, force: true })
  })

  const ask = async (...words: readonly string[]): Promise<string> => {
    const argv = words.map((word) => word.replace('STORE', store))
    const { stdout, stderr, exitCode } = await runCommand('kubectl_complete-l2wire', argv)
    expect({ stderr, exitCode }).to.deep.equal({ stderr: '', exitCode: 0 })
    return stdout
  }
  /** The words that are offered, without what is told of them. */
  const offer = async (...words: readonly string[]): Promise<readonly string[]> => {
    const lines = (await ask(...words)).split('\n')
    expect(lines.splice(-2)).to.deep.equal([':4', ''])
    return lines.map((line) => line.split('\t')[0] ?? '')
  }

  const rows: readonly { words: readonly string[]; want: readonly string[] }[] = [
    { words: [''], want: ['get', 'describe', 'unplug', 'plug', 'test', 'capture', 'doctor'] },
    { words: [], want: ['get', 'describe', 'unplug', 'plug', 'test', 'capture', 'doctor'] },
    { words: ['de'], want: ['describe'] },
    { words: ['get', '--store', 'STORE', ''], want: ['r1-h1', 'r1-r2'] },
    { words: ['get', '--store', 'STORE', 'r1-r2', ''], want: ['r1-h1'] },
    { words: ['get', '--store', 'STORE', '-A', ''], want: ['r1-h1', 'r1-r2', 'core'] },
    { words: ['describe', '--store', 'STORE', 'r1-r'], want: ['r1-r2'] },
    { words: ['describe', '--store', 'STORE', 'r1-r2', ''], want: [] },
    { words: ['describe', '--store', 'STORE', '-n', 'lab', ''], want: ['core'] },
    { words: ['describe', '--store', 'STORE', '--namespace=lab', ''], want: ['core'] },
    { words: ['describe', '-n', 'lab', '-o', 'json', '--store=STORE', 'c'], want: ['core'] },
    { words: ['unplug', '--store', 'STORE', 'r1-h'], want: ['r1-h1'] },
    { words: ['get', '--all'], want: ['--all-namespaces'] },
    { words: ['doctor', '--m'], want: ['--measure'] },
    { words: ['get', '-o', ''], want: [] },
    { words: ['get', '--output='], want: [] },
    { words: ['doctor', ''], want: [] },
    { words: ['get', '--store', 'file:///nowhere', ''], want: [] },
    { words: ['get', '--store', 'https://nowhere', ''], want: [] },
    { words: ['juggle', ''], want: [] },
    { words: ['survey', '--state'], want: ['--state-dir'] },
  ]
  for (const { words, want } of rows)
    it(`kubectl l2wire ${words.join(' ')}`, async () => {
      expect(await offer(...words)).to.deep.equal(want)
    })

  it('tells what commands and options do', async () => {
    expect(await ask('ge')).to.equal('get\tlist wires: their state, ends and nodes\n:4\n')
    expect(await ask('get', '--all')).to.include('\twires of every namespace\n')
  })
})
