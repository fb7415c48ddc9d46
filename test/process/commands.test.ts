// The shipped executables from the outside: options, usage, exit codes, one agent per directory.
import { mkdtemp, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { expect } from 'chai'
import { after, before, describe, it } from 'mocha'

import { VERSION } from '../../core/version.ts'
import { claimEnd } from '../../core/wire/ends.ts'
import { runCommand } from '../../lab/command.ts'
import { ROOT } from '../../lab/manifests.ts'
import { newLabNode } from '../../lab/node.ts'
import { newFileStore } from '../../store/file-store.ts'
import { newClaim } from './wire-store-suite.ts'

describe('dist/bin', () => {
  const names = [
    'l2wire',
    'l2wire-bind',
    'l2wire-agent',
    'l2wire-node',
    'l2wire-sidecar',
    'kubectl-l2wire',
    'kubectl_complete-l2wire',
  ]
  for (const name of names)
    it(`has ${name}, executable`, async () => {
      const { mode } = await stat(join(ROOT, 'dist/bin', name))
      expect(mode & 0o111).to.equal(0o111)
    })
})

describe('l2wire-agent', () => {
  const node = ['--node-name', 'n1']
  const store = ['--store', 'file:///tmp/l2w-none']
  const refusals = [
    { name: 'no node name', argv: store, words: ['--node-name', 'missing'] },
    {
      name: 'a node name with a slash',
      argv: [...store, '--node-name', 'a/b'],
      words: ['--node-name', 'a/b'],
    },
    { name: 'no store', argv: node, words: ['--store', 'file:///DIR'] },
    {
      name: 'a store it does not know',
      argv: [...node, '--store', 'etcd://x'],
      words: ['--store', 'etcd://x'],
    },
    {
      name: 'an address that is none',
      argv: [...node, ...store, '--underlay-address', 'x'],
      words: ['--underlay-address', 'x'],
    },
    { name: 'an unknown option', argv: [...node, ...store, '--colour'], words: ['--colour'] },
  ]
  it('refuses an address that is not on its node, and names those that are', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'l2w-state-'))
    try {
      const argv = [...node, '--store', `file://${folder}`, '--state-dir', folder]
      const address = ['--underlay-address', '192.0.2.200']
      const { exitCode, stderr } = await runCommand('l2wire-agent', [...argv, ...address])
      expect(exitCode).to.equal(1)
      for (const word of ['--underlay-address', '192.0.2.200', "one of this node's, 127.0.0.1"])
        expect(stderr).to.include(word)
    } finally {
      await rm(folder, { recursive: true, force: true })
    }
  })

  for (const { name, argv, words } of refusals)
    it(`refuses ${name} in one line`, async () => {
      const { exitCode, stderr, stdout } = await runCommand('l2wire-agent', argv)
      expect(exitCode).to.equal(1)
      expect(stdout).to.equal('')
      expect(stderr.trim().split('\n')).to.have.length(1)
      for (const word of words) expect(stderr).to.include(word)
    })

  it('tells its options', async () => {
    const { exitCode, stdout } = await runCommand('l2wire-agent', ['--help'])
    expect(exitCode).to.equal(0)
    for (const option of [
      '--store',
      '--node-name',
      '--underlay-address',
      '--socket',
      '--state-dir',
    ])
      expect(stdout).to.include(option)
  })

  it('is one per state directory, and the next one starts when it ends, however it ends', async function () {
    this.timeout(90_000)
    await using lab = await newLabNode()
    const argv = [
      '--store',
      lab.storeUrl,
      '--node-name',
      'n2',
      '--socket',
      `${lab.folder}/b.sock`,
      '--state-dir',
      lab.stateDir,
    ]
    const { exitCode, stderr } = await runCommand('l2wire-agent', argv)
    expect(exitCode).to.equal(1)
    expect(stderr).to.include(lab.stateDir).and.include('another agent')
    for (const signal of ['SIGKILL', 'SIGTERM', 'SIGINT'] as const) {
      await lab.stopAgent(signal)
      await lab.startAgent()
    }
  })
})

describe('kubectl-l2wire', () => {
  const rows = [
    { name: 'no command', argv: [], exitCode: 2, word: 'Usage' },
    { name: 'an unknown command', argv: ['juggle'], exitCode: 2, word: 'juggle' },
    { name: 'one end only', argv: ['test', '--netns', 'a:eth1'], exitCode: 2, word: 'two of them' },
    {
      name: 'an end without interface',
      argv: ['test', '--netns', 'a', '--netns', 'b'],
      exitCode: 2,
      word: 'A:eth1',
    },
    {
      name: 'a namespace that is not there',
      argv: ['test', '--netns', 'l2w-none:eth1', '--netns', 'l2w-none:eth2'],
      exitCode: 1,
      word: 'l2w-none',
    },
    {
      name: 'an idle time that is none',
      argv: ['test', '--idle', 'x'],
      exitCode: 2,
      word: '--idle',
    },
    {
      name: 'a wire that is not there',
      argv: ['capture', 'w', '--store', 'file:///tmp/l2w-none'],
      exitCode: 1,
      word: 'default/w',
    },
    {
      name: 'a store it does not know',
      argv: ['capture', 'w', '--store', 'x'],
      exitCode: 2,
      word: 'file:///DIR',
    },
  ]
  for (const { name, argv, exitCode, word } of rows)
    it(`says no to ${name}, with exit code ${exitCode}`, async () => {
      const ended = await runCommand('kubectl-l2wire', argv)
      expect(ended.exitCode, ended.stderr).to.equal(exitCode)
      expect(ended.stderr)
        .to.include(word)
        .and.not.match(/\bat .*\.m?[jt]s:/)
    })

  it('helps', async () => {
    const { exitCode, stdout } = await runCommand('kubectl-l2wire', ['--help'])
    expect(exitCode).to.equal(0)
    for (const command of ['get', 'describe', 'test', 'capture', 'inspect'])
      expect(stdout).to.include(`  ${command} `)
  })

  it('says which release it is', async () => {
    const { exitCode, stdout } = await runCommand('kubectl-l2wire', ['--version'])
    expect(exitCode).to.equal(0)
    expect(stdout).to.equal(`${VERSION}\n`)
  })

  describe('reads a folder of wires', () => {
    let folder: string
    let store: string
    before(async () => {
      folder = await mkdtemp(join(tmpdir(), 'l2w-wires-'))
      store = `--store=file://${folder}`
      for (const [namespace, name] of [
        ['lab', 'r1-r2'],
        ['lab', 'r1-h1'],
        ['other', 'r1-r2'],
      ] as const)
        await newFileStore(folder).update({ namespace, name }, (wire) =>
          claimEnd(wire, { namespace, name }, newClaim('pod/h1')),
        )
      await writeFile(join(folder, 'lab.broken.json'), '{')
    })
    after(async () => {
      await rm(folder, { recursive: true, force: true })
    })

    it('sorted, and names a document that it cannot read', async () => {
      const { exitCode, stdout, stderr } = await runCommand('kubectl-l2wire', ['get', store, '-A'])
      expect(exitCode).to.equal(0)
      const names = stdout.split('\n').map((line) => line.split(/ {2,}/).slice(0, 2).join('/'))
      expect(names.slice(1, 4)).to.deep.equal(['lab/r1-h1', 'lab/r1-r2', 'other/r1-r2'])
      expect(stderr).to.include('lab.broken.json')
    })

    it('and has nothing to show where there is nothing', async () => {
      const { exitCode, stdout, stderr } = await runCommand('kubectl-l2wire', ['get', store])
      expect({ exitCode, stdout }).to.deep.equal({ exitCode: 0, stdout: '' })
      expect(stderr).to.include('No wires found in namespace default')
    })

    it('and says of nodes that it cannot look at them', async () => {
      const argv = ['describe', 'r1-r2', store, '-n', 'lab', '-o', 'yaml', '--state-dir', folder]
      const { stdout } = await runCommand('kubectl-l2wire', argv)
      expect(stdout).to.match(/^state: Waiting$/m)
      expect(stdout).to.match(/reason: "?No agent has run here/)
    })
  })
})
