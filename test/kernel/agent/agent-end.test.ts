// How an agent ends that is told to: it finishes what is under way, and leaves to its successor what does
// not come to an end.
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { expect } from 'chai'
import { describe, it } from 'mocha'

import { run } from '../../../kernel/run.ts'
import type { CniCall } from '../../../lab/cni.ts'
import { startDaemon } from '../../../lab/daemon.ts'
import { ROOT } from '../../../lab/manifests.ts'
import { newLabNetns, type LabNetns } from '../../../lab/netns.ts'
import { newLabNode, type LabNode } from '../../../lab/node.ts'
import { expectLogged } from '../../expect-logged.ts'
import { expectSoon } from '../../expect-soon.ts'
import { eachLeavesNothing } from '../../nothing-left.ts'

const CONFIG = { cniVersion: '1.1.0', name: 'w', type: 'l2wire' }
const KUBECONFIG = JSON.stringify({
  clusters: [{ name: 'away', cluster: { server: 'https://127.0.0.1:1' } }],
  contexts: [{ name: 'away', context: { cluster: 'away' } }],
  'current-context': 'away',
})

describe('an agent that is told to end', function () {
  this.timeout(120_000)
  let folder: string
  let node: LabNode
  let pod: LabNetns

  eachLeavesNothing(async (made) => {
    folder = await mkdtemp(join(tmpdir(), 'l2w-stuck-'))
    made.defer(async () => rm(folder, { recursive: true }))
    made.defer(async () => {
      for (const pid of await listStuck()) process.kill(pid, 'SIGKILL')
    })
    // While the file "on" is there its output stays open, whoever kills it.
    const script = `#!/bin/sh
      if [ -e ${folder}/on ]; then sleep 600 & echo $! >>${folder}/stuck; wait; fi
      exec /usr/bin/nsenter "$@"`
    await writeFile(join(folder, 'nsenter'), script, { mode: 0o755 })
    node = made.use(await newLabNode({ pathFirst: folder }))
    pod = made.use(await newLabNetns('pod'))
  })

  const listStuck = async (): Promise<readonly number[]> => {
    const text = await readFile(join(folder, 'stuck'), 'utf8').catch(() => '')
    return text.split('\n').filter(Boolean).map(Number)
  }
  const toCall = (command: string): CniCall => ({
    command,
    containerID: 'c-h1',
    netns: pod.path,
    ifname: 'eth1',
    args: 'K8S_POD_NAMESPACE=lab;K8S_POD_NAME=h1',
  })

  it('does so although an ADD is stuck, which goes well with the next one', async () => {
    await writeFile(join(folder, 'on'), '')
    const adding = node.call(CONFIG, toCall('ADD'))
    await expectSoon('it is stuck', async () => (await listStuck()).length > 0)
    await node.stopAgent('SIGTERM')
    await expectLogged(node, 'the next agent takes it up')
    expect((await adding).output).to.include({ code: 11 })
    await rm(join(folder, 'on'))
    await node.startAgent()
    await node.mustCall(CONFIG, toCall('ADD'))
    expect(await pod.run(['ip', '-br', 'link', 'show'])).to.include('eth1')
    await node.mustCall(CONFIG, toCall('DEL'))
    expect(await run(['ip', '-br', 'link', 'show'])).to.not.match(/^lw/m)
    expect(await node.listDocuments()).to.deep.equal([])
  })

  it('does so while it waits for its store, as the first process of a container, too', async () => {
    const kubeconfig = join(folder, 'kubeconfig')
    // Nobody listens there.
    await writeFile(kubeconfig, KUBECONFIG)
    const options = { socket: join(folder, 'other.sock'), 'state-dir': join(folder, 'other') }
    const argv = Object.entries({ store: 'kubernetes', 'node-name': 'n2', ...options })
    const container = startDaemon(
      [
        ...'unshare --pid --fork --kill-child --mount-proc'.split(' '),
        join(ROOT, 'dist/bin/l2wire-agent'),
        ...argv.flatMap(([name, value]) => [`--${name}`, value]),
      ],
      { KUBECONFIG: kubeconfig },
    )
    try {
      const isWaiting = (): boolean => container.readLog().includes('the store is not available')
      await expectSoon('it waits', isWaiting)
      const children = `/proc/${container.pid}/task/${container.pid}/children`
      process.kill(Number(await readFile(children, 'utf8')), 'SIGTERM')
      await container.ended
    } finally {
      await container.end('SIGKILL')
    }
  })
})
