// The shipped executables from the outside: options, usage, exit codes, one agent per directory.
import { spawn } from 'node:child_process'
import { stat } from 'node:fs/promises'
import { join } from 'node:path'

import { expect } from 'chai'
import { describe, it } from 'mocha'

import { ROOT } from '../../lab/manifests.ts'
import { newLabNode } from '../../lab/node.ts'

interface Ended {
  readonly exitCode: number | null
  readonly stdout: string
  readonly stderr: string
}

async function runCommand(name: string, argv: readonly string[]): Promise<Ended> {
  const child = spawn(join(ROOT, 'dist/bin', name), argv, { stdio: ['ignore', 'pipe', 'pipe'] })
  let stdout = ''
  let stderr = ''
  child.stdout.setEncoding('utf8').on('data', (text: string) => (stdout += text))
  child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text))
  return new Promise((resolve) =>
    child.on('close', (exitCode) => resolve({ exitCode, stdout, stderr })),
  )
}

describe('dist/bin', () => {
  const names = [
    'l2wire',
    'l2wire-bind',
    'l2wire-agent',
    'l2wire-node',
    'l2wire-sidecar',
    'kubectl-l2wire',
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
    this.timeout(30_000)
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
    expect(stdout).to.include('test').and.include('capture')
  })
})
