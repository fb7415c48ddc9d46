// DEL while the store is away: the devices go and the pod with them; the store hears of it later.
import { readFile, rename, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'

import { expect } from 'chai'
import { afterEach, describe, it } from 'mocha'

import { run } from '../../../kernel/run.ts'
import type { CniAnswer } from '../../../lab/cni.ts'
import type { Manifest } from '../../../lab/manifests.ts'
import { newLabNetns, type LabNetns } from '../../../lab/netns.ts'
import { listDocuments, newLabNode, type LabNode } from '../../../lab/node.ts'
import { newTemporaryFolder } from '../../../lab/temporary-folder.ts'
import { withFileLock } from '../../../store/file-lock.ts'
import { listFolder } from '../../../store/json-file.ts'
import { expectSoon } from '../../expect-soon.ts'
import { expectNoLinks, leavesNothing } from '../../nothing-left.ts'
import { hasCarrier, listLinkNames } from '../fixture-links.ts'
import { CONFIG, toCall } from '../fixture-pods.ts'

describe('while the store is away', function () {
  this.timeout(90_000)
  let folder: string
  let store: string
  let node: LabNode
  let a: LabNetns
  let b: LabNetns

  leavesNothing(async (made) => {
    folder = made.use(await newTemporaryFolder('away')).path
    const mounted = join(folder, 'mounted')
    await run(['mkdir', mounted])
    await run(['mount', '-t', 'tmpfs', 'l2w', mounted])
    made.defer(async () => void (await run(['umount', mounted])))
    // By a link, which one rename replaces: in a folder taken away in two steps the agent makes it anew between them.
    store = join(folder, 'store')
    await symlink('mounted', store)
    node = made.use(await newLabNode({ storeFolder: store }))
    a = made.use(await newLabNetns('a'))
    b = made.use(await newLabNetns('b'))
  })
  afterEach('leaves nothing', async () => {
    await expectSoon('no documents', async () => (await node.listDocuments()).length === 0)
    await expectNoLinks()
    for (const netns of [a, b]) expect(await listLinkNames(netns)).to.deep.equal(['lo'])
  })

  const call = async (command: string, netns: LabNetns, id: string): Promise<CniAnswer> =>
    node.call({ ...CONFIG, prevResult: {} }, toCall(command, netns, id))
  const must = async (command: string, netns: LabNetns, id: string): Promise<Manifest> =>
    node.mustCall(CONFIG, toCall(command, netns, id))
  const readPhase = async (id: string): Promise<unknown> => {
    const path = join(node.stateDir, 'attachments', `${id}@eth1.json`)
    return (JSON.parse(await readFile(path, 'utf8')) as Manifest)['phase']
  }
  const isInStore = async (id: string): Promise<boolean> =>
    (await readFile(join(store, 'lab.w.json'), 'utf8')).includes(`"${id}"`)

  interface Absence {
    readonly name: string
    readonly go: () => Promise<unknown>
    readonly back: () => Promise<unknown>
  }
  /** Between two writes of the agent, whose lock would be stuck else; so all of them make it wait, too. */
  const newAbsence = ({ name, go, back }: Absence): Absence => {
    let giveBack: (() => Promise<void>) | undefined
    return {
      name,
      go: async () => {
        giveBack = await holdLock(join(store, 'lab.w.json.lock'))
        await go()
      },
      back: async () => {
        await back()
        await giveBack?.()
      },
    }
  }
  const readOnly = newAbsence({
    name: 'read-only',
    // Not while anybody has a file open to write.
    go: async () =>
      expectSoon('read-only', async () =>
        run(['mount', '-o', 'remount,ro', store]).then(
          () => true,
          () => false,
        ),
      ),
    back: async () => run(['mount', '-o', 'remount,rw', store]),
  })
  const replaced = newAbsence({
    name: 'a file where a folder was',
    go: async () => {
      await writeFile(join(folder, 'file'), '')
      await rename(join(folder, 'file'), store)
    },
    back: async () => {
      await symlink('mounted', join(folder, 'link'))
      await rename(join(folder, 'link'), store)
    },
  })
  const silent = newAbsence({
    name: 'silent',
    go: async () => undefined,
    back: async () => undefined,
  })
  const absences = [readOnly, replaced, silent]
  for (const { name, go, back } of absences)
    it(`${name}: DEL is done when the devices are, and its claim goes by itself`, async () => {
      await must('ADD', a, 'c1')
      await must('ADD', b, 'c2')
      await go()
      let isBack = false
      try {
        await must('DEL', a, 'c1')
        expect(await listLinkNames(a)).to.deep.equal(['lo'])
        expect(await hasCarrier(b), 'its far end sees the cable go').to.equal(false)
        expect(await readPhase('c1')).to.equal('leaving')
        expect((await call('CHECK', a, 'c1')).output).to.include({ code: 105 })
        await must('DEL', a, 'c1')
        await back()
        isBack = true
        await expectSoon('it is released', async () => !(await isInStore('c1')))
        await expectSoon(
          'and forgotten',
          async () =>
            (await listFolder(join(node.stateDir, 'attachments'))).join() === 'c2@eth1.json',
        )
        await must('ADD', a, 'c3')
        expect(await hasCarrier(b)).to.equal(true)
      } finally {
        if (!isBack) await back()
      }
      await must('DEL', a, 'c3')
      await must('DEL', b, 'c2')
    })

  it('says so, and takes no ADD', async () => {
    await replaced.go()
    try {
      expect((await node.call(CONFIG, { command: 'STATUS' })).output).to.include({ code: 50 })
      expect((await call('ADD', a, 'c1')).output).to.include({ code: 5 })
    } finally {
      await replaced.back()
    }
    await must('DEL', a, 'c1')
  })

  it('an ADD of what is leaving is told to come again, and goes through once the store is back', async () => {
    await must('ADD', a, 'c1')
    const from = node.readLog().length
    await readOnly.go()
    try {
      await must('DEL', a, 'c1')
      const { output } = await call('ADD', a, 'c1')
      expect(output).to.include({ code: 11 })
      expect(output?.['msg']).to.include('store')
    } finally {
      await readOnly.back()
    }
    await must('ADD', a, 'c1')
    expect(await readPhase('c1')).to.equal('ready')
    // Its release was tried again meanwhile, and is nobody's any more.
    await expectSoon('the last try is over', async () =>
      node.readLog().slice(from).includes('the store has heard of an end that was unplugged'),
    )
    expect(await readPhase('c1')).to.equal('ready')
    expect(await isInStore('c1')).to.equal(true)
    await must('DEL', a, 'c1')
  })

  it('a third end gets in where one is leaving', async () => {
    await must('ADD', a, 'c1')
    await must('ADD', b, 'c2')
    await readOnly.go()
    try {
      await must('DEL', a, 'c1')
    } finally {
      await readOnly.back()
    }
    await must('ADD', a, 'c3')
    await must('DEL', a, 'c3')
    await must('DEL', b, 'c2')
  })

  it('an agent that starts again finds what is leaving', async () => {
    await must('ADD', a, 'c1')
    await readOnly.go()
    try {
      await must('DEL', a, 'c1')
      await node.stopAgent('SIGKILL')
    } finally {
      await readOnly.back()
    }
    expect(await listDocuments(store)).to.deep.equal(['lab.w.json'])
    await node.startAgent()
    expect(await node.listDocuments()).to.deep.equal([])
  })

  it('a GC does as a DEL does', async () => {
    await must('ADD', a, 'c1')
    await readOnly.go()
    try {
      const config = { ...CONFIG, 'cni.dev/valid-attachments': [] }
      await node.mustCall(config, { command: 'GC' })
      expect(await listLinkNames(a)).to.deep.equal(['lo'])
    } finally {
      await readOnly.back()
    }
  })
})

/** Takes the lock of a wire's document, and returns how to give it back. */
async function holdLock(path: string): Promise<() => Promise<void>> {
  const taken = Promise.withResolvers<undefined>()
  const over = Promise.withResolvers<undefined>()
  const held = withFileLock(path, async () => {
    taken.resolve(undefined)
    await over.promise
  })
  await Promise.race([taken.promise, held])
  return async () => {
    over.resolve(undefined)
    await held
  }
}
