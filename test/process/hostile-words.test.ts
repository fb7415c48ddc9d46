// What others wrote into documents, as kubectl-l2wire prints it: nothing of it is obeyed by a terminal, or makes a line of its own.
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { expect } from 'chai'
import { after, before, describe, it } from 'mocha'
import { parse } from 'yaml'

import { toPrintable } from '../../core/printable.ts'
import { claimEnd } from '../../core/wire/ends.ts'
import { reportWire } from '../../core/wire/wire.ts'
import { runCommand } from '../../lab/command.ts'
import { newFileStore } from '../../store/file-store.ts'
import { newClaim } from './wire-store-suite.ts'

const ID = { namespace: 'lab', name: 'w' }
const HOSTILE =
  'it \u001B]0;title\u0007\rfailed\nkubectl-l2wire: all is well\u009B31m \u202Etxt\u2028\u200B\uD800 end: ü 東京 😀'

/** Lines end, and nothing else is there that does not show. */
function expectPrintable(text: string): void {
  const lines = text.split('\n')
  expect(lines.map((line) => toPrintable(line))).to.deep.equal(lines)
}

describe('words of others', () => {
  let folder = ''
  let args: readonly string[] = []
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'l2w-words-'))
    args = ['-n', ID.namespace, '--store', `file://${folder}/store`, '--state-dir', folder]
    const store = newFileStore(join(folder, 'store'))
    const claim = newClaim('h1')
    await store.update(ID, (wire) => claimEnd(wire, ID, claim))
    await store.update(ID, (wire) =>
      reportWire(wire, {
        node: claim.node,
        state: 'failed',
        ends: [`${claim.containerID}@${claim.ifname}`],
        message: HOSTILE,
      }),
    )
  })
  after(async () => rm(folder, { recursive: true, force: true }))

  for (const argv of [
    ['get'],
    ['get', '-o', 'wide'],
    ['describe', 'w'],
    ['doctor'],
    ['plug', 'w'],
    ['test', 'w'],
    ['capture', 'w'],
  ])
    it(`are escaped by "${argv.join(' ')}"`, async () => {
      const { stdout, stderr } = await runCommand('kubectl-l2wire', [...argv, ...args])
      expect(stdout + stderr).to.not.equal('')
      expectPrintable(stdout)
      expectPrintable(stderr)
      expect(stdout + stderr).to.not.match(/^kubectl-l2wire: all is well/m)
    })

  it('have columns that are as wide as what is printed', async () => {
    const { stdout } = await runCommand('kubectl-l2wire', ['get', '-o', 'wide', ...args])
    const [titles = '', row = ''] = stdout.split('\n')
    expect(row.slice(titles.indexOf('MESSAGE'))).to.match(/^node n1: it \\x1b/)
  })

  for (const [format, read] of [
    ['json', (text: string): unknown => JSON.parse(text)],
    ['yaml', (text: string): unknown => parse(text)],
  ] as const)
    for (const command of ['get', 'describe'])
      it(`are the same in ${format} of ${command}, in characters that show`, async () => {
        const argv = [command, 'w', '-o', format, ...args]
        const { stdout } = await runCommand('kubectl-l2wire', argv)
        expectPrintable(stdout)
        expect(JSON.stringify(read(stdout))).to.include(
          JSON.stringify(`node n1: ${HOSTILE}`).slice(1, -1),
        )
      })

  it('are refused where they are names, and told of in one line', async () => {
    const [file = ''] = (await readdir(join(folder, 'store'))).filter((name) =>
      name.endsWith('.json'),
    )
    const path = join(folder, 'store', file)
    const text = await readFile(path, 'utf8')
    const document = JSON.parse(text) as { ends: { ifname: string }[] }
    for (const end of document.ends) end.ifname = HOSTILE
    await writeFile(path, JSON.stringify(document))
    try {
      for (const command of ['get', 'doctor']) {
        const { stdout, stderr } = await runCommand('kubectl-l2wire', [command, ...args])
        expectPrintable(stdout)
        expectPrintable(stderr)
        expect(stdout + stderr).to.include(String.raw`\u001b`)
      }
    } finally {
      await writeFile(path, text)
    }
  })
})
