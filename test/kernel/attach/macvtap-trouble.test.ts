// VMs by macvtap where something is in the way, or was lost.
import { chmod, mkdir, readdir, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'

import { expect } from 'chai'
import { afterEach, beforeEach, describe, it } from 'mocha'

import { toPodLinkName } from '../../../core/name.ts'
import { run } from '../../../kernel/run.ts'
import { newLabNetns } from '../../../lab/netns.ts'
import { newLabNode } from '../../../lab/node.ts'
import { newTemporaryFolder } from '../../../lab/temporary-folder.ts'
import { expectLogged } from '../../expect-logged.ts'
import { expectSoon } from '../../expect-soon.ts'
import { leavesNothing } from '../../nothing-left.ts'
import { readLinks } from '../fixture-links.ts'
import {
  FIRST,
  newMacvtapLauncher,
  POD_LINK,
  TAP,
  toWhole,
  WIRE,
  type MacvtapLauncher,
} from '../fixture-macvtap.ts'

describe('the binding plugin by macvtap in trouble', function () {
  this.timeout(90_000)
  let scene: MacvtapLauncher
  leavesNothing(async (made) => {
    scene = made.use(await newMacvtapLauncher())
  })

  it('the file of a launcher that vanished goes with the next look', async () => {
    const { node, bind, readDevice } = scene
    const gone = await newLabNetns('gone')
    const at = (ifname: string) => ({ containerID: 'c3', netns: gone.path, ifname })
    await node.mustCall(WIRE, { command: 'ADD', ...at(POD_LINK) })
    await node.mustCall(bind, { command: 'ADD', ...at('net1') })
    await gone[Symbol.asyncDispose]()
    await expectSoon('nothing of it is left', async () => {
      const left = await node.listDocuments()
      return left.length === 0 && (await readDevice(FIRST)) === 'none'
    })
  })

  it('a device whose attachment is lost goes at the next start, one that is only handed out stays', async () => {
    const { node, toDevice } = scene
    await mkdir(join(node.folder, 'macvtap'), { recursive: true })
    await run(['mknod', toDevice(FIRST), 'c', '246', '1'])
    await run(['mknod', toDevice(FIRST + 1), 'c', '1', '3'])
    await writeFile(join(node.folder, 'macvtap', '.tap70000003.next'), '')
    await node.stopAgent('SIGTERM')
    await node.startAgent()
    expect(await readdir(join(node.folder, 'macvtap'))).to.deep.equal([`tap${FIRST + 1}`])
    await rm(toDevice(FIRST + 1))
  })

  it('an agent that is killed in the middle of it takes it back at its next start', async () => {
    const { bind } = scene
    await using folder = await newTemporaryFolder('path')
    const killer = join(folder.path, 'mknod')
    // The link is made by then, and has not got its own name yet.
    await writeFile(killer, '#!/bin/sh\nkill -KILL $PPID\n')
    await chmod(killer, 0o755)
    await using node = await newLabNode({ pathFirst: folder.path })
    await using pod = await newLabNetns('launcher')
    const at = (ifname: string) => ({ containerID: 'c9', netns: pod.path, ifname })
    await node.mustCall(WIRE, { command: 'ADD', ...at(POD_LINK) })
    expect((await node.call(bind, { command: 'ADD', ...at('net1') })).output).to.include({
      code: 11,
    })
    const left = [...(await readLinks(pod)).keys()]
    expect(left.some((name) => name.startsWith('lm'))).to.equal(true)
    await rm(killer)
    await node.stopAgent('SIGKILL')
    await node.startAgent()
    expect([...(await readLinks(pod)).keys()]).to.have.members(['lo', POD_LINK])
    await node.mustCall(bind, { command: 'ADD', ...at('net1') })
    await node.mustCall({ ...bind, prevResult: {} }, { command: 'CHECK', ...at('net1') })
    await node.mustCall(bind, { command: 'DEL', ...at('net1') })
    await node.mustCall(WIRE, { command: 'DEL', ...at(POD_LINK) })
  })

  describe('that cannot be done', () => {
    beforeEach(async () => {
      const { node, sandbox } = scene
      await node.mustCall(WIRE, { command: 'ADD', ...sandbox(POD_LINK) })
    })
    afterEach(async () => {
      const { node, sandbox } = scene
      await node.mustCall(WIRE, { command: 'DEL', ...sandbox(POD_LINK) })
    })

    it('a folder that takes no devices: error 5, and nothing is left', async () => {
      const { node, pod, bind, sandbox, toDevice } = scene
      await rm(join(node.folder, 'macvtap'), { recursive: true, force: true })
      await writeFile(join(node.folder, 'macvtap'), 'a file')
      const { output } = await node.call(bind, { command: 'ADD', ...sandbox('net1') })
      expect(output).to.include({ code: 5 })
      expect(output?.['msg']).to.include(toDevice(FIRST))
      expect([...(await readLinks(pod)).keys()]).to.have.members(['lo', POD_LINK])
      await rm(join(node.folder, 'macvtap'))
    })

    it('a file in the place of the device is replaced, a folder is error 5', async () => {
      const { node, pod, bind, sandbox, toDevice, readDevice } = scene
      await mkdir(join(node.folder, 'macvtap'), { recursive: true })
      await writeFile(toDevice(FIRST), 'left over')
      await node.mustCall(bind, { command: 'ADD', ...sandbox('net1') })
      expect(await readDevice(FIRST)).to.equal(toWhole(TAP, FIRST))
      await node.mustCall(bind, { command: 'DEL', ...sandbox('net1') })
      await mkdir(toDevice(FIRST))
      const { output } = await node.call(bind, { command: 'ADD', ...sandbox('net1') })
      expect(output).to.include({ code: 5 })
      expect([...(await readLinks(pod)).keys()]).to.have.members(['lo', POD_LINK])
      await rm(toDevice(FIRST), { recursive: true })
    })

    it('one that nobody remembers is taken away by the next ADD', async () => {
      const { node, pod, bind, sandbox, check, readDevice } = scene
      await node.mustCall(bind, { command: 'ADD', ...sandbox('net1') })
      await node.stopAgent('SIGKILL')
      await rm(join(node.stateDir, 'attachments/c1@net1.json'))
      await node.startAgent()
      expect([...(await readLinks(pod)).keys()]).to.include(TAP)
      await node.mustCall(bind, { command: 'ADD', ...sandbox('net1') })
      await expectLogged(node, 'a tap that nobody remembers is taken away')
      expect(await readDevice(FIRST)).to.equal(toWhole(TAP, FIRST))
      expect(await check()).to.equal(undefined)
      await node.mustCall(bind, { command: 'DEL', ...sandbox('net1') })
    })

    it('a pod link that somebody else has a macvlan on: error 100', async () => {
      const { node, pod, bind, sandbox, readDevice } = scene
      await pod.run([
        'ip',
        'link',
        'add',
        'link',
        POD_LINK,
        'name',
        'mv',
        'type',
        'macvlan',
        'mode',
        'bridge',
      ])
      const { output } = await node.call(bind, { command: 'ADD', ...sandbox('net1') })
      expect(output).to.include({ code: 100 })
      expect(output?.['details']).to.include('macvtap')
      expect(await readDevice(FIRST)).to.equal('none')
      await pod.run(['ip', 'link', 'del', 'dev', 'mv'])
    })

    it('more NICs than the node has devices: error 113', async () => {
      const { node, bind, bindTo, sandbox } = scene
      await node.stopAgent('SIGTERM')
      await node.startAgent(['--macvtap-devices', '1'])
      await node.mustCall(bind, { command: 'ADD', ...sandbox('net1') })
      const other = toPodLinkName('ge1')
      await node.mustCall({ ...WIRE, name: 'w2' }, { command: 'ADD', ...sandbox(other) })
      const { output } = await node.call(bindTo('ge1'), { command: 'ADD', ...sandbox('net2') })
      expect(output).to.include({ code: 113 })
      expect(output?.['msg']).to.include('all 1 devices')
      await node.mustCall(bind, { command: 'DEL', ...sandbox('net1') })
      await node.mustCall(bindTo('ge1'), { command: 'ADD', ...sandbox('net2') })
      await node.mustCall(bind, { command: 'DEL', ...sandbox('net2') })
      await node.mustCall({ ...WIRE, name: 'w2' }, { command: 'DEL', ...sandbox(other) })
    })
  })
})
