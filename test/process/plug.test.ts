// kubectl-l2wire unplug and plug on a folder of wires: what is written, what is said, what is waited for.
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { expect } from 'chai'
import { afterEach, beforeEach, describe, it } from 'mocha'

import { claimEnd } from '../../core/wire/ends.ts'
import { reportWire, toAttachmentKey, type NodeReport, type Wire } from '../../core/wire/wire.ts'
import { runCommand, startCommand, type Ended } from '../../lab/command.ts'
import { newFileStore } from '../../store/file-store.ts'
import { expectSoon } from '../expect-soon.ts'
import { newClaim } from './wire-store-suite.ts'

const ID = { namespace: 'lab', name: 'r1-r2' }
const CLAIMS = [newClaim('pod/h1'), newClaim('pod/h2', { node: 'n2' })]

describe('kubectl-l2wire unplug and plug', () => {
  let folder: string

  const argv = (...words: readonly string[]): readonly string[] => [
    ...words,
    `--store=file://${folder}`,
    '-n',
    'lab',
  ]
  const cli = async (...words: readonly string[]): Promise<Ended> =>
    runCommand('kubectl-l2wire', argv(...words))
  const read = async (): Promise<Wire | undefined> => newFileStore(folder).read(ID)
  const plugIn = async (): Promise<void> => {
    for (const claim of CLAIMS)
      await newFileStore(folder).update(ID, (wire) => claimEnd(wire, ID, claim))
  }
  const report = async (node: string, state: NodeReport['state']): Promise<void> => {
    const ends = CLAIMS.map(toAttachmentKey).sort()
    await newFileStore(folder).update(ID, (wire) => reportWire(wire, { node, state, ends }))
  }

  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'l2w-plug-'))
  })
  afterEach(async () => {
    await rm(folder, { recursive: true, force: true })
  })

  it('take out a cable that nobody has plugged in yet, and put it back without a trace', async () => {
    const unplugged = await cli('unplug', 'r1-r2')
    expect(unplugged.stderr).to.equal('')
    expect(unplugged.stdout).to.equal(
      'wire lab/r1-r2 unplugged: nobody is at its ends, whoever comes has no carrier\n',
    )
    expect((await read())?.isUnplugged).to.equal(true)
    expect((await cli('get')).stdout).to.match(/^r1-r2 +Unplugged/m)
    expect((await cli('get', '-o', 'wide')).stdout).to.include(
      'the cable is taken out (spec.unplugged)',
    )
    expect((await cli('plug', 'r1-r2')).exitCode).to.equal(0)
    expect(await read()).to.equal(undefined)
  })

  it('wait until each node has done it', async () => {
    await plugIn()
    for (const node of ['n1', 'n2']) await report(node, 'joined')
    const unplugging = startCommand('kubectl-l2wire', argv('unplug', 'r1-r2'))
    await expectSoon('it is written', async () => (await read())?.isUnplugged ?? false)
    await report('n1', 'waiting')
    await report('n2', 'waiting')
    const { exitCode, stdout, stderr } = await unplugging.ended
    expect(exitCode, stderr).to.equal(0)
    expect(stdout).to.equal(
      'wire lab/r1-r2 unplugged: pod/h1 eth1 and pod/h2 eth1 have no carrier\n',
    )

    const plugging = startCommand('kubectl-l2wire', argv('plug', 'r1-r2'))
    await expectSoon('it is written', async () => (await read())?.isUnplugged === false)
    await report('n1', 'joined')
    await report('n2', 'joined')
    expect((await plugging.ended).stdout).to.equal(
      'wire lab/r1-r2 plugged in: both ends are joined\n',
    )
    expect((await read())?.ends).to.have.length(2)
  })

  it('say which node did not do it in time; it stays written', async () => {
    await plugIn()
    await report('n1', 'waiting')
    const { exitCode, stdout, stderr } = await cli('unplug', 'r1-r2', '--timeout', '0.5s')
    expect({ exitCode, stdout }).to.deep.equal({ exitCode: 1, stdout: '' })
    expect(stderr)
      .to.include('after 0.5 s node n2 has not said')
      .and.include('l2wire describe r1-r2')
    expect((await read())?.isUnplugged).to.equal(true)
  })

  it('do not wait when told so', async () => {
    await plugIn()
    const { exitCode, stdout } = await cli('unplug', 'r1-r2', '--wait=false')
    expect(exitCode).to.equal(0)
    expect(stdout).to.include('unplugged')
  })

  const rows = [
    {
      name: 'plug a wire that is not there',
      argv: ['plug', 'r1-r2'],
      exitCode: 1,
      word: 'lab/r1-r2',
    },
    { name: 'unplug what is no name', argv: ['unplug', '../x'], exitCode: 2, word: '../x' },
    {
      name: 'wait for a time that is none',
      argv: ['unplug', 'w', '--timeout', 'x'],
      exitCode: 2,
      word: 'seconds',
    },
    {
      name: 'use a namespace that is none',
      argv: ['unplug', 'w', '-n', '../x'],
      exitCode: 2,
      word: '--namespace',
    },
    {
      name: 'use a folder that is not there',
      argv: ['unplug', 'w', '--store', 'file:///tmp/l2w-none'],
      exitCode: 1,
      word: '/tmp/l2w-none',
    },
  ]
  for (const row of rows)
    it(`do not ${row.name}`, async () => {
      // Of an option that is given twice the last one counts.
      const [command = '', ...more] = row.argv
      const ended = await runCommand('kubectl-l2wire', [...argv(command), ...more])
      expect(ended.exitCode, ended.stderr).to.equal(row.exitCode)
      expect(ended.stderr).to.include(row.word)
    })

  it('leave a cable alone that is in', async () => {
    await plugIn()
    const { exitCode, stdout } = await cli('plug', 'r1-r2')
    expect(exitCode).to.equal(0)
    expect(stdout).to.include('lab/r1-r2 is not unplugged')
  })
})
