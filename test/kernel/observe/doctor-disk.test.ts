// The doctor on a node that lacks what its agent lives of: it tells what, by the agent's own words, and no cure that would do harm.
import { join } from 'node:path'

import { expect } from 'chai'
import { describe, it } from 'mocha'

import type { Checkup } from '../../../core/view/checkup.ts'
import { runCommand } from '../../../lab/command.ts'
import { newLabNetns, type LabNetns } from '../../../lab/netns.ts'
import { newLabNode, type LabNode } from '../../../lab/node.ts'
import { newSmallDisk } from '../../../lab/small-disk.ts'
import { newFileStore } from '../../../store/file-store.ts'
import { decodeFileUrl } from '../../../store/file-url.ts'
import { expectSoon } from '../../expect-soon.ts'
import { leavesNothing } from '../../nothing-left.ts'
import { CONFIG, toCall } from '../fixture-pods.ts'

async function examine(node: LabNode, stateDir: string): Promise<Checkup> {
  const place = [`--store=${node.storeUrl}`, `--state-dir=${stateDir}`]
  const { exitCode, stdout, stderr } = await runCommand('kubectl-l2wire', [
    'doctor',
    '-o',
    'json',
    ...place,
  ])
  if (stdout === '') throw new Error(stderr)
  const checkup = JSON.parse(stdout) as Checkup
  expect(exitCode).to.equal(checkup.isClean ? 0 : 1)
  return checkup
}

async function isReady({ socket }: LabNode): Promise<boolean> {
  return (await runCommand('l2wire-node', ['ready', '--socket', socket])).exitCode === 0
}

async function plugBoth(node: LabNode, ends: readonly LabNetns[]): Promise<void> {
  for (const netns of ends) await node.mustCall(CONFIG, toCall('ADD', netns, netns.name))
  const store = newFileStore(decodeFileUrl(node.storeUrl))
  await expectSoon('it is reported', async () => {
    const reports = (await store.read({ namespace: 'lab', name: CONFIG.name }))?.reports ?? []
    return reports.some((report) => report.state === 'joined' && report.ends.length === ends.length)
  })
}

async function unplugBoth(node: LabNode, ends: readonly LabNetns[]): Promise<void> {
  for (const netns of ends) await node.mustCall(CONFIG, toCall('DEL', netns, netns.name))
  await expectSoon('nothing left', async () => (await node.listDocuments()).length === 0)
}

const listKinds = ({ findings }: Checkup): readonly string[] => findings.map(({ kind }) => kind)

describe('doctor', function () {
  this.timeout(120_000)

  leavesNothing()

  it('tells of a state directory that is full', async () => {
    await using disk = await newSmallDisk()
    const stateDir = join(disk.folder, 'state')
    await using node = await newLabNode({ more: ['--state-dir', stateDir] })
    await using a = await newLabNetns('a')
    await using b = await newLabNetns('b')
    await plugBoth(node, [a, b])
    expect((await examine(node, stateDir)).findings).to.deep.equal([])
    expect(await isReady(node)).to.equal(true)
    await disk.fill()
    const checkup = await examine(node, stateDir)
    expect(listKinds(checkup)).to.deep.equal(['agent-unable'])
    expect(checkup.findings[0]?.what).to.include(stateDir).and.include('ENOSPC')
    expect(await isReady(node)).to.equal(false)
    await disk.empty()
    expect((await examine(node, stateDir)).findings).to.deep.equal([])
    expect(await isReady(node)).to.equal(true)
    await unplugBoth(node, [a, b])
  })

  it('tells of a store that is full, and knows an end that is on its way out', async () => {
    await using disk = await newSmallDisk()
    await using node = await newLabNode({ storeFolder: join(disk.folder, 'store') })
    await using a = await newLabNetns('a')
    await using b = await newLabNetns('b')
    await plugBoth(node, [a, b])
    await disk.fill()
    await node.mustCall(CONFIG, toCall('DEL', b, b.name))
    const checkup = await examine(node, node.stateDir)
    expect(listKinds(checkup)).to.deep.equal(['agent-unable'])
    expect(checkup.findings[0]?.what).to.include(disk.folder).and.include('ENOSPC')
    await disk.empty()
    await expectSoon(
      'the store hears of it',
      async () => (await examine(node, node.stateDir)).isClean,
    )
    await unplugBoth(node, [a])
  })

  it('tells of an agent that is not there, and of one that holds still', async () => {
    await using node = await newLabNode()
    expect((await examine(node, node.stateDir)).isClean).to.equal(true)
    process.kill(node.readPid(), 'SIGSTOP')
    const held = await examine(node, node.stateDir)
    process.kill(node.readPid(), 'SIGCONT')
    expect(listKinds(held)).to.deep.equal(['agent-unable'])
    expect(held.findings[0]?.what).to.include('no answer')
    await node.stopAgent('SIGKILL')
    const gone = await examine(node, node.stateDir)
    expect(listKinds(gone)).to.deep.equal(['agent-unable'])
    expect(gone.findings[0]?.what).to.include('not reachable')
    await node.startAgent()
    expect((await examine(node, node.stateDir)).isClean).to.equal(true)
  })
})
