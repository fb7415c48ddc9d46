// kubectl-l2wire doctor, unplug and plug on one machine without a cluster, with a real agent.
import { readdir, rm, utimes, writeFile } from 'node:fs/promises'
import { join } from 'node:path'

import { expect } from 'chai'
import { describe, it } from 'mocha'

import type { Checkup } from '../../core/view/checkup.ts'
import { run } from '../../kernel/run.ts'
import { runCommand, type Ended } from '../../lab/command.ts'
import { newLabNetns, type LabNetns } from '../../lab/netns.ts'
import { newLabNode, type LabNode } from '../../lab/node.ts'
import { expectSoon } from '../expect-soon.ts'
import { leavesNothing } from '../nothing-left.ts'
import { hasCarrier } from '../kernel/fixture-links.ts'

describe('kubectl-l2wire doctor on a machine', function () {
  this.timeout(180_000)
  let node: LabNode
  let a: LabNetns
  let b: LabNetns

  const place = (): readonly string[] => [
    `--store=${node.storeUrl}`,
    `--state-dir=${node.stateDir}`,
    '--namespace=lab',
  ]
  const cli = async (...argv: readonly string[]): Promise<Ended> =>
    runCommand('kubectl-l2wire', [...argv, ...place()])
  const examine = async (): Promise<Checkup> => {
    const { stdout, stderr } = await cli('doctor', '-o', 'json')
    if (stdout === '') throw new Error(stderr)
    return JSON.parse(stdout) as Checkup
  }
  const listKinds = async (): Promise<readonly string[]> =>
    (await examine()).findings.map(({ kind }) => kind)
  const expectClean = async (): Promise<void> => {
    const { exitCode, stdout, stderr } = await cli('doctor')
    expect(exitCode, `${stdout}${stderr}`).to.equal(0)
    expect(stdout).to.include('All is as it should be.')
  }
  const call = async (
    command: string,
    pod: LabNetns,
    name: string,
    wire = 'a-b',
  ): Promise<void> => {
    const args = `K8S_POD_NAMESPACE=lab;K8S_POD_NAME=${name}`
    const containerID = `c-${name}`
    await node.mustCall(
      { cniVersion: '1.1.0', name: wire, type: 'l2wire' },
      { command, containerID, netns: pod.path, ifname: 'eth1', args },
    )
  }

  leavesNothing(async (made) => {
    node = made.use(await newLabNode())
    a = made.use(await newLabNetns('a'))
    b = made.use(await newLabNetns('b'))
  })

  it('finds nothing where nothing is, and at an end alone', async () => {
    await expectClean()
    await call('ADD', a, 'h1')
    await expectClean()
  })

  it('finds a cable as it should be, in and out and in again', async () => {
    await call('ADD', b, 'h2')
    await expectClean()
    const unplugged = await cli('unplug', 'a-b')
    expect(unplugged.stdout, unplugged.stderr).to.equal(
      'wire lab/a-b unplugged: pod/h1 eth1 and pod/h2 eth1 have no carrier\n',
    )
    for (const pod of [a, b]) expect(await hasCarrier(pod)).to.equal(false)
    await expectClean()
    const { stdout } = await cli('describe', 'a-b')
    expect(stdout).to.include('State:      Unplugged').and.include('kubectl l2wire plug a-b')
    const plugged = await cli('plug', 'a-b')
    expect(plugged.stdout, plugged.stderr).to.equal(
      'wire lab/a-b plugged in: both ends are joined\n',
    )
    for (const pod of [a, b]) expect(await hasCarrier(pod)).to.equal(true)
    await expectClean()
  })

  it('finds nothing wrong with an owner who has the interface down', async () => {
    await a.run(['ip', 'link', 'set', 'dev', 'eth1', 'down'])
    await expectSoon('the far end has no carrier', async () => !(await hasCarrier(b)))
    await expectClean()
    const { stdout } = await cli('describe', 'a-b')
    expect(stdout).to.include('pod/h1 eth1: its owner has the interface down')
    await a.run(['ip', 'link', 'set', 'dev', 'eth1', 'up'])
    await expectSoon('the far end has a carrier', async () => hasCarrier(b))
    await expectClean()
  })

  it('finds a VNI that nobody uses, and its remedy is one', async () => {
    const vni = join(node.storeUrl.replace('file://', ''), 'vni')
    await run(['mkdir', '-p', vni])
    await writeFile(join(vni, '77'), 'lab/gone')
    // A claim is young for a minute.
    const made = new Date(Date.now() - 120_000)
    await utimes(join(vni, '77'), made, made)
    expect(await listKinds()).to.deep.equal(['vni-stray'])
    await rm(join(vni, '77'))
    await expectClean()
  })

  it('finds a sandbox that is gone, which an agent forgets', async () => {
    {
      await using pod = await newLabNetns('c')
      await call('ADD', pod, 'h3', 'c-d')
      await node.stopAgent('SIGKILL')
    }
    expect(await listKinds()).to.deep.equal(['agent-unable', 'sandbox-gone'])
    await node.startAgent()
    await expectSoon('it is forgotten', async () => (await examine()).isClean)
  })

  it('finds what a lost document leaves', async () => {
    await node.stopAgent('SIGKILL')
    const folder = join(node.stateDir, 'attachments')
    const [file = ''] = (await readdir(folder)).filter((name) => name.includes('c-h1'))
    await rm(join(folder, file))
    const { findings } = await examine()
    expect(findings.map(({ kind }) => kind)).to.deep.equal(['agent-unable', 'claim-stray'])
    expect(findings[1]?.what).to.include('pod/h1 eth1')
    await node.startAgent()
  })

  const rows = [
    {
      name: 'a folder that is not there',
      argv: ['--store=file:///tmp/l2w-none'],
      word: '/tmp/l2w-none',
    },
    {
      name: 'a state directory that is not there',
      argv: ['--state-dir=/tmp/l2w-none'],
      word: '--state-dir',
    },
  ]
  for (const { name, argv, word } of rows)
    it(`ends with 2 for ${name}`, async () => {
      const { exitCode, stderr, stdout } = await runCommand('kubectl-l2wire', [
        'doctor',
        ...place(),
        ...argv,
      ])
      expect({ exitCode, stdout }).to.deep.equal({ exitCode: 2, stdout: '' })
      expect(stderr).to.include(word)
      expect(stderr.trim().split('\n')).to.have.length(1)
    })
})
