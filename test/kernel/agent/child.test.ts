// Children when the system is short of what they take: they wait, so many run at once, and nothing is left of
// one that did not start.
import { readdir, readFile } from 'node:fs/promises'

import { expect } from 'chai'
import { describe, it } from 'mocha'

import { CommandError, DecodeError } from '../../../core/errors.ts'
import { run, runMortal } from '../../../kernel/run.ts'
import { startDaemon, type Daemon } from '../../../lab/daemon.ts'
import { expectSoon } from '../../expect-soon.ts'

/** Less than a start takes. */
const LITTLE_ROOM = 4
/** Enough to get to the middle of one. */
const ROOM = 7

async function listFiles(): Promise<readonly string[]> {
  return readdir('/proc/self/fd')
}

async function countChildren(): Promise<number> {
  const children = await readFile(`/proc/self/task/${process.pid}/children`, 'utf8')
  return children.split(' ').filter(Boolean).length
}

/** Leaves so few file descriptors to us until disposed, by a child that runs already. */
async function squeeze(room: number): Promise<AsyncDisposable> {
  const before = /^Max open files +(\d+)/m.exec(await readFile('/proc/self/limits', 'utf8'))?.[1]
  const prlimit = `prlimit --pid ${process.pid} --nofile`
  const script = `trap '${prlimit}=${before}: && exit' TERM; ${prlimit}=$0:; echo low; while :; do sleep 0.05; done`
  const used = (await listFiles()).length
  // The pipes of the child itself, and the file that is read to look.
  const daemon: Daemon = startDaemon(['sh', '-c', script, String(used + 3 + room)])
  await expectSoon('there is no room', () => daemon.readLog().includes('low'))
  return { [Symbol.asyncDispose]: async () => daemon.end('SIGTERM') }
}

describe('children', function () {
  this.timeout(60_000)

  it('wait for room', async () => {
    const before = (await listFiles()).length
    const squeezed = await squeeze(LITTLE_ROOM)
    const said = run(['echo', 'x'])
    await squeezed[Symbol.asyncDispose]()
    expect(await said).to.equal('x\n')
    await expectSoon('as many files', async () => (await listFiles()).length <= before)
  })

  it('are told to have no room after a while, and nothing of them stays open', async () => {
    const before = (await listFiles()).length
    const errors: unknown[] = []
    {
      await using _ = await squeeze(ROOM)
      const tries = Array.from({ length: 40 }, async () => run(['echo', 'x']))
      for (const said of await Promise.allSettled(tries))
        errors.push(said.status === 'rejected' ? said.reason : said.value)
    }
    expect(errors).to.have.length(40)
    for (const error of errors)
      expect(error).to.be.instanceOf(CommandError).with.property('message').that.include('EMFILE')
    await expectSoon('as many files', async () => (await listFiles()).length <= before)
    expect(await run(['echo', 'x'])).to.equal('x\n')
  })

  it('run 32 at once, however many are asked for', async () => {
    const others = await countChildren()
    const counts: number[] = []
    let isOver = false
    const over = Promise.all(Array.from({ length: 64 }, async () => run(['sleep', '2'])))
    void over.then(() => (isOver = true))
    await expectSoon('all have run', async () => {
      counts.push((await countChildren()) - others)
      return isOver
    })
    expect(Math.max(...counts))
      .to.be.at.most(32)
      .and.above(8)
  })

  it('say so much, and less in the namespace of a pod', async () => {
    const head = ['head', '-c', String(9 * 1024 * 1024), '/dev/zero']
    expect((await run(head)).length).to.equal(9 * 1024 * 1024)
    for (const enter of [run, runMortal]) {
      const error = await enter(['nsenter', '--net=/proc/self/ns/net', ...head]).catch(
        (thrown: unknown) => thrown,
      )
      expect(error)
        .to.be.instanceOf(DecodeError)
        .with.property('message')
        .that.includes('expected at most 4 MB')
    }
  })
})
