// An agent by itself: how it starts, how it ends, whom it answers, and what it does not take.
import { readdir, writeFile } from 'node:fs/promises'
import { connect, type Socket } from 'node:net'
import { join } from 'node:path'

import { expect } from 'chai'
import { describe, it } from 'mocha'

import { run } from '../../../kernel/run.ts'
import { callPlugin } from '../../../lab/cni.ts'
import { ROOT, type Manifest } from '../../../lab/manifests.ts'
import { newTemporaryFolder } from '../../../lab/temporary-folder.ts'
import { expectLogged } from '../../expect-logged.ts'
import { expectSoon } from '../../expect-soon.ts'
import { CONFIG, toCall, usePods } from '../fixture-pods.ts'

describe('an agent', function () {
  this.timeout(90_000)
  const pods = usePods()

  it('ends on SIGTERM whoever stays connected, and lives through whoever hangs up', async () => {
    const { node } = pods()
    const sockets = await Promise.all([
      openSocket(node.socket, 'x'),
      openSocket(node.socket, ''),
      openSocket(node.socket, `{"a":"${'y'.repeat(1000)}`),
    ])
    sockets[0].end()
    sockets[2].destroy()
    expect((await node.call(CONFIG, { command: 'STATUS' })).exitCode).to.equal(0)
    // Whoever goes on speaking is never late with its question.
    const speaking = setInterval(() => sockets[1].write('y'), 100)
    await node.stopAgent('SIGTERM')
    clearInterval(speaking)
    for (const socket of sockets) socket.destroy()
    await node.startAgent()
  })

  it('answers a result it cannot print, and lives on', async () => {
    const { node, a, del } = pods()
    const deep = `${'{"a":'.repeat(9000)}1${'}'.repeat(9000)}`
    const config = `{"cniVersion":"1.1.0","name":"w","type":"l2wire","prevResult":${deep}}`
    const call = { ...toCall('ADD', a, 'c1'), socket: node.socket }
    const answer = await callPlugin(join(ROOT, 'dist/bin/l2wire'), call, config)
    expect(answer.exitCode).to.equal(1)
    expect((await node.call(CONFIG, { command: 'STATUS' })).exitCode).to.equal(0)
    await del(a, 'c1')
  })

  it('does not take a socket from a living one, nor a file', async () => {
    const { node } = pods()
    const file = join(node.folder, 'file')
    await writeFile(file, '')
    for (const [socket, word] of [
      [node.socket, 'another agent'],
      [file, 'it is a file'],
    ] as const) {
      await using state = await newTemporaryFolder('state')
      const argv = [
        '--store',
        node.storeUrl,
        '--node-name',
        'n2',
        '--socket',
        socket,
        '--state-dir',
        state.path,
      ]
      const said = await run([join(ROOT, 'dist/bin/l2wire-agent'), ...argv]).catch(String)
      expect(said).to.include(word)
    }
    expect((await node.call(CONFIG, { command: 'STATUS' })).exitCode).to.equal(0)
  })

  it('ends when its lock on the state directory is lost', async () => {
    const { node } = pods()
    const holders = await run(['pgrep', '-f', `flock --timeout [0-9]+ ${node.stateDir}/lock`])
    await run(['kill', ...holders.trim().split('\n')])
    await expectSoon('it ends', () => !node.isRunning())
    expect((await node.call(CONFIG, { command: 'STATUS' })).output).to.include({ code: 50 })
    await expectLogged(node, 'lock on the state directory is lost')
    await node.startAgent()
  })

  it('starts with one attachment it cannot look at, and sweeps what killed writers left', async () => {
    const { node, a, add, del } = pods()
    await add(a, 'c1')
    await node.stopAgent('SIGTERM')
    const folder = join(node.stateDir, 'attachments')
    const loop = join(node.folder, 'loop')
    await run(['ln', '-s', loop, loop])
    const [document = ''] = await readdir(folder)
    const text = JSON.parse(await run(['cat', join(folder, document)])) as Manifest
    const bad = {
      ...text,
      containerID: 'c5',
      hostDevice: 'lwnone',
      netns: { path: loop, inode: 1, bootId: 'x' },
    }
    await writeFile(join(folder, 'c5@eth1.json'), JSON.stringify(bad))
    await writeFile(join(folder, 'c6@eth1.json.999999999-1.tmp'), '{')
    await node.startAgent()
    await expectLogged(node, 'ELOOP')
    expect(await readdir(folder)).to.deep.equal(['c1@eth1.json', 'c5@eth1.json'])
    await del(a, 'c5')
    await del(a, 'c1')
  })
})

async function openSocket(path: string, text: string): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect(path, () => {
      if (text !== '') socket.write(text)
      resolve(socket)
    })
    socket.on('error', reject)
  })
}
