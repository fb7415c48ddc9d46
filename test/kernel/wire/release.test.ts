// DELs that come while no agent is here: the pod goes at once, and what it had goes with the agent's next
// start.
import { mkdir, rename, rm, utimes, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'

import { expect } from 'chai'
import { afterEach, describe, it } from 'mocha'

import { run } from '../../../kernel/run.ts'
import type { CniAnswer } from '../../../lab/cni.ts'
import type { Manifest } from '../../../lab/manifests.ts'
import { newLabNetns, type LabNetns } from '../../../lab/netns.ts'
import { listFolder } from '../../../store/json-file.ts'
import { expectLogged } from '../../expect-logged.ts'
import { expectSoon } from '../../expect-soon.ts'
import { hasCarrier } from '../fixture-links.ts'
import { CONFIG, toCall, usePods } from '../fixture-pods.ts'

const NOTE = 'c1@eth1.json'

/** As 0.3.0 wrote it. */
const toOldNote = (containerID: string, network = 'w', version = 1): string =>
  JSON.stringify({
    version,
    containerID,
    ifname: 'eth1',
    network,
    type: 'l2wire',
    time: '2026-03-04T05:06:07.000Z',
  })

describe('DEL without an agent', function () {
  this.timeout(90_000)
  const pods = usePods()
  const toReleased = (): string => join(pods().node.folder, 'released')
  afterEach('leaves no note', async () => {
    expect(await listFolder(toReleased())).to.deep.equal([])
  })

  const del = async (
    netns: LabNetns,
    id: string,
    config: Manifest = CONFIG,
  ): Promise<CniAnswer> => {
    const answer = await pods().node.call(config, toCall('DEL', netns, id))
    expect(answer).to.include({ exitCode: 0, stdout: '' })
    return answer
  }
  const writeNote = async (file: string, text: string): Promise<void> => {
    await mkdir(toReleased(), { recursive: true })
    await writeFile(join(toReleased(), file), text)
  }

  it('is honoured at the next start: devices, claim, document and note go', async () => {
    const { node, a, b, add } = pods()
    const released = toReleased()
    await add(a, 'c1')
    await add(b, 'c2')
    await node.stopAgent('SIGKILL')
    await del(a, 'c1')
    expect(await listFolder(released)).to.deep.equal([NOTE])
    expect(await a.run(['ip', '-br', 'link', 'show']), 'nobody is here').to.include('eth1')
    await node.startAgent()
    expect(await a.run(['ip', '-br', 'link', 'show'])).to.not.include('eth1')
    expect(await hasCarrier(b)).to.equal(false)
    expect(await node.listDocuments()).to.deep.equal(['lab.w.json', 'c2@eth1.json'])
    expect(await listFolder(released)).to.deep.equal([])
    await del(b, 'c2')
  })

  it('of release 0.3.0 is honoured, of its own network alone', async () => {
    const { node, a, b, add } = pods()
    await add(a, 'c1')
    await add(b, 'c2')
    await node.stopAgent('SIGTERM')
    await writeNote(NOTE, toOldNote('c1'))
    await writeNote('c2@eth1.json', toOldNote('c2', 'other'))
    await node.startAgent()
    expect(await a.run(['ip', '-br', 'link', 'show'])).to.not.include('eth1')
    expect(await b.run(['ip', '-br', 'link', 'show'])).to.include('eth1')
    await del(b, 'c2')
  })

  it('is honoured when the sandbox went meanwhile', async () => {
    const { node, add } = pods()
    const gone = await newLabNetns('gone')
    await add(gone, 'c1')
    await node.stopAgent('SIGTERM')
    await del(gone, 'c1')
    await gone[Symbol.asyncDispose]()
    await node.startAgent()
  })

  it('is answered by an agent that comes back soon enough, without a note', async () => {
    const { node, a, add } = pods()
    await add(a, 'c1')
    // As one that starts, and without the time that takes on a busy machine.
    const from = node.readLog().length
    await rename(node.socket, `${node.socket}.away`)
    const asked = del(a, 'c1')
    await sleep(300)
    await rename(`${node.socket}.away`, node.socket)
    expect((await asked).stderr).to.equal('')
    expect(node.readLog().slice(from)).to.not.include('release note')
  })

  it('of a tap is honoured, too', async () => {
    const { node, a } = pods()
    const bind = { cniVersion: '1.1.0', name: 'bind', type: 'l2wire-bind' }
    const config = { ...bind, args: { cni: { logicNetworkName: 'default' } } }
    const wire = { ...toCall('ADD', a, 'c1'), ifname: 'eth0' }
    const tap = { ...toCall('ADD', a, 'c1'), ifname: 'net1' }
    await node.mustCall(CONFIG, wire)
    await node.mustCall(config, tap)
    await node.stopAgent('SIGTERM')
    await node.mustCall(config, { ...tap, command: 'DEL' })
    await node.startAgent()
    const links = await a.run(['ip', '-br', 'link', 'show'])
    expect(links).to.include('eth0').and.not.include('tap0')
    await node.mustCall(CONFIG, { ...wire, command: 'DEL' })
  })

  it('that an agent was too slow for is honoured while it runs', async () => {
    const { node, a, add } = pods()
    const released = toReleased()
    await add(a, 'c1')
    const pids = (await run(['pgrep', '-f', `socket ${node.socket}`])).trim().split('\n')
    await run(['kill', '-STOP', ...pids])
    try {
      expect((await del(a, 'c1')).stderr).to.include('did not answer within 10 s')
      expect(await listFolder(released)).to.deep.equal([NOTE])
    } finally {
      await run(['kill', '-CONT', ...pids])
    }
    await expectSoon('the note is gone', async () => (await listFolder(released)).length === 0)
    await expectSoon('so is all else', async () => (await node.listDocuments()).length === 0)
  })

  it('left while the agent runs is honoured, in a folder that was made anew, too', async () => {
    const { node, a, add } = pods()
    for (const folder of ['as it was', 'made anew']) {
      await add(a, 'c1')
      if (folder === 'made anew') await rm(toReleased(), { recursive: true })
      await writeNote(NOTE, toOldNote('c1'))
      await expectSoon(folder, async () => (await node.listDocuments()).length === 0)
      await expectSoon(folder, async () => (await listFolder(toReleased())).length === 0)
    }
  })

  it('comes before a new ADD of the same interface', async () => {
    const { node, a, b, add } = pods()
    const released = toReleased()
    await add(a, 'c1')
    await node.stopAgent('SIGTERM')
    await del(a, 'c1')
    await node.startAgent()
    await add(a, 'c1')
    // A note that nobody has seen come, as when the watch is not up yet.
    await del(a, 'c1')
    await add(a, 'c1')
    await writeNote('.hidden', toOldNote('c1'))
    await run(['mv', join(released, '.hidden'), join(released, NOTE)])
    await add(b, 'c1')
    expect(await b.run(['ip', '-br', 'link', 'show'])).to.include('eth1')
    expect(await a.run(['ip', '-br', 'link', 'show'])).to.not.include('eth1')
    await expectSoon('the note is gone', async () => (await listFolder(released)).length === 0)
    expect(await b.run(['ip', '-br', 'link', 'show'])).to.include('eth1')
    await del(b, 'c1')
  })

  it('of the unknown, and of another network, costs nothing', async () => {
    const { node, a, add } = pods()
    const released = toReleased()
    await add(a, 'c1')
    await node.stopAgent('SIGTERM')
    await del(a, 'c9')
    await del(a, 'c1', { ...CONFIG, name: 'other' })
    expect(await listFolder(released)).to.deep.equal([NOTE, 'c9@eth1.json'])
    await node.startAgent()
    expect(await listFolder(released)).to.deep.equal([])
    expect(await a.run(['ip', '-br', 'link', 'show'])).to.include('eth1')
    await del(a, 'c1')
  })

  it('notes that cannot be read are set aside and keep no other waiting', async () => {
    const { node, a, add } = pods()
    const released = toReleased()
    await add(a, 'c1')
    await node.stopAgent('SIGTERM')
    const unreadable = {
      'c2@eth1.json': toOldNote('c2', 'w', 2),
      'c3@eth1.json': '{"version":',
      'c4@eth1.json': toOldNote('../c4'),
    }
    for (const [file, text] of Object.entries(unreadable)) await writeNote(file, text)
    await writeNote(`${NOTE}.77.tmp`, '{')
    await utimes(join(released, `${NOTE}.77.tmp`), 1, 1)
    await del(a, 'c1')
    const from = node.readLog().length
    await node.startAgent()
    const aside = Object.keys(unreadable).map((file) => `${file}.unreadable`)
    expect(await listFolder(released)).to.deep.equal(aside)
    await expectLogged(node, ['expected 1', 'set aside'], from)
    await node.stopAgent('SIGTERM')
    const later = node.readLog().length
    await node.startAgent()
    expect(node.readLog().slice(later), 'once').to.not.include('set aside')
    for (const file of aside) await rm(join(released, file))
  })
})
